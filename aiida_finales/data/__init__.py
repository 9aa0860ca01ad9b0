"""AiiDA nodes: request, result, capability, tenant, suggestion; the group of a campaign; records of the profile.

Whoever has nodes knows the ``chemicals``, and what ``cells`` are made of, that others added.
"""

from aiida_finales.data import cells as _cells
from aiida_finales.data import chemicals as _chemicals

__all__: list[str] = []
del _cells, _chemicals
