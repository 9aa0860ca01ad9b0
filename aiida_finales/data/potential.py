"""A machine-learned potential: weights of its members, what they learned, how wrong they are, where it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_finales.data.nodes import Stored
from aiida_finales.potential.description import DESCRIPTION, SCHEMA, read_description

#: of the description: what can be searched for
SEARCHED = (
    *("elements", "network", "baseline", "reference", "statement", "validation", "calibration", "trust", "domain"),
    *("n_frames", "data_sha256", "versions"),
)


class PotentialData(orm.FolderData):
    """Members as files of tensors, and ``potential.json``, as ``finales-mlp`` reads them; immutable.

    The frames that were learned from are nodes: inputs of the trainings that the members are outputs of.

    :param folder: as ``finales-mlp train`` writes it; nothing else of it is kept.
    :raises SimulationInputError: when it holds none, or one that was changed.
    """

    elements = Stored(list, "Elements that were learned.")
    reference = Stored(str, "The method that labelled.")
    statement = Stored(str, "What results say of the method: of GFN1-xTB that it is not DFT.")
    validation = Stored(dict, "Errors on held-out frames: forces by element (meV/angstrom), energy (meV/atom).")
    trust = Stored(dict, "Calibrated spreads (eV/angstrom): at home up to ``low``, nothing beyond ``high``.")
    domain = Stored(dict, "Formulation, temperatures (K), densities (g/cm3) that it learned from.")
    n_frames = Stored(int, "Number of frames that were learned from.")

    def __init__(self, folder: Path | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if folder is None:
            return
        words = read_description(folder)
        for name in (DESCRIPTION, *(entry["file"] for entry in words["members"])):
            self.base.repository.put_object_from_file(str(folder / name), name)
        self.base.attributes.set_many({key: words[key] for key in SEARCHED} | {"schema": words["schema"]})

    def _validate(self) -> bool:
        super()._validate()
        if self.base.attributes.get("schema", None) != SCHEMA:
            raise ValidationError("a potential is made by PotentialData(folder), of what 'finales-mlp train' wrote")
        return True

    def write(self, folder: Path) -> None:
        """Write the potential for ``finales-mlp``; the folder is made when it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self.base.repository.copy_tree(folder)
