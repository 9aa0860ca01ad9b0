"""What the published interface lacks, below ``/v1``."""

from aiida_finales.server.v1 import access, events, graph, health, laboratory, requests, tenants

ROUTERS = (
    health.router,
    access.router,
    requests.router,
    tenants.router,
    laboratory.router,
    graph.router,
    events.router,
)
