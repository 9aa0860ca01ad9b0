"""A potential, or its reference method, on a computer that AiiDA knows, as a tenant of the loaded profile."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import NAMESPACE_URL, uuid5

from aiida import orm

from aiida_finales.broker.registration import add_tenant
from aiida_finales.calculations.learned_dynamics import AB_INITIO, LEARNED, TOLD, learned_limitations, with_protocol
from aiida_finales.calculations.potential import collect_frames, split_text, text_of
from aiida_finales.data.lookup import find_node
from aiida_finales.data.potential import PotentialData
from aiida_finales.data.tenant import TenantData, list_tenants
from aiida_finales.exceptions import InputError, SimulationInputError
from aiida_finales.operations.platform.simulation import demand_code, demand_frames
from aiida_finales.operations.potential.records import find_potential
from aiida_finales.potential.domain import mixtures_of
from aiida_finales.potential.input import PotentialInput, check_input, read_input
from aiida_finales.potential.references import begin_title
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.workflows.protocols import fill_settings

PROGRAM = "finales-mlp"
#: in the unit of the other tenants: a robot's measurement costs 10, classical dynamics 20
COST = 50.0
#: words of a tenant's name, by method
NAMES = {LEARNED: "potential", AB_INITIO: "reference"}
#: of a mole fraction
ROUNDING = 1e-3


@dataclass(frozen=True)
class Dynamics:
    """What is offered.

    :param given: the input of ``finales-mlp``.
    :param start: frames of the mixture in extended XYZ; as many as there are cells are taken, evenly.
    :param potential: identifier of a ``PotentialData``, or the folder that ``finales-mlp train`` wrote; ``None`` for
        the reference method.
    :param species: files of species beside those of the package, as ``finales-md species`` makes them.
    """

    given: Path
    start: Path
    potential: str | None = None
    species: tuple[Path, ...] = ()


@contextmanager
def open_frames(words: Sequence[str]) -> Iterator[Path]:
    """Give the file of frames that people name: itself, or one of the structures and trajectories that they name.

    :param words: path of a file, or identifiers of ``StructureData`` and ``TrajectoryData``.
    :raises UnknownNodeError: when there is no such file or node.
    :raises SimulationInputError: when a node has no frames.
    """
    if len(words) == 1 and Path(words[0]).is_file():
        yield Path(words[0])
        return
    hint = "accepted is a file in extended XYZ, or PK or UUID of StructureData and TrajectoryData"
    found = {f"frames_{index:04d}": find_node(word, orm.Data, "frames", hint) for index, word in enumerate(words)}
    frames = collect_frames(**found)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"frames_{frames.pk}.xyz"
        path.write_bytes(frames.get_content("rb"))
        yield path


def setup_learned_dynamics(
    computer: str,
    offered: Dynamics,
    *,
    program: str | None = None,
    protocol: str | None = None,
    overrides: Json | None = None,
    cost: float = COST,
) -> TenantData:
    """Register dynamics by a potential, or by the reference method itself, as a tenant, or replace it.

    It offers the mixture of the input only, at temperatures that the potential learned, or that the frames are of.

    :param computer: its label.
    :param program: path of ``finales-mlp`` there; the one of this environment, or on the search path, when ``None``.
    :param protocol: of the method; its default one when ``None``.
    :param overrides: settings that differ from the protocol.
    :param cost: of one result.
    :raises InputError: when one of these is not there, or they do not belong together.
    :raises SimulationError: when the program would refuse a setting of the protocol, a frame or the force field.
    """
    method = AB_INITIO if offered.potential is None else LEARNED
    settings = fill_settings(method, protocol, overrides)
    given = read_input(offered.given, offered.species)
    parameters = given.model_dump(mode="json", by_alias=True, exclude_unset=True)
    # told now, and not by the first request
    asked = check_input(with_protocol(parameters, settings["protocol"], is_learned=method == LEARNED), "settings")
    if method == AB_INITIO and asked.reference.method == "teacher":
        raise InputError(
            f"reference.method teacher was given, a potential itself: offer it by --potential {asked.reference.path}"
        )
    moving = asked.run if method == LEARNED else asked.reference
    demand_frames(moving.n_frames, settings)
    node = None if offered.potential is None else find_potential(offered.potential)
    if node is not None:
        _demand_mixture(parameters, node)
    limitations = learned_limitations(parameters, None if node is None else node.domain)
    frames = _choose_frames(offered.start, settings["n_cells"])
    if not tell_unseen():
        _demand_liquid(given, offered.start, node)
    if node is not None:
        _demand_reference(asked, node)
    code = demand_code(computer, PROGRAM, program)
    alone = {"max_parallel": 1} if code.computer.scheduler_type == "core.direct" else {}
    nodes: Json = {"parameters": orm.Dict(parameters).store().uuid, "start": frames.store().uuid}
    if node is not None:
        nodes["potential"] = node.store().uuid
    chosen: Json = {"protocol": protocol, "overrides": alone | (overrides or {}), "code": code.full_label, **nodes}
    quantities = (*TOLD[method], "radial_density_function")
    if node is not None and not settings["protocol"]["npt_ps"]:
        quantities = tuple(name for name in quantities if name != "density")
    offer = {"method": method, "cost": cost, "limitations": limitations, "settings": chosen}
    name, identity = _find_place(method, _shares_of(parameters["formulation"]), computer)
    offers = [{"quantity": quantity, **offer} for quantity in quantities]
    return add_tenant(name, offers, tenant_uuid=identity, kind="internal", max_concurrent=1)


def tell_unseen() -> list[str]:
    """Return, in words, what cannot be looked at here before the first request is."""
    lacks = [name for name in ("ase", "rdkit") if find_spec(name) is None]
    words = "frames and force fields are looked at by the first request, and not now: install the extra 'mlp' here"
    return [f"{words} ({', '.join(lacks)})"] if lacks else []


def _find_place(method: str, shares: dict[str, float], computer: str) -> tuple[str, str]:
    """Return name and identity of the tenant of a mixture: those of before, or free ones.

    Mixtures of the same chemicals in other parts are told apart by a number.
    """
    liquid = "-".join(sorted(shares))
    known = {tenant.name: tenant for tenant in list_tenants(only_active=False)}
    for number in itertools.count(1):
        more = "" if number == 1 else f"-{number}"
        name = f"{NAMES[method]}-{liquid}-{computer}{more}"
        before = known.get(name)
        if before is None or _is_same(shares, _shares_offered(before)):
            return name, str(uuid5(NAMESPACE_URL, f"aiida-finales/{method}/{liquid}/{computer}{more}"))
    raise AssertionError  # it counts for ever


def _shares_offered(tenant: TenantData) -> dict[str, float]:
    """Return the mixture that a tenant of dynamics offers; none of another tenant."""
    query = orm.QueryBuilder().append(
        orm.Dict, filters={"uuid": {"in": [str(offer["settings"].get("parameters")) for offer in tenant.offers]}}
    )
    found: orm.Dict | None = query.first(flat=True)
    return {} if found is None else _shares_of(found.get_dict()["formulation"])


def _demand_liquid(given: PotentialInput, start: Path, potential: PotentialData | None) -> None:
    """Check all that would end each run: frames of another liquid, or of one that the potential did not learn.

    :raises SimulationError: when it would.
    """
    from aiida_finales.potential.classical import plan
    from aiida_finales.potential.committee import demand_liquid
    from aiida_finales.potential.explore import demand_density, demand_domain
    from aiida_finales.potential.frames import demand_content, read_frames

    cell, frames = plan(given), read_frames(start)
    demand_content(frames, cell, start)
    if potential is None:
        return
    words = potential.base.attributes.all
    demand_liquid(cell, words)
    domain = demand_domain(given, words)
    for index, frame in enumerate(frames):
        demand_density(frame, domain, f"{start}, frame {index}")


def _demand_reference(asked: PotentialInput, potential: PotentialData) -> None:
    """Check that what labels frames at the end is what the potential learned."""
    title = begin_title(asked.reference)
    is_same = not title or potential.reference == title or potential.reference.startswith(f"{title} (")
    if asked.run.n_checked and not is_same:
        raise InputError(
            f"reference: {title} was given, but the potential learned {potential.reference}: give that one, or "
            "n_checked 0 under 'protocol', and the true error is not known"
        )


def _shares_of(parts: list[Json]) -> dict[str, float]:
    return {get_chemical(part["smiles"]).name: float(part["mole_fraction"]) for part in parts}


def _demand_mixture(parameters: Json, potential: PotentialData) -> None:
    asked, *learned = map(_shares_of, (parameters["formulation"], *mixtures_of(potential.domain)))
    if not any(_is_same(asked, shares) for shares in learned):
        given, *accepted = (json.dumps(shares) for shares in (asked, *learned))
        words = f"the potential learned {' and '.join(accepted)}, and holds for that only"
        raise InputError(f"the input is of {given}, but {words}")


def _is_same(asked: dict[str, float], learned: dict[str, float]) -> bool:
    return asked.keys() == learned.keys() and all(abs(asked[key] - learned[key]) <= ROUNDING for key in asked)


def _choose_frames(path: Path, number: int) -> orm.SinglefileData:
    """Return so many frames of a file, from the first to the last."""
    try:
        blocks = split_text(text_of(path.read_bytes(), path.name))
    except SimulationInputError as error:
        raise InputError(f"--start {path}: {error}") from error
    if len(blocks) < number:
        raise InputError(f"{path} holds {len(blocks)} frames, but n_cells is {number}: each cell starts from its own")
    chosen = [blocks[len(blocks) * index // number] for index in range(number)]
    return orm.SinglefileData(io.BytesIO("".join(chosen).encode()), "start.xyz")
