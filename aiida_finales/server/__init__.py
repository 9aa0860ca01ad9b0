"""The HTTP server: the published platform's interface, and ``/v1`` for what that lacks; needs the extra ``server``."""

from aiida_finales.exceptions import MissingExtraError

try:
    import argon2  # noqa: F401
    import fastapi  # noqa: F401
    import jwt  # noqa: F401
    import python_multipart  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise MissingExtraError("server", "the HTTP server") from error
