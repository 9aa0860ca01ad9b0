"""Around a simulation: what is simulated, with which seed, what stops it, and what its cells mean together."""

from __future__ import annotations

import csv
import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

from aiida import orm
from aiida.engine import ExitCode, calcfunction
from aiida.transports import Transport

from aiida_finales.calculations.conductivity import DEFAULT_TEMPERATURE
from aiida_finales.calculations.molecular_dynamics import CELL_FOLDER
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import InputError
from aiida_finales.md.output import LOG
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import Chemical, chemical_label, get_chemical
from aiida_finales.science.liquid.diffusion import CellTransport
from aiida_finales.science.liquid.heat_capacity import MODEL, Fluctuation, HeatCapacity, join_heat_capacities
from aiida_finales.science.liquid.pair_distribution import average_coordination
from aiida_finales.science.liquid.transport_summary import Estimate, TransportSummary, estimate, rate, summarise
from aiida_finales.science.liquid.viscosity import RunningViscosity, join_viscosities

#: entry point of :func:`stop_runaway`, and s between two looks
MONITOR, MONITOR_INTERVAL = "finales.molecular_dynamics", 60
#: a mean over so many lines of a stage is the thermostat's temperature, within this part of it, or something is wrong
TEMPERATURE_PART, N_LINES = 0.15, 20


#: version of the program's input
PROGRAM_SCHEMA = "finales-md/1"
#: the settings of a tenant that the program is handed as they are
PROGRAM_SETTINGS = ("n_molecules", "pressure_bar", "engine", "platform", "ion_charge_scale", "protocol")
#: half width of the 95 % interval over the mean, up to which a density is precise, and a share or number of neighbours
PRECISE_DENSITY, PRECISE_NUMBER = 0.01, 0.1
#: what is said of values that follow from others
INDEPENDENT = "from self-diffusion and formal charges (Nernst and Einstein): ions as if they moved independently"
SMALL_BOX = "slope of the mean squared displacement; not corrected for the size of the box, which slows molecules down"
SHELL = "molecules by their nearest donor atom, all within one cutoff: the first minimum of their density"
GREEN_KUBO = "Green-Kubo integral of five components of the pressure tensor at constant volume"
#: why a cell lacks what this version reads
OLDER = "the cell was evaluated by an older version"
#: exit status of a request whose quantity the cells do not hold
NO_VALUE = 440
#: mole fractions of a chemical that is present, as of the published tenant: of fewer, a cell holds one or none
LEAST_FRACTION, MOST_SALT = 0.005, 0.5
#: chemicals whose liquids were simulated and compared; the program has force fields of more
SIMULATED = ("LiPF6", "EC", "EMC", "DMC", "PC", "DEC", "FEC")
#: K; liquid electrolytes, within the range that force fields of organic liquids are made for
TEMPERATURES = (253.15, 373.15)


@calcfunction
def plan_simulation(request: RequestData, settings: orm.Dict, method: orm.Str) -> orm.Dict:
    """Return the input of the program for a request; the same request has the same seed.

    :param settings: see :func:`aiida_finales.workflows.protocols.fill_settings`.
    :param method: the method of the request that is used.
    """
    parameters, chosen = request.parameters[method.value], settings.get_dict()
    present = [part for part in parameters["formulation"] if part["fraction"] > 0]
    total = sum(part["fraction"] for part in present)
    return orm.Dict(
        {
            "schema": PROGRAM_SCHEMA,
            "formulation": [
                {
                    "smiles": part["chemical"]["SMILES"],
                    "name": chemical_label(part["chemical"]["InChIKey"]),
                    "mole_fraction": part["fraction"] / total,
                }
                for part in present
            ],
            "temperature_K": parameters.get("temperature") or DEFAULT_TEMPERATURE,
            "seed": seed_of(request.uuid),
            **{name: chosen[name] for name in PROGRAM_SETTINGS},
        }
    )


@calcfunction
def shorten_timestep(parameters: orm.Dict) -> orm.Dict:
    """Return the input of the program with half the time step: what blew up may hold at that."""
    document = parameters.get_dict()
    protocol = {**document["protocol"], "timestep_fs": document["protocol"]["timestep_fs"] / 2}
    return orm.Dict({**document, "protocol": protocol})


@calcfunction
def collect_cells(
    request: RequestData,
    tenant: TenantData,
    settings: orm.Dict,
    method: orm.Str,
    run: orm.Str,
    **outputs: orm.Data,
) -> Any:
    """Return the result of all cells together: means, their errors, a rating.

    :param run: UUID of the process that simulated them.
    :param outputs: ``cell_NN``, what each cell gave, and ``pairs_NN``, its pair distributions.
    """
    return make_result((request, tenant, settings, method), run, outputs)


def make_result(
    asked: tuple[RequestData, TenantData, orm.Dict, orm.Str],
    run: orm.Str,
    outputs: dict[str, orm.Data],
    finish: Callable[[Json, list[Json]], None] = lambda _data, _cells: None,
) -> Any:
    """Return the result of all cells of a run; what :func:`collect_cells` returns.

    :param asked: request, tenant, settings and method.
    :param finish: changes the data in the published form, given what each cell told.
    """
    request, tenant, settings, method = asked
    cells = [node.get_dict() for name, node in sorted(outputs.items()) if name.startswith("cell")]
    pairs = [node for name, node in sorted(outputs.items()) if name.startswith("pairs")]
    try:
        data, temperature = _collect(request, settings.get_dict(), method.value, cells, pairs)
        finish(data, cells)
    except InputError as error:
        return ExitCode(NO_VALUE, str(error))
    data["simulation"]["run"] = run.value
    used = {**request.parameters[method.value], "temperature": temperature}
    capability = orm.load_node(request.capabilities[method.value])
    identity = {"tenant_uuid": tenant.tenant_uuid, "request_uuid": request.uuid}
    return {"result": ResultData(capability, data, used, **identity, strict=True)}


def simulation_limitations() -> Json:
    """Return what can be simulated with the force fields of the package, in the published form."""
    low, high = TEMPERATURES
    return {
        "formulation": [[_limit(get_chemical(name)) for name in SIMULATED]],
        "temperature": [{"min": low, "max": high}],
    }


def _limit(chemical: Chemical) -> Json:
    present = {"min": LEAST_FRACTION, "max": MOST_SALT if chemical.is_salt else 1 - LEAST_FRACTION}
    return {
        "chemical": {"SMILES": chemical.smiles, "InChIKey": chemical.inchikey},
        # a liquid without salt conducts nothing
        "fraction": [present] if chemical.is_salt else [0.0, present],
        "fraction_type": ["molPerMol"],
    }


def seed_of(uuid: str) -> int:
    """Return the seed of a request, 0 to 2^31 - 1."""
    return UUID(uuid).int % 2**31


def _collect(
    request: RequestData, settings: Json, method: str, cells: list[Json], pairs: list[orm.ArrayData]
) -> tuple[Json, float]:
    """Return the data of the result in the published form, and the temperature (K).

    :raises InputError: when there is no cell, or what was asked for is not in them.
    """
    summary = summarise(CellTransport.from_dict(cell["transport"]) for cell in cells)
    temperature = cells[0]["output"]["temperature_asked_K"]
    distributions = _mean_distributions(pairs)
    details = _details(settings, cells, summary)
    if request.quantity == "radial_density_function":
        if distributions is None:
            raise InputError("no cell has pair distributions: install the extra 'md' beside AiiDA (MDAnalysis)")
        return {**distributions, "meta": _density(cells, temperature)["meta"], **details}, temperature
    common = {
        "run_info": _run_info(request, method, cells[0]),
        "conductivity": _conductivity(summary, cells, temperature),
        "density": _density(cells, temperature),
        **_tell_more(cells, summary, temperature),
        "number_molecules_per_component": _counts(request, method, cells[0]),
        **details,
    }
    return common if distributions is None else {**common, "RDF": distributions}, temperature


def _conductivity(summary: TransportSummary, cells: list[Json], temperature: float) -> Json:
    values = [cell["transport"]["conductivity_nernst_einstein"] for cell in cells]
    is_positive = summary.conductivity_nernst_einstein.mean > 0
    meta = {"success": is_positive, "rating": summary.rating if is_positive else 1}
    return {"values": values, "temperature": temperature, "meta": meta}


def _density(cells: list[Json], temperature: float) -> Json:
    values = [cell["output"]["density_g_cm3"]["mean"] for cell in cells]
    meta = {"success": True, "rating": rate(estimate(values), 0, precise=PRECISE_DENSITY)}
    return {"values": values, "temperature": temperature, "meta": meta}


def _tell_more(cells: list[Json], summary: TransportSummary, temperature: float) -> Json:
    """Return what the cells tell besides conductivity and density, by quantity."""
    cation = next(ion["species"] for ion in cells[0]["transport"]["ions"] if ion["charge"] > 0)
    found = {
        "self_diffusion_coefficient": _diffusion(cells, summary, cation),
        "transference_number": _transference(cells, summary, cation),
        "coordination_number": _coordination(cells, cation),
        "heat_capacity": _heat_capacity(cells),
        "viscosity": _viscosity(cells),
    }
    return {quantity: {**body, "temperature": temperature} for quantity, body in found.items()}


def _diffusion(cells: list[Json], summary: TransportSummary, cation: str) -> Json:
    moving = [item for cell in cells for item in (*cell["transport"]["ions"], *cell.get("solvents", ()))]
    by_species: dict[str, list[float]] = {}
    for item in moving:
        by_species.setdefault(item["species"], []).append(item["diffusion"])
    return _report(by_species[cation], summary.n_flagged) | {
        "of": cation,
        "by_species": {name: _mean(estimate(values)) for name, values in by_species.items()},
        "how": SMALL_BOX,
    }


def _transference(cells: list[Json], summary: TransportSummary, cation: str) -> Json:
    shares = [{ion["species"]: ion["transference"] for ion in cell["transport"]["ions"]} for cell in cells]
    return _report([item[cation] for item in shares], summary.n_flagged, precise=PRECISE_NUMBER) | {
        "of": cation,
        "by_species": {name: _mean(found) for name, found in summary.transference.items()},
        "how": INDEPENDENT,
    }


def _coordination(cells: list[Json], cation: str) -> Json:
    """Return the neighbours of the cations by partner: roles of a donor atom in one molecule are added up."""
    shells = [cell.get("coordination", {}) for cell in cells]
    body = _report([shell[cation]["total"] for shell in shells if cation in shell], 0, precise=PRECISE_NUMBER)
    if not body["values"]:
        body["reason"] = "no cell has a shell around it: frames of all atoms (MDAnalysis, the extra 'md') are missing"
    by_partner: dict[str, list[float]] = {}
    for ion in dict.fromkeys(name for shell in shells for name in shell):
        present = [shell[ion]["numbers"] for shell in shells if ion in shell]
        partners = dict.fromkeys(_partner(ion, kind) for numbers in present for kind in numbers)
        for partner in partners:
            counted = [
                math.fsum(number for kind, number in numbers.items() if _partner(ion, kind) == partner)
                for numbers in present
            ]
            by_partner[partner] = counted
    return body | {
        "of": cation,
        "by_partner": {name: _mean(estimate(values)) for name, values in by_partner.items()},
        "cutoff_angstrom": {name: shell["cutoff_angstrom"] for name, shell in average_coordination(shells).items()},
        "how": SHELL,
    }


def _partner(cation: str, kind: str) -> str:
    """Return a pair as people write it, e.g. ``Li-O(EC)`` for ``EC carbonyl O``."""
    words = kind.split()
    return f"{cation}-{words[-1]}({words[0]})"


def _heat_capacity(cells: list[Json]) -> Json:
    isobaric, why = _fluctuations(cells, "isobaric")
    isochoric, _ = _fluctuations(cells, "isochoric")
    reason = why if isobaric is None else isobaric.reason
    means = {name: _mean(item.estimate) for name, item in (("isobaric", isobaric), ("isochoric", isochoric)) if item}
    if isobaric is None or reason is not None:
        return {**_report([], 0), "reason": reason, **means, "how": f"at constant pressure; {MODEL}"}
    body = _report(list(isobaric.values), 0, precise=PRECISE_NUMBER)
    return {**body, "values_uncertainty": list(isobaric.errors), **means, "how": f"at constant pressure; {MODEL}"}


def _fluctuations(cells: list[Json], kind: str) -> tuple[HeatCapacity | None, str]:
    """Return the heat capacity of one kind from the cells that have it, or why there is none."""
    told = [cell.get("heat_capacity", {}).get(kind, {"reason": OLDER}) for cell in cells]
    known = [Fluctuation(**item) for item in told if "reason" not in item]
    if not known:
        return None, str(told[0]["reason"])
    return join_heat_capacities(known, kind), ""


def _viscosity(cells: list[Json]) -> Json:
    told = [cell.get("viscosity", {"reason": OLDER}) for cell in cells]
    known = [RunningViscosity.from_dict(item) for item in told if "reason" not in item]
    if not known:
        return {**_report([], 0), "reason": told[0]["reason"], "how": GREEN_KUBO}
    found = join_viscosities(known)
    about: Json = {"mean": found.mean, "standard_error": found.standard_error, "integral_ps": found.time}
    if found.reason is not None:
        return {**_report([], 0), "reason": found.reason, **about, "how": GREEN_KUBO}
    return {**_report(list(found.values), 0), **about, "how": GREEN_KUBO}


def _report(values: list[float], n_flagged: int, **precise: float) -> Json:
    """Return the values of the cells with success and rating."""
    found = estimate(values) if values else None
    is_known = found is not None and found.mean > 0
    rating = rate(found, n_flagged, **precise) if found is not None and is_known else 1
    reason = (
        {} if found is None or is_known else {"reason": f"the mean over the cells is {found.mean:.3g}, not above 0"}
    )
    return {"values": values, "meta": {"success": is_known, "rating": rating}, **reason}


def _mean(found: Estimate) -> Json:
    return {key: value for key, value in asdict(found).items() if key != "standard_deviation"}


def _run_info(request: RequestData, method: str, cell: Json) -> Json:
    """Return the composition of the cells, which hold whole molecules only."""
    formulation = [{**part, "fraction": found["mole_fraction"]} for part, found in _match(request, method, cell)]
    return {"formulation": formulation, "internal_reference": request.uuid}


def _counts(request: RequestData, method: str, cell: Json) -> dict[str, int]:
    return {part["chemical"]["SMILES"]: found["count"] for part, found in _match(request, method, cell)}


def _match(request: RequestData, method: str, cell: Json) -> list[tuple[Json, Json]]:
    """Return each chemical asked for with what is in the cell, whose order may be that of another request."""
    found = {item["name"]: item for item in cell["system"]["formulation"]}
    present = [part for part in request.parameters[method]["formulation"] if part["fraction"] > 0]
    return [(part, found[chemical_label(part["chemical"]["InChIKey"])]) for part in present]


def _mean_distributions(pairs: list[orm.ArrayData]) -> Json | None:
    """Return the means of the pair distributions of all cells in the published form, over distances common to all."""
    import numpy as np

    if not pairs:
        return None
    radii = [node.get_array("radius") for node in pairs]
    radius = min(radii, key=len)
    mean = np.mean([node.get_array("g")[:, : len(radius)] for node in pairs], axis=0)
    volumes = [node.base.attributes.get("cell_volume") for node in pairs]
    return {
        "radius": radius.tolist(),
        "pair_title": pairs[0].base.attributes.get("pair_title"),
        "RDF": mean.tolist(),
        "cell_volume": float(np.mean(volumes)),
        "cell_formula": pairs[0].base.attributes.get("cell_formula"),
    }


def _details(settings: Json, cells: list[Json], summary: TransportSummary) -> Json:
    """Return what the published form has no place for."""
    outputs = [cell["output"] for cell in cells]
    system = cells[0]["system"]
    return {
        "transport": {
            **summary.to_dict(),
            "values_are": "Nernst-Einstein conductivities of the cells, from formal charges",
        },
        "coordination": average_coordination([cell.get("coordination", {}) for cell in cells]),
        "simulation": {
            "protocol": settings["protocol"],
            "n_cells": len(cells),
            "n_molecules": system["n_molecules"],
            "ion_charge_scale": system["ion_charge_scale"],
            "forcefield_sha256": system["forcefield_sha256"],
            "engine": outputs[0]["engine"],
            "versions": outputs[0]["versions"],
            "ns_per_day": [output["ns_per_day"] for output in outputs],
        },
    }


def stop_runaway(node: orm.CalcJobNode, transport: Transport) -> str | None:
    """Return why a simulation is to be stopped, or ``None``.

    The program stops by itself what blows up within a frame. This finds what goes wrong slowly: a temperature that the
    thermostat no longer holds, an energy that is no number.
    """
    remote = str(Path(node.get_remote_workdir()) / CELL_FOLDER / LOG)
    if not transport.isfile(remote):
        return None  # still packing
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / LOG
        transport.getfile(remote, str(local))
        rows = [row for row in csv.reader(local.read_text(encoding="utf-8").splitlines()) if row]
    return find_runaway(rows, float(node.inputs.parameters["temperature_K"]))


def find_runaway(rows: list[list[str]], wanted: float) -> str | None:
    """Return what is wrong with the last lines of a log, or ``None``.

    :param rows: of the log: stage, ps, K, g/cm3, nm3, kJ/mol, kJ/mol; the last one may be written in part.
    :param wanted: temperature asked for, K.
    """
    stage = rows[-1][0] if rows else ""
    lines = [row for row in rows[:-1] if row[0] == stage and len(row) == len(rows[0])][-N_LINES:]
    if any(not math.isfinite(float(row[5])) for row in lines):
        return f"the potential energy is {lines[-1][5]} kJ/mol in stage {stage}"
    if len(lines) < N_LINES or stage == "nvt":  # it is warmed up there
        return None
    mean = math.fsum(float(row[2]) for row in lines) / len(lines)
    if abs(mean - wanted) > TEMPERATURE_PART * wanted:
        return f"the temperature is {mean:.1f} K in stage {stage}, asked were {wanted:g} K"
    return None
