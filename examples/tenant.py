"""A tenant: serves conductivities by a formula. Start it with address, user and name of the tenant.

FINALES_PASSWORD=... python tenant.py http://127.0.0.1:13371 robin bench
"""

import logging
import math
import os
import sys

from aiida_finales.client import Answer, Client, Order, Tenant


def measure(order: Order) -> Answer:
    """Return a conductivity in S/m; here it is made up, yours would ask a device."""
    formulation, temperature = order.parameters["formulation"], order.parameters.get("temperature", 298.15)
    value = 0.9 * math.exp(-1500.0 * (1 / temperature - 1 / 298.15))
    meta = {"success": True, "rating": 3}
    data = {
        "run_info": {"formulation": formulation, "internal_reference": order.key},
        "conductivity": {"values": [value], "temperature": temperature, "meta": meta},
    }
    return Answer(data, simulated=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    url, user, name = sys.argv[1:]
    with Client(url, user, os.environ["FINALES_PASSWORD"]) as client:
        Tenant(client, name, "conductivity", "two_electrode", f"journal-{name}").serve(measure)
