"""The simulated laboratory and the models as tenants of the loaded profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from aiida_finales.broker.capability import load_capabilities
from aiida_finales.broker.registration import add_tenant, switch_tenant
from aiida_finales.broker.samples import register_sample
from aiida_finales.calculations.chain import fill_settings
from aiida_finales.data.tenant import TenantData, list_tenants
from aiida_finales.exceptions import DeviceInputError, InputError
from aiida_finales.lab.simulated.autobass import assembly_limitations
from aiida_finales.lab.simulated.cycler import channel_limitations, cycling_limitations
from aiida_finales.lab.simulated.inventory import create_laboratory
from aiida_finales.lab.simulated.laboratory import (
    DEFAULT_FILE,
    TARGETS,
    Laboratory,
    find_laboratory,
    read_laboratory,
    robot_offer,
)
from aiida_finales.lab.simulated.settings import DeviceSettings, read_settings
from aiida_finales.operations.platform.chain import NAME as WORKFLOW
from aiida_finales.operations.platform.chain import UUID as WORKFLOW_UUID
from aiida_finales.operations.platform.chain import register_workflow
from aiida_finales.operations.platform.installation import COMPUTER, setup_driver
from aiida_finales.schemas import Json
from aiida_finales.schemas.cells import find_electrode, find_format, find_separator
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.formulation import make_formulation

#: identity of our own tenants over all profiles, so that exported records of different profiles agree
_UUID = "6f2b1c9e-5a0d-4f53-9d1e-0a5ab00000{:02d}"
TENANT_UUIDS = {
    "asab-simulated": _UUID.format(1),
    "empirical-model": _UUID.format(2),
    "polynomial-interpolation": _UUID.format(3),
    "autobass-simulated": _UUID.format(4),
    "cycler-simulated": _UUID.format(5),
    "operator-simulated": _UUID.format(6),
    "degradation-model": _UUID.format(7),
    WORKFLOW: WORKFLOW_UUID,
    "people": _UUID.format(9),
}
#: cells the model of the simulated laboratory is trained on, and the seed of their properties
N_TRAINING_CELLS, TRAINING_SEED = 48, 1
#: s; channels and people may be away for long
LONG_PATIENCE = 30 * 86400.0


@dataclass(frozen=True)
class LaboratoryPlan:
    """What the simulated laboratory is like.

    :param folder: where devices keep their journals, the laboratory its things, and jobs their working folders.
    :param n_robots: how many requests the formulation robot serves at once.
    :param n_chains: how many chains from electrolyte to end of life run at once.
    :param driver_settings: handed to the formulation robot, e.g. ``{"noise": 0.02, "seed": 1}``.
    :param faults: probability of each fault by name, handed to all devices.
    :param seed: of what is left to chance in all devices.
    :param chain: settings of the chain that differ from its defaults.
    :param limit: s after which somebody must look at a device that does not come back.
    :param transport: who carries samples: ``simulated`` or ``people``.
    :param file: what is in the bottles; without: as in the folder, or the default.
    """

    folder: Path
    n_robots: int = 1
    n_chains: int = 4
    driver_settings: Json = field(default_factory=dict)
    faults: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    chain: Json = field(default_factory=dict)
    limit: float = 600.0
    transport: str = "simulated"
    file: Path | None = None

    @property
    def inventory(self) -> Path:
        """Folder of the laboratory's things."""
        return self.folder / "inventory"

    def common(self) -> Json:
        """Return the settings that all simulated devices are handed."""
        faults = {"faults": self.faults} if self.faults else {}
        return {"inventory": str(self.inventory), "seed": self.seed, **faults}


def setup_laboratory(
    folder: Path, *, n_robots: int = 1, driver_settings: Json | None = None, has_cells: bool = True, **others: Any
) -> list[TenantData]:
    """Register the simulated laboratory and the models as tenants; what is there and unchanged is left alone.

    :param has_cells: also what is needed from an electrolyte to the end of life of cells.
    :param others: of :class:`LaboratoryPlan`.
    """
    plan = LaboratoryPlan(folder, n_robots, driver_settings=driver_settings or {}, **others)
    laboratory = _check_plan(plan, has_cells)
    _register_stocks(plan, laboratory)
    tenants = [_robot(plan, laboratory), _model("empirical-model", "empirical_model")]
    tenants.append(_model("polynomial-interpolation", "polynomial_interpolation"))
    return tenants + (_setup_cells(plan, laboratory) if has_cells else [])


def find_file(word: str) -> Path:
    """Return the file of a laboratory: ``default`` is that of this package."""
    return DEFAULT_FILE if word == "default" else Path(word)


def _check_plan(plan: LaboratoryPlan, has_cells: bool) -> Laboratory:
    """Refuse what devices or the chain would refuse later; return what is in the bottles.

    :raises InputError: naming what was given and what is accepted.
    """
    fill_settings(plan.chain)
    try:
        read_settings(DeviceSettings, {"faults": plan.faults}, "asab")
        laboratory = find_laboratory(plan.inventory) if plan.file is None else _complete(read_laboratory(plan.file))
        for quantity in laboratory.offers:
            robot_offer(quantity, laboratory)
    except DeviceInputError as error:
        raise InputError(str(error)) from error
    if has_cells and "electrolyte" not in laboratory.offers:
        raise InputError(
            f"the laboratory {laboratory.name!r} offers no electrolyte, and cells need one: offer it in the file, or "
            "set up without cells (--no-cells)"
        )
    return laboratory


def _complete(laboratory: Laboratory) -> Laboratory:
    """Return a laboratory whose text has the records that it uses and does not describe, beyond those of this package.

    Its devices read the text, and know neither this profile nor what tenants and other packages tell.
    """
    cells, bottles = laboratory.cells, sorted({key for each in laboratory.stocks for key in each.fractions})
    used: dict[str, list[Any]] = {
        "chemicals": [get_chemical(key) for key in bottles],
        "electrodes": [find_electrode(name) for name in (*cells.positive, *cells.negative)],
        "separators": [find_separator(name) for name in cells.separators],
        "cell_formats": [find_format(name) for name in cells.formats],
    }
    own = {"chemicals": laboratory.chemicals, **laboratory.parts}
    missing = {
        noun: [_plain(each) for each in records if each.origin != "library" and not _has(own.get(noun, ()), each)]
        for noun, records in used.items()
    }
    if not any(missing.values()):
        return laboratory
    document = yaml.safe_load(laboratory.text)
    document |= {noun: [*(document.get(noun) or []), *new] for noun, new in missing.items() if new}
    return replace(laboratory, text=yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def _has(records: Sequence[Any], wanted: Any) -> bool:
    return any(each.key == wanted.key for each in records)


def _plain(record: Any) -> Json:
    """Return a record as a file has it: without where it is from, and without numbers that nobody knows."""
    told = {key: value for key, value in record.to_dict().items() if key not in ("origin", "version")}
    return {key: value for key, value in told.items() if not isinstance(value, dict) or value.get("value") is not None}


def _setup_cells(plan: LaboratoryPlan, laboratory: Laboratory) -> list[TenantData]:
    assembly = _driver_offer(plan, "cell_assembly", "autobass_assembly", "autobass")
    reserve = _driver_offer(plan, "cycling_channel", "service", "cycler", patience_s=LONG_PATIENCE)
    cycling = _driver_offer(plan, "capacity", "cycling", "cycler")
    assembly["limitations"] = assembly_limitations(laboratory.cells)
    reserve["limitations"] = channel_limitations()
    cycling["limitations"] = cycling_limitations(laboratory.cells)
    parts = {noun: [part.to_dict() for part in some] for noun, some in laboratory.parts.items()}
    predict = _offer("degradationEOL", "degradation_model", {"model": demand_model()})
    return [
        _add("autobass-simulated", [assembly], 1, parts=parts),
        _add("cycler-simulated", [reserve, cycling], CYCLER_SLOTS),
        _transport(plan),
        _add("degradation-model", [predict], 100),
        register_workflow(plan.chain, plan.n_chains),
    ]


#: requests the cycler's computer takes at once; each cell has a channel of its own, which goes on by itself
CYCLER_SLOTS = 4


def _robot(plan: LaboratoryPlan, laboratory: Laboratory) -> TenantData:
    offers = []
    for quantity in laboratory.offers:
        offer = _driver_offer(plan, quantity, TARGETS[quantity], "asab", stocks="ASAB")
        if quantity != "electrolyte":
            offer["settings"]["driver"] |= plan.driver_settings
        offers.append(offer | robot_offer(quantity, laboratory) | {"cost": 10.0})
    chemicals = [chemical.to_dict() for chemical in laboratory.chemicals]
    return _add("asab-simulated", offers, plan.n_robots, chemicals)


def _model(name: str, method: str) -> TenantData:
    # a closed form needs no device: as many at once as the workers take
    return _add(name, [_offer("conductivity", method, {}) | {"cost": 1.0}], 100)


def _transport(plan: LaboratoryPlan) -> TenantData:
    if plan.transport == "people":
        _dismiss("operator-simulated")
        offer = {"quantity": "transport", "method": "transport_service", "limitations": {}}
        return add_tenant("people", [offer], tenant_uuid=TENANT_UUIDS["people"], kind="human", max_concurrent=1000)
    if plan.transport != "simulated":
        raise InputError(f"transport is {plan.transport!r}, but accepted are simulated or people")
    _dismiss("people")
    carry = _driver_offer(plan, "transport", "transport_service", "operator", patience_s=LONG_PATIENCE)
    return _add("operator-simulated", [carry], 1)


def tell_twins(name: str | None = None) -> list[str]:
    """Return a sentence for each simulated tenant beside a real one of the same capability: both are given requests.

    :param name: only where this tenant is one of the two.
    """
    tenants = list_tenants()
    offers = [(tenant, offer) for tenant in tenants for offer in tenant.offers]
    real = [item for item in offers if not _is_simulated(item[1])]
    told = []
    for twin in tenants:
        own = [(offer["quantity"], offer["method"]) for offer in twin.offers if _is_simulated(offer)]
        shared = [(tenant, key) for tenant, offer in real if (key := (offer["quantity"], offer["method"])) in own]
        if shared and (name is None or name in (twin.name, *(tenant.name for tenant, _ in shared))):
            told.append(_tell_twin(twin, shared))
    return told


def _tell_twin(twin: TenantData, shared: list[tuple[TenantData, tuple[str, str]]]) -> str:
    names = " and ".join(dict.fromkeys(tenant.name for tenant, _ in shared))
    what = ", ".join(dict.fromkeys("/".join(key) for _, key in shared))
    others = [f"{item['quantity']}/{item['method']}" for item in twin.offers]
    rest = [text for text in others if text not in {"/".join(key) for _, key in shared}]
    more = f" (it offers {', '.join(rest)} as well, which nobody may offer then)" if rest else ""
    is_one = len({tenant.name for tenant, _ in shared}) == 1
    do, both = ("does", "both") if is_one else ("do", "all")
    return (
        f"{twin.name}, which is simulated, offers {what} as {names} {do}: {both} are given requests, and their results "
        f"stand side by side. For real results only: aiida-finales tenant deactivate {twin.name}{more}"
    )


def _is_simulated(offer: Json) -> bool:
    """Return whether a simulated device serves an offer: only these are told where their laboratory's things are."""
    return "inventory" in ((offer.get("settings") or {}).get("driver") or {})


def _dismiss(name: str) -> None:
    """Give a tenant of an earlier setup no more requests: samples are carried by one of the two."""
    if any(tenant.name == name for tenant in list_tenants()):
        switch_tenant(name, is_active=False)


def _driver_offer(plan: LaboratoryPlan, quantity: str, method: str, device: str, **settings: Any) -> Json:
    code = setup_driver(f"finales-{device}", plan.folder)
    own = {"code": f"{code.label}@{COMPUTER}", "journal": str(plan.folder / device), "driver": plan.common()}
    own["limit_s"] = plan.limit + plan.driver_settings.get("delay_s", 0.0)
    return _offer(quantity, method, {**own, **settings})


def _offer(quantity: str, method: str, settings: Json) -> Json:
    capability = load_capabilities()[quantity, method]
    if capability.default_offer is None:
        raise InputError(f"{quantity}.{method} has no default limitations")
    offer = {"quantity": quantity, "method": method, "cost": 1.0, **capability.default_offer()}
    return {**offer, "settings": settings} if settings else offer


def _add(
    name: str,
    offers: list[Json],
    max_concurrent: int,
    chemicals: list[Json] | None = None,
    parts: dict[str, list[Json]] | None = None,
) -> TenantData:
    others: Json = {"tenant_uuid": TENANT_UUIDS[name], "kind": "internal", "max_concurrent": max_concurrent}
    return add_tenant(name, offers, chemicals=chemicals, cell_parts=parts or None, **others)


def _register_stocks(plan: LaboratoryPlan, laboratory: Laboratory) -> None:
    """Fill the bottles and make them known as samples; what is in them is what their labels say.

    :raises InputError: when one has another content than before.
    """
    try:
        inventory = create_laboratory(plan.inventory, laboratory if plan.file is not None else None)
    except DeviceInputError as error:
        raise InputError(str(error)) from error
    for thing in inventory.find(kind="stock"):
        content = {"name": thing.content["name"], "formulation": make_formulation(thing.content["fractions"])}
        register_sample(thing.identity, "stock", thing.location, content, simulated=True)


def demand_model() -> str:
    """Return the UUID of the model of the simulated cells; it is trained when there is none."""
    from aiida_finales.calculations.lifetime import find_twin_model, train_on_twin

    found = find_twin_model(N_TRAINING_CELLS, TRAINING_SEED)
    return str((found or train_on_twin(N_TRAINING_CELLS, TRAINING_SEED)).uuid)
