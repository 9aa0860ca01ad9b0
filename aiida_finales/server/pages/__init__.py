"""The pages for people, below ``/pages``: rendered on the server, without anything from the internet."""

from aiida_finales.server.pages.acts import router as acts_router
from aiida_finales.server.pages.administration import router as administration_router
from aiida_finales.server.pages.asking import router as asking_router
from aiida_finales.server.pages.campaigns import router as campaigns_router
from aiida_finales.server.pages.laboratory import router as laboratory_router
from aiida_finales.server.pages.live import router as live_router
from aiida_finales.server.pages.login import router as login_router
from aiida_finales.server.pages.records import router as records_router
from aiida_finales.server.pages.samples import router as samples_router
from aiida_finales.server.pages.static import docs_router
from aiida_finales.server.pages.static import router as static_router
from aiida_finales.server.pages.steering import router as steering_router
from aiida_finales.server.pages.tasks import router as tasks_router
from aiida_finales.server.pages.tenants import router as tenants_router
from aiida_finales.server.pages.unknown import router as unknown_router

ROUTERS = (
    static_router,
    docs_router,
    live_router,
    login_router,
    laboratory_router,
    tasks_router,
    campaigns_router,
    steering_router,
    asking_router,  # before a request whose UUID is "new"
    acts_router,
    tenants_router,
    administration_router,
    records_router,
    samples_router,
    unknown_router,  # after all others
)
