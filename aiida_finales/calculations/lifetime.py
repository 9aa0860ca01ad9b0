"""The lifetime of battery cells: train a model, and predict the end of life of a cell from its first cycles."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.exceptions import MultipleObjectsError, NotExistent
from aiida.common.log import AIIDA_LOGGER
from aiida.engine import ExitCode, calcfunction

from aiida_finales import __version__
from aiida_finales.data.active import MADE_HERE
from aiida_finales.data.lifetime_model import LifetimeModelData
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import FinalesError, InputError
from aiida_finales.schemas.quantities.degradation import DegradationEOLInput
from aiida_finales.science.lifetime.data import (
    COIN_CELL_FEATURES,
    N_TWIN_CELLS,
    describe_twin,
    make_twin_dataset,
)
from aiida_finales.science.lifetime.methods import Dataset, read_dataset_json, train
from aiida_finales.science.lifetime.model import LifetimeModel, LifetimePrediction, predict

LOGGER = AIIDA_LOGGER.getChild("finales.lifetime")

METHOD = "degradation_model"
#: exit status when nothing can be learned from the cells with these settings
NOT_TRAINABLE = 420
#: whatever a model needs, fewer cycles are refused
LEAST_CYCLES = 40
#: rating by the standard deviation over the end of life; anything worse is rated 1
RATING_LIMITS = ((5, 0.05), (4, 0.10), (3, 0.20), (2, 0.40))
#: a capacity so much larger than that of the electrodes has the wrong unit
UNIT_MISTAKE = 100.0
#: what is said with all that comes of cells that nobody measured
SIMULATED_ONLY = (
    "the model learned from simulated cells only: for measured ones, train one on measured ones ('aiida-finales model "
    "train') and offer it"
)


@calcfunction
def train_lifetime_model(dataset: orm.SinglefileData, settings: orm.Dict) -> Any:
    """Return a model of the lifetime.

    :param dataset: JSON of a dataset: see :func:`aiida_finales.science.lifetime.methods.read_dataset_json`.
    :param settings: ``method`` (gp, lstm, generator or fade), ``group`` of the cells to learn from (all when
        ``None``), ``seed``, and what else the method knows.
    """
    chosen = settings.get_dict()
    method, group = chosen.pop("method", "gp"), chosen.pop("group", None)
    reported = {"report": LOGGER.report} if method == "lstm" else {}
    content = dataset.get_content("rb")
    begin = time.perf_counter()
    try:
        cells = read_dataset_json(content.decode()).of_group(group)
        model = train(cells, method, {"seed": 0, **chosen, **reported})
    except FinalesError as error:
        return ExitCode(NOT_TRAINABLE, str(error))
    training = {
        "data": {
            "uuid": dataset.uuid,
            "description": cells.description,
            "sha256": hashlib.sha256(content).hexdigest(),
            "group": group,
            "n_cells": len(cells.cells),
        },
        "settings": chosen,
        "seed": chosen.get("seed", 0),
        "versions": _versions(method),
        "hardware": {"processor": _processor(), "threads": 1},
        "seconds": time.perf_counter() - begin,
    }
    return LifetimeModelData(model, training, simulated=cells.simulated)


def train_on_twin(n_cells: int = N_TWIN_CELLS, seed: int = 0) -> LifetimeModelData:
    """Return a new model of simulated cells by a Gaussian process, the default of the simulated laboratory.

    :raises InputError: when nothing can be learned from so few cells.
    """
    dataset = make_dataset_node(make_twin_dataset(n_cells, seed)).store()
    model, process = train_lifetime_model.run_get_node(dataset, orm.Dict({"method": "gp"}))
    if not process.is_finished_ok:
        raise InputError(str(process.exit_message))
    return model


def find_twin_model(n_cells: int = N_TWIN_CELLS, seed: int = 0) -> LifetimeModelData | None:
    """Return the latest model that :func:`train_on_twin` of this version made here, or ``None``."""
    filters = {
        **MADE_HERE,
        "attributes.method": "gp",
        "attributes.training.data.description": describe_twin(n_cells, seed),
        "attributes.training.versions.aiida_finales": __version__,
        "attributes": {"has_key": "domain"},
    }
    query = orm.QueryBuilder().append(LifetimeModelData, filters=filters).order_by({LifetimeModelData: {"id": "desc"}})
    return query.limit(1).first(flat=True)


def make_dataset_node(dataset: Dataset) -> orm.SinglefileData:
    """Return a node, not stored, that :func:`train_lifetime_model` accepts."""
    node: orm.SinglefileData = orm.SinglefileData.from_string(dataset.to_json(), filename="cells.json")
    node.label = dataset.description
    return node


def _versions(method: str) -> dict[str, str]:
    found = {"aiida_finales": __version__, "python": platform.python_version()}
    others = {"lstm": ("torch",), "gp": ()}.get(method, ("scikit-learn",))
    for name in ("numpy", "scipy", *others):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    """Return the name of the processor; ``platform.processor`` is empty on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@calcfunction
def predict_end_of_life(request: RequestData, tenant: TenantData, model: LifetimeModelData, **evidence: Any) -> Any:
    """Return the end of life of one cell, or why it cannot be predicted: that is an answer too.

    :param evidence: namespace of results that the cycles of the request come from; for the provenance.
    """
    parameters = request.parameters[METHOD]
    sources = list(_results(evidence))
    body = _answer(model, parameters)
    capability = orm.load_node(request.capabilities[METHOD])
    formulation = parameters["battery_chemistry"]["electrolyte"]
    data = {
        "run_info": {"formulation": formulation, "internal_reference": request.uuid},
        "degradationEOL": {**body, "cell_info": parameters["cell_info"]},
    }
    result = ResultData(
        capability,
        data,
        parameters,
        tenant_uuid=tenant.tenant_uuid,
        request_uuid=request.uuid,
        simulated=model.is_simulated or any(source.base.attributes.get("simulated", False) for source in sources),
        strict=True,
    )
    return {"result": result}


def _results(evidence: Any) -> Any:
    """Yield the results of a namespace and of those inside it."""
    for item in evidence.values():
        if isinstance(item, ResultData):
            yield item
        else:
            yield from _results(item)


def _answer(model: LifetimeModelData, parameters: dict[str, Any]) -> dict[str, Any]:
    remark = {"learned_from": SIMULATED_ONLY} if model.is_simulated else {}
    try:
        return _predict(model.load(), parameters, remark)
    except InputError as error:
        reason = f"{error}; {SIMULATED_ONLY}" if model.is_simulated else str(error)
        return {
            "end_of_life": 0,
            "end_of_life_uncertainty": 0.0,
            "end_of_life_reached": None,
            "capacity_trajectory": [],
            "capacity_trajectory_uncertainty": [],
            "meta": {"success": False, "rating": 1, "reason": reason},
        }


def _predict(model: LifetimeModel, parameters: dict[str, Any], remark: dict[str, str]) -> dict[str, Any]:
    """Return the answer of a model.

    :raises InputError: when it does not know.
    """
    rule = model.task.rule
    given = discharge_capacities(parameters)
    # a request begins with cycle 1, whatever the model was trained on
    before, capacities = given[: model.task.first_cycle - 1], given[model.task.first_cycle - 1 :]
    found = predict(model, capacities, {name: parameters.get(name) for name in model.needs})
    trajectory, deviation = [*before, *found.trajectory], [*(0.0 for _ in before), *found.trajectory_sd]
    meta = {"success": found.reached, "rating": rate(found), "method": found.method, **remark}
    if not found.reached:
        meta["reason"] = f"the end of life is not reached within the {model.horizon} cycles that the model knows about"
    return {
        "end_of_life": len(trajectory) if found.end_of_life is None else found.end_of_life,
        "end_of_life_uncertainty": found.sd or 0.0,
        "end_of_life_reached": found.reached,
        "end_of_life_definition": {
            "threshold": rule.threshold,
            "reference": rule.reference_of(capacities),
            "persistence": rule.persistence,
        },
        "capacity_trajectory": [1e3 * value for value in trajectory],
        "capacity_trajectory_uncertainty": [1e3 * value for value in deviation],
        "meta": meta,
    }


def rate(found: LifetimePrediction) -> int:
    """Return a rating from 1 (poor) to 5 (good): see :data:`RATING_LIMITS`; an end that is not reached is no number."""
    if found.end_of_life is None or found.sd is None:
        return 1
    share = found.sd / max(found.end_of_life, 1)
    return next((stars for stars, limit in RATING_LIMITS if share <= limit), 1)


def check_offered_model(settings: dict[str, Any]) -> list[str]:
    """Return what requests to a tenant with these settings must know; nothing when it offers no model.

    :raises InputError: when the model is none, cannot be loaded, is no better than a constant, or needs an input that
        requests use for something else.
    """
    if "model" not in settings:
        return []
    node = demand_model(settings["model"])
    if node.method not in ("gp", "lstm"):
        raise InputError(f"model {node.pk} is of the method {node.method}, accepted are gp and lstm")
    if not node.is_skilled:
        raise InputError(f"model {node.pk} is not offered: {describe_skill(node)}")
    return [*_missing_inputs(node.load().needs), *([SIMULATED_ONLY] if node.is_simulated else [])]


def demand_model(identifier: Any) -> LifetimeModelData:
    """Return the model that a tenant's settings name.

    :raises InputError: when it is not here, or no model.
    """
    try:
        node = orm.load_node(identifier)
    except (NotExistent, MultipleObjectsError, ValueError, TypeError) as error:
        raise InputError(
            f"model {identifier!r} is not here: 'aiida-finales model list' shows those that are"
        ) from error
    if not isinstance(node, LifetimeModelData):
        raise InputError(f"model {identifier} is a {type(node).__name__}, accepted is a model of the lifetime")
    return node


def describe_skill(node: LifetimeModelData) -> str:
    """Return in words how a model compares with a constant."""
    found = node.validation
    verdict = "better than" if node.is_skilled else "hardly better than, or worse than,"
    return (
        f"on protocols left out its error is {found['mape']:.3g} %, {verdict} that of always saying the median life, "
        f"{found['mape_constant']:.3g} %"
    )


def _missing_inputs(needs: Sequence[str]) -> list[str]:
    """Return what to know about inputs that the capability does not declare.

    :raises InputError: when it declares one of them as something else.
    """
    declared = DegradationEOLInput.model_fields
    taken = [name for name in needs if name in declared and name not in COIN_CELL_FEATURES]
    if taken:
        raise InputError(
            f"the model needs {', '.join(taken)}, which requests for {METHOD} use for something else: train it with "
            "other names"
        )
    extra = [name for name in needs if name not in declared]
    return (
        [f"{METHOD} does not ask for {', '.join(extra)}: each request must give it beside the others"] if extra else []
    )


def discharge_capacities(parameters: dict[str, Any]) -> list[float]:
    """Return the discharge capacities (Ah) of a request: its list has charge and discharge in turn.

    :raises InputError: when they are too few, or larger than the electrodes permit.
    """
    discharges = list(parameters.get("input_cycles") or [])[1::2]
    if len(discharges) < LEAST_CYCLES:
        raise InputError(
            f"input_cycles has {len(discharges)} cycles, accepted are {LEAST_CYCLES} or more, charge and discharge "
            f"capacity in turn: {2 * LEAST_CYCLES} numbers"
        )
    electrodes = _electrode_capacity(parameters["battery_chemistry"])
    if electrodes is not None and max(discharges) > UNIT_MISTAKE * electrodes:
        raise InputError(
            f"input_cycles go up to {max(discharges):g} Ah, but the electrodes hold {electrodes:.3g} Ah: accepted are "
            "capacities in Ah, these look like mAh"
        )
    return discharges


def _electrode_capacity(chemistry: dict[str, Any]) -> float | None:
    """Return the capacity of the smaller electrode in Ah, or ``None`` when it is not known."""
    electrodes = [chemistry.get(side) or {} for side in ("anode", "cathode")]
    known = [(item.get("mass_loading"), item.get("size")) for item in electrodes]
    # mAh/cm2 times cm2
    capacities = [1e-3 * loading * size for loading, size in known if loading and size]
    return min(capacities) if capacities else None
