"""Set the options of a production profile and register what the tests need; run as a script."""

from __future__ import annotations

from aiida import load_profile
from aiida.manage.configuration import get_config

from aiida_finales.broker.registration import add_tenant
from aiida_finales.operations.platform.installation import setup_capabilities

OPTIONS = {
    "warnings.rabbitmq_version": False,  # consumer_timeout is switched off, see services.sh
    "broker.task_timeout": 60,
    "daemon.default_workers": 2,
    "daemon.timeout": 30,
}

if __name__ == "__main__":
    profile = load_profile()
    config = get_config()
    for option, value in OPTIONS.items():
        config.set_option(option, value, scope=profile.name)
    config.store()
    setup_capabilities()
    add_tenant("robot", [{"quantity": "conductivity", "method": "two_electrode"}])
    print("{}")
