"""What a structure says of itself: atoms, ions, and, where RDKit is installed, its InChIKey and formula."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any

#: atoms of a SMILES, and all that may stand between them
_ATOM = re.compile(r"\[\d*([A-Z][a-z]?|[a-z][a-z]?)[^\]]*\]|(Br|Cl|[BCNOPSFI]|[bcnops])|[-=#$:/\\.()\d%]")
_CHARGE = re.compile(r"\[[^\]]*?([+-]+)(\d*)(?::\d+)?\]")


@lru_cache(maxsize=4096)
def compute_inchikey(smiles: str) -> str | None:
    """Return the InChIKey of a structure; ``None`` without RDKit, or when it cannot read the SMILES."""
    molecule = _read(smiles)
    if molecule is None:
        return None
    from rdkit import Chem

    return str(Chem.MolToInchiKey(molecule)) or None  # type: ignore[no-untyped-call]


@lru_cache(maxsize=4096)
def compute_formula(smiles: str) -> str | None:
    """Return the formula of a structure without its charge; ``None`` where there is no InChIKey either."""
    molecule = _read(smiles)
    if molecule is None:
        return None
    from rdkit.Chem.rdMolDescriptors import CalcMolFormula

    return re.sub(r"[+-]\d*$", "", str(CalcMolFormula(molecule)))


def count_atoms(smiles: str) -> Counter[str] | None:
    """Return the number of atoms of each element but hydrogen, or ``None`` when this is not a plain SMILES."""
    if _ATOM.sub("", smiles):
        return None
    symbols = ((match[1] or match[2] or "").capitalize() for match in _ATOM.finditer(smiles))
    return Counter(symbol for symbol in symbols if symbol not in ("", "H"))


def ion_charges(smiles: str) -> dict[str, int]:
    """Return the charge of each charged part of a structure, by its SMILES; empty for what has none."""
    charges = {part: sum(map(_charge, _CHARGE.finditer(part))) for part in smiles.split(".")}
    return {part: charge for part, charge in charges.items() if charge}


def net_charge(smiles: str) -> int:
    """Return the charge of a structure with all its ions."""
    return sum(map(_charge, _CHARGE.finditer(smiles)))


def _charge(match: re.Match[str]) -> int:
    signs, number = match[1], match[2]
    size = int(number) if number else len(signs)
    return size if signs[0] == "+" else -size


def _read(smiles: str) -> Any:
    if not has_rdkit():
        return None
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(smiles)


@cache
def has_rdkit() -> bool:
    """Return whether structures can be computed with."""
    return find_spec("rdkit") is not None
