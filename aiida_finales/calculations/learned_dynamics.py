"""Dynamics by a potential, or by the reference method: one run of ``finales-mlp``, and what runs mean together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec, calcfunction

from aiida_finales.calculations.molecular_dynamics import (
    CELL_FOLDER,
    INPUT_FILENAME,
    KEPT,
    READ_ONCE,
    MolecularDynamicsCalculation,
    walltime_of,
)
from aiida_finales.calculations.potential import (
    POTENTIAL_FOLDER,
    STDERR_FILENAME,
    STDOUT_FILENAME,
    WORK_FOLDER,
    arguments_of,
    check_parameters,
    name_file,
)
from aiida_finales.calculations.simulation import make_result, seed_of
from aiida_finales.data.potential import PotentialData
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import InputError
from aiida_finales.potential.domain import MIXTURE_MARGIN, TEMPERATURE_MARGIN, narrow, temperatures_of
from aiida_finales.potential.work import OUTPUT
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import Chemical, chemical_label, get_chemical

LEARNED, AB_INITIO = "machine_learned_dynamics", "ab_initio_molecular_dynamics"
#: what ``finales-mlp`` found itself, beside its cell
STEP_FILENAME = "step.json"
#: what runs tell; classical heat capacities and viscosities of such short runs are none
TOLD = {
    LEARNED: ("conductivity", "density", "self_diffusion_coefficient", "coordination_number"),
    AB_INITIO: ("coordination_number",),
}
#: of cells in the published form
OTHERS = ("transference_number", "heat_capacity", "viscosity")
#: largest rating by the true error of the forces of visited frames, up to so many meV/angstrom
RATINGS = ((100.0, 5), (200.0, 3))
POOR, DISTRUSTED = 2, 1


class LearnedDynamicsCalculation(MolecularDynamicsCalculation):
    """Dynamics from a frame: by a potential with ``run``, without one by the reference method with ``reference``."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        super().define(spec)
        spec.inputs["code"].help = "the program finales-mlp"
        spec.inputs["parameters"].validator = check_parameters
        spec.inputs["cell"].help = "number of the frame that it starts from"
        del spec.inputs["species"]
        spec.input("start", valid_type=orm.SinglefileData, help="frames to start from, one for each cell")
        spec.input("potential", valid_type=PotentialData, required=False, help="what gives the forces")
        spec.input("metadata.options.parser_name", valid_type=str, default="finales.learned_dynamics")
        spec.exit_code(409, "ERROR_NOT_CONVERGED", message="the reference does not converge: {reason}")
        spec.exit_code(452, "ERROR_DISTRUSTED", message="what was found is kept, and not to be trusted: {reason}")

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the input file; ask for the small files back."""
        document = json.dumps(self.inputs.parameters.get_dict(), indent=1)
        Path(folder.get_abs_path(INPUT_FILENAME)).write_text(document)
        start = self.inputs.start
        places = {"start": name_file("start", start)}
        code, info = CodeInfo(), CalcInfo()
        info.local_copy_list = [(start.uuid, start.filename, places["start"])]
        if "potential" in self.inputs:
            places["potential"] = POTENTIAL_FOLDER
            node = self.inputs.potential
            names = node.base.repository.list_object_names()
            info.local_copy_list += [(node.uuid, name, f"{POTENTIAL_FOLDER}/{name}") for name in names]
        code.code_uuid = self.inputs.code.uuid
        code.cmdline_params = self._words(places)
        code.stdout_name, code.stderr_name = STDOUT_FILENAME, STDERR_FILENAME
        info.codes_info = [code]
        cell = f"{WORK_FOLDER}/{CELL_FOLDER}"
        info.retrieve_list = [
            *(STDOUT_FILENAME, STDERR_FILENAME, f"{WORK_FOLDER}/error.json"),
            (f"{WORK_FOLDER}/{OUTPUT}", STEP_FILENAME, 0),
            *(f"{cell}/{name}" for name in KEPT if name != "error.json"),
        ]
        info.retrieve_temporary_list = [f"{cell}/{name}" for name in READ_ONCE]
        if "parent_folder" in self.inputs:
            parent = self.inputs.parent_folder
            info.remote_copy_list = [
                (parent.computer.uuid, str(Path(parent.get_remote_path()) / WORK_FOLDER), WORK_FOLDER)
            ]
        return info

    def _words(self, places: dict[str, str]) -> list[str]:
        step = "run" if "potential" in places else "reference"
        words = [step, INPUT_FILENAME, *arguments_of(step, places, {"frame": self.inputs.cell.value})]
        limit = self.inputs.metadata.options.get("max_wallclock_seconds")
        if limit is not None:
            words += ["--walltime", str(walltime_of(limit))]
        # in any case --resume: a cluster may begin a job again in its folder
        return [*words, "--out", WORK_FOLDER, "--resume"]


@calcfunction
def plan_learned_dynamics(
    request: RequestData, settings: orm.Dict, method: orm.Str, parameters: orm.Dict, learned: orm.Bool
) -> orm.Dict:
    """Return the input of the program for a request; the same request has the same seed.

    :param parameters: the input of the program that a potential was made with, or frames to start from.
    :param learned: whether a potential gives the forces.
    """
    document = with_protocol(parameters.get_dict(), settings.get_dict()["protocol"], is_learned=learned.value)
    temperature = request.parameters[method.value].get("temperature")
    # under the names by which a result finds its chemicals again
    formulation = [
        {**part, "name": chemical_label(get_chemical(part["smiles"]).inchikey)} for part in document["formulation"]
    ]
    return orm.Dict(
        {
            **document,
            "formulation": formulation,
            "temperature_K": temperature or document["temperature_K"],
            "seed": seed_of(request.uuid),
        }
    )


def with_protocol(parameters: Json, protocol: Json, *, is_learned: bool) -> Json:
    """Return an input of the program with the protocol of a tenant, in the step by which that answers.

    :param is_learned: whether a potential gives the forces.
    """
    step = "run" if is_learned else "reference"
    return {**parameters, step: {**parameters.get(step, {}), **protocol}}


@calcfunction
def collect_learned_dynamics(
    request: RequestData,
    tenant: TenantData,
    settings: orm.Dict,
    method: orm.Str,
    run: orm.Str,
    **outputs: orm.Data,
) -> Any:
    """Return the result of all cells together, rated by their true error as well.

    :param run: UUID of the process that simulated them.
    :param outputs: ``cell_NN``, what each cell gave, and ``pairs_NN``, its pair distributions.
    """

    def finish(data: Json, cells: list[Json]) -> None:
        finish_data(data, cells, method.value, request.quantity)

    return make_result((request, tenant, settings, method), run, outputs, finish)


def finish_data(data: Json, cells: list[Json], method: str, quantity: str) -> None:
    """Say in a result what gave the forces, leave out what they do not tell, and let it be rated no better than they.

    :param data: in the published form; it is changed.
    :raises InputError: when what was asked for is not told.
    """
    forces = [cell["forces"] for cell in cells]
    data["forces"] = describe_forces(forces, method)
    told = set(TOLD[method])
    if not all(item["has_density"] for item in forces):
        told.discard("density")
    for name in {*TOLD[LEARNED], *OTHERS} - told:
        data.pop(name, None)
    if quantity not in {*told, "radial_density_function"}:
        raise InputError(f"{quantity} is not told: the volume was that of the start; protocol.npt_ps above 0 finds one")
    largest = data["forces"]["largest_rating"]
    for body in (data, *(value for value in data.values() if isinstance(value, dict))):
        if "rating" in body.get("meta", {}):
            body["meta"]["rating"] = min(body["meta"]["rating"], largest)


def describe_forces(forces: list[Json], method: str) -> Json:
    """Return what gave the forces of all cells, how wrong they were, and how far they are to be rated for it."""
    first = forces[0]
    doubts = [item["distrust"] for item in forces if item["distrust"]]
    found: Json = {
        "statement": first["statement"],
        "ps": [item["ps"] for item in forces],
        "ended_by": [item["ended_by"] for item in forces],
    }
    if method == AB_INITIO:
        is_whole = all(item["ended_by"] == "end" for item in forces)
        why = "forces of the method itself" if is_whole else "dynamics that ended before their time"
        return found | {"largest_rating": 5 if is_whole else POOR, "rated_for": why}
    true = [item["true_error"] for item in forces]
    # frames that the reference could not label may be those that are worst
    errors = [item["forces_meV_A"] for item in true if "forces_meV_A" in item and not item.get("failed")]
    found |= {"held_out": first["held_out"], "true_error": true}
    if doubts:
        return found | {"largest_rating": DISTRUSTED, "rated_for": "; ".join(doubts)}
    if len(errors) < len(forces):
        failed = sum(item.get("failed", 0) for item in true)
        cause = f"the reference had no answer for {failed} frames" if failed else "protocol.n_checked is 0"
        why = f"a true error that nobody knows: {cause}"
        return found | {"largest_rating": POOR, "rated_for": why}
    worst = max(*errors, first["held_out"]["forces_meV_A"])
    largest = next((rating for error, rating in RATINGS if worst <= error), POOR)
    why = f"an error of the forces of {worst:.0f} meV/Å, on held-out or on visited frames"
    return found | {"largest_rating": largest, "rated_for": why}


def learned_limitations(parameters: Json, domain: Json | None) -> Json:
    """Return what can be asked of dynamics of one mixture, in the published form.

    :param parameters: the input of the program.
    :param domain: of the potential; ``None`` of the reference method, which has none but the density of its frames.
    :raises InputError: when a chemical is not known here.
    """
    asked = float(parameters["temperature_K"])
    low, high = asked - TEMPERATURE_MARGIN, asked + TEMPERATURE_MARGIN
    if domain is not None:
        # of several mixtures each has temperatures of its own
        own = narrow(domain, parameters["formulation"], lambda smiles: get_chemical(smiles).inchikey)
        low, high = temperatures_of(own or domain)
    parts = [(get_chemical(part["smiles"]), float(part["mole_fraction"])) for part in parameters["formulation"]]
    return {"formulation": [[_limit(*part) for part in parts]], "temperature": [{"min": low, "max": high}]}


def check_offered_dynamics(method: str, settings: Json) -> list[str]:
    """Return what requests to a tenant with these settings must know.

    :raises InputError: when one is missing that the method needs.
    """
    needed = ("code", "parameters", "start", *(("potential",) if method == LEARNED else ()))
    missing = [name for name in needed if not settings.get(name)]
    if missing:
        given = ", ".join(settings) or "none"
        raise InputError(
            f"settings of {method}: {given} was given, {', '.join(missing)} is missing; "
            "'aiida-finales tenant add-potential' writes all of them"
        )
    if method == AB_INITIO:
        return []
    node = orm.load_node(settings["potential"])
    return [f"forces by {node.statement}; {node.validation['forces_meV_A']:.0f} meV/Å wrong on held-out frames"]


def _limit(chemical: Chemical, fraction: float) -> Json:
    return {
        "chemical": {"SMILES": chemical.smiles, "InChIKey": chemical.inchikey},
        "fraction": [{"min": max(0.0, fraction - MIXTURE_MARGIN), "max": min(1.0, fraction + MIXTURE_MARGIN)}],
        "fraction_type": ["molPerMol"],
    }
