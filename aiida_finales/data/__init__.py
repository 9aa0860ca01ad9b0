"""AiiDA nodes: request, result, capability, tenant, suggestion; the group of a campaign; ``chemicals`` of the profile.

Whoever has nodes knows the chemicals that others added.
"""

from aiida_finales.data import chemicals as _chemicals

__all__: list[str] = []
del _chemicals
