"""The pages for people, below ``/pages``: rendered on the server, without anything from the internet."""

from aiida_finales.server.pages.campaigns import router as campaigns_router
from aiida_finales.server.pages.live import router as live_router
from aiida_finales.server.pages.login import router as login_router
from aiida_finales.server.pages.overview import router as overview_router
from aiida_finales.server.pages.records import router as records_router
from aiida_finales.server.pages.samples import router as samples_router
from aiida_finales.server.pages.static import docs_router
from aiida_finales.server.pages.static import router as static_router
from aiida_finales.server.pages.steering import router as steering_router
from aiida_finales.server.pages.tasks import router as tasks_router

ROUTERS = (
    static_router,
    docs_router,
    live_router,
    login_router,
    overview_router,
    tasks_router,
    campaigns_router,
    steering_router,
    records_router,
    samples_router,
)
