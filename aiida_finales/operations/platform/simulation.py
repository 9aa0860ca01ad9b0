"""Molecular dynamics on a computer that AiiDA knows, as a tenant of the loaded profile."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from aiida import orm
from aiida.common.exceptions import NotExistent
from sqlalchemy.exc import DataError

from aiida_finales.broker.capability import load_capability
from aiida_finales.broker.registration import add_tenant
from aiida_finales.calculations.conductivity import DEFAULT_TEMPERATURE
from aiida_finales.calculations.simulation import PROGRAM_SETTINGS
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import InputError
from aiida_finales.md.input import SCHEMA, check_input
from aiida_finales.schemas import Json
from aiida_finales.science.liquid.mean_squared_displacement import window_of
from aiida_finales.workflows.protocols import fill_settings

PROGRAM = "finales-md"
#: what the same cells answer; the last name is misspelt as it was published
CAPABILITIES = (
    ("conductivity", "molecular_dynamics"),
    ("density", "molecular_dynamics"),
    ("viscosity", "molecular_dynamics"),
    ("self_diffusion_coefficient", "molecular_dynamics"),
    ("transference_number", "molecular_dynamics"),
    ("coordination_number", "molecular_dynamics"),
    ("heat_capacity", "molecular_dynamics"),
    ("radial_density_function", "molacular_dynamics"),
)
#: in the unit of the other tenants: a robot's measurement costs 10, a closed form 1
COST = 20.0


def setup_simulation(
    computer: str,
    *,
    program: str | None = None,
    protocol: str | None = None,
    overrides: Json | None = None,
    max_concurrent: int = 1,
    cost: float = COST,
) -> TenantData:
    """Register molecular dynamics on a computer as a tenant, or replace it.

    On a computer without queue (``core.direct``) cells are simulated one after the other, unless ``overrides`` has
    another ``max_parallel``: each cell uses all cores.

    :param computer: its label.
    :param program: path of ``finales-md`` there; the one of this environment, or on the search path, when ``None``.
    :param protocol: ``fast``, ``moderate`` (default) or ``published``.
    :param overrides: settings that differ from the protocol.
    :param max_concurrent: liquids simulated at the same time.
    :param cost: of one result.
    :raises InputError: when there is no such computer, protocol or setting.
    :raises SimulationInputError: when the program would refuse a setting.
    """
    _demand_settings(fill_settings("molecular_dynamics", protocol, overrides))
    code = demand_code(computer, PROGRAM, program)
    alone = {"max_parallel": 1} if code.computer.scheduler_type == "core.direct" else {}
    settings: Json = {"protocol": protocol, "overrides": alone | (overrides or {}), "code": code.full_label}
    offers = [_offer(quantity, method, settings, cost) for quantity, method in CAPABILITIES]
    identity = str(uuid5(NAMESPACE_URL, f"aiida-finales/molecular-dynamics/{computer}"))
    name = f"molecular-dynamics-{computer}"
    return add_tenant(name, offers, tenant_uuid=identity, kind="internal", max_concurrent=max_concurrent)


def _demand_settings(settings: Json) -> None:
    """Check what the program is told, by a liquid that it knows: at once, and not by the first request."""
    liquid = {"formulation": [{"smiles": "C1COC(=O)O1", "mole_fraction": 1.0}], "temperature_K": DEFAULT_TEMPERATURE}
    asked = check_input({"schema": SCHEMA, **liquid, **{name: settings[name] for name in PROGRAM_SETTINGS}}, "settings")
    demand_frames(asked.protocol.n_frames, settings)


def demand_frames(n_frames: int, settings: Json) -> None:
    """Check that displacements can be fitted in a run, before the first one has taken its time.

    :param n_frames: that are kept of it.
    :raises InputError: when there are too few in ``fit_window``.
    """
    try:
        window_of(np.arange(n_frames, dtype=float), tuple(settings["fit_window"]))
    except InputError as error:
        raise InputError(f"settings: {error}; a longer run, or a smaller frame_ps, gives more") from error


def demand_code(label: str, name: str, program: str | None) -> orm.InstalledCode:
    """Return a program on a computer as a code; it is made when there is none with this path.

    :param label: of the computer.
    :param name: of the program.
    :param program: its path there; looked for when ``None``.
    :raises InputError: when there is no such computer, or no program where it was looked for.
    """
    try:
        computer = orm.load_computer(label)
    except (NotExistent, ValueError, OverflowError, DataError) as error:
        known = ", ".join(item.label for item in orm.Computer.collection.all()) or "none"
        raise InputError(
            f"computer is {label!r}, but known are {known}: 'verdi computer setup' makes another"
        ) from error
    path = program or _find_program(computer, name)
    codes = orm.QueryBuilder().append(orm.Computer, filters={"id": computer.pk}, tag="computer")
    codes.append(orm.InstalledCode, with_computer="computer", filters={"label": {"like": f"{name}%"}})
    known_codes = codes.all(flat=True)
    for code in known_codes:
        if str(code.filepath_executable) == path:
            return code
    free = name if not known_codes else f"{name}-{len(known_codes) + 1}"
    return orm.InstalledCode(label=free, computer=computer, filepath_executable=path).store()


def _find_program(computer: orm.Computer, name: str) -> str:
    """Return the path of a program: on this machine that of this environment, elsewhere its bare name."""
    if computer.transport_type != "core.local":
        return name
    beside = Path(sys.executable).parent / name
    path = str(beside) if beside.exists() else shutil.which(name)
    if path is None:
        extra = name.removeprefix("finales-")
        raise InputError(f"{name} is not installed in this environment: pip install 'aiida-finales[{extra}]'")
    return path


def _offer(quantity: str, method: str, settings: Json, cost: float) -> Json:
    default_offer = load_capability(quantity, method).default_offer
    limitations = {} if default_offer is None else default_offer()
    return {"quantity": quantity, "method": method, "cost": cost, **limitations, "settings": settings}
