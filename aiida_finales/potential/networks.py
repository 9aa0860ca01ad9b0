"""Networks as graph-pes builds them: by name, in files of numbers and JSON only.

graph_pes is imported before e3nn and mace: it allows what e3nn's own files need and nothing else, while mace would
switch the safe reading of model files off for the whole process. No file is read but with ``weights_only``.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_finales.exceptions import EngineError, MissingExtraError, SimulationInputError
from aiida_finales.md.storage import replace_file
from aiida_finales.potential.input import ModelSettings
from aiida_finales.schemas import Json

if TYPE_CHECKING:
    from ase import Atoms

#: angstrom per nm
ANGSTROM = 10.0
#: what would let any model file run code in this process
UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def load_torch() -> Any:
    """Return torch, with graph_pes imported.

    :raises MissingExtraError: when one is not installed.
    """
    os.environ.pop(UNSAFE, None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import graph_pes  # noqa: F401 - before e3nn
            import torch
    except ImportError as error:
        raise MissingExtraError("mlp", "machine-learned potentials") from error
    return torch


def choose_device(name: str) -> str:
    """Return where networks are computed.

    :param name: ``auto`` takes a GPU where there is one.
    :raises EngineError: when a GPU is asked for and there is none.
    """
    has_gpu = bool(load_torch().cuda.is_available())
    if name == "cuda" and not has_gpu:
        raise EngineError("device cuda was given, and there is no GPU that torch can use here; accepted are auto, cpu")
    return "cuda" if has_gpu and name != "cpu" else "cpu"


def describe_network(settings: ModelSettings) -> Json:
    """Return what :func:`build` makes a network of."""
    keys = ("architecture", "cutoff_nm", "channels", "layers")
    return {key: getattr(settings, key) for key in keys}


def build(words: Json, elements: list[str], seed: int) -> Any:
    """Return a network with weights drawn at random.

    :param words: from :func:`describe_network`.
    :raises SimulationInputError: when there is no such architecture.
    """
    torch = load_torch()
    from graph_pes import models

    torch.manual_seed(seed)
    size: Json = {"channels": words["channels"]}
    if words["architecture"] == "nequip":
        size = {"features": {**size, "l_max": 1, "use_odd_parity": True}}
    common = {"cutoff": words["cutoff_nm"] * ANGSTROM, "layers": words["layers"], **size}
    if words["architecture"] in ("nequip", "mace"):
        common["elements"] = elements
    kinds = {"painn": "PaiNN", "tensornet": "TensorNet", "nequip": "NequIP", "mace": "MACE"}
    name = kinds.get(words["architecture"])
    if name is None:
        accepted = ", ".join(kinds)
        raise SimulationInputError(f"architecture {words['architecture']!r} was given, accepted is {accepted}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(models, name)(**common)


def fit_components(network: Any, graphs: list[Any]) -> None:
    """Set what a network takes from the numbers of neighbours of its training frames."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.pre_fit_all_components(graphs)


def make_graph(frame: Atoms, cutoff: float, device: str) -> Any:
    """Return the graph of a frame.

    :param cutoff: angstrom.
    """
    load_torch()
    from ase import Atoms
    from graph_pes import AtomicGraph

    bare = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=True)
    return AtomicGraph.from_ase(bare, cutoff=cutoff).to(device)


def save_tensors(path: Path, content: Any) -> None:
    """Write tensors and plain numbers at once.

    :raises StorageError: when they cannot be written.
    """
    buffer = io.BytesIO()
    load_torch().save(content, buffer)
    replace_file(path, buffer.getvalue())


def load_tensors(path: Path) -> Any:
    """Return tensors and plain numbers of a file; a file that holds anything else is refused, and nothing of it is run.

    :raises SimulationInputError: when it cannot be read.
    """
    torch = load_torch()
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no common base of what is wrong with a file
        words = f"{path} holds no tensors alone, accepted is what finales-mlp writes: {type(error).__name__}"
        raise SimulationInputError(f"{words}: {(str(error).splitlines() or ['it is empty'])[0][:200]}") from error
