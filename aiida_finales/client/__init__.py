"""Ask a server for quantities, and serve requests from outside; needs httpx (extra ``client``), and no AiiDA."""

from aiida_finales.exceptions import MissingExtraError

try:
    import httpx  # noqa: F401
except ImportError as error:
    raise MissingExtraError("client", "the HTTP client") from error

from aiida_finales.client.client import Client
from aiida_finales.client.order import Answer, Order
from aiida_finales.client.tenant import Tenant

__all__ = ["Answer", "Client", "Order", "Tenant"]
