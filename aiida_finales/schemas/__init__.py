"""What a request and a result of each quantity look like, and what a tenant can do of it.

:mod:`~aiida_finales.schemas.registry` knows every capability, :mod:`~aiida_finales.schemas.limitations.offer` reads
what a tenant offers of it, :mod:`~aiida_finales.schemas.export` writes the JSON Schemas that old clients read.
"""

from typing import Any

#: a JSON object
Json = dict[str, Any]
