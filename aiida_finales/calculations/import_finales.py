"""Bring the results of a FINALES 2 server in as unsolicited results."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_finales.calculations.creating import create_results
from aiida_finales.data.capability import find_capability
from aiida_finales.data.result import ResultData, set_uuid
from aiida_finales.schemas.finales_dump import Published, ServerClock, read_dump

#: attribute of a result: what the server said about it
PUBLISHED = "published"


@calcfunction
def import_finales(file: orm.SinglefileData, settings: orm.Dict) -> Any:
    """Return the results in a dump, valid or not, with the identity that they had.

    :param file: SQLite database or JSON.
    :param settings: ``uuids`` of the results to take, and ``timezone`` of the server where somebody said it.
    """
    chosen = settings.get_dict()
    wanted, clock = set(chosen["uuids"]), ServerClock(chosen.get("timezone"))
    results = [item for item in read_dump(file.get_content("rb"), file.filename, clock).results if item.uuid in wanted]
    return create_results({f"result_{number:05d}": make_result(item) for number, item in enumerate(results, start=1)})


def make_result(published: Published) -> ResultData:
    """Return a result, not stored; data that break the schema are kept as not valid.

    :raises UnknownCapabilityError: when nobody here knows its quantity and method.
    """
    result = ResultData(
        find_capability(published.quantity, published.method),
        published.data,
        published.parameters,
        tenant_uuid=published.tenant_uuid,
        simulated=published.data.get("simulated") is True,
    )
    said = {key: getattr(published, key) for key in ("uuid", "time", "status", "request")}
    result.base.attributes.set(PUBLISHED, said)
    set_uuid(result, published.uuid)
    return result
