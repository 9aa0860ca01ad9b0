"""The species that can be simulated: what they are, and the numbers of their force field.

A species is an entry in a YAML file (``species.yaml`` here, or a user's own): name, SMILES, charge, sources and terms.
Lengths in nm, angles in degrees, energies in kJ/mol; force constants are those of k/2 (x - x0)^2, torsions are
k (1 + cos(n phi - phase)). Atoms are numbered from 0. An improper torsion has its centre as third atom.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aiida_finales.exceptions import (
    ForceFieldError,
    MissingExtraError,
    SimulationInputError,
    explain_os_error,
    explain_syntax_error,
)

#: the species that come with the package
LIBRARY = Path(__file__).with_name("species.yaml")
#: e; by how much the charges of a species may miss its charge
CHARGE_TOLERANCE = 1e-4

AtomTerm = tuple[str, float, float, float]
BondTerm = tuple[int, int, float, float]
AngleTerm = tuple[int, int, int, float, float]
TorsionTerm = tuple[int, int, int, int, list[tuple[int, float, float]]]


class Terms(BaseModel):
    """The force field of one species."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: element, charge in e, sigma in nm, epsilon in kJ/mol
    atoms: list[AtomTerm] = Field(min_length=1)
    #: two atoms, length, force constant
    bonds: list[BondTerm] = []
    #: three atoms, angle, force constant
    angles: list[AngleTerm] = []
    #: four atoms; multiplicity, phase and force constant of every term
    torsions: list[TorsionTerm] = []
    #: nm; where no conformer generator knows the shape (an octahedron, say)
    positions: list[tuple[float, float, float]] | None = None
    #: factors for atoms that are three bonds apart
    coulomb14: float = Field(default=0.8333333333, ge=0.0, le=1.0)
    lj14: float = Field(default=0.5, ge=0.0, le=1.0)


class Species(BaseModel):
    """A molecule or an ion that can be simulated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$")
    smiles: str
    charge: int = 0
    #: what a number is, and where it is from
    sources: dict[str, str]
    terms: Terms

    @property
    def elements(self) -> list[str]:
        """Element of every atom."""
        return [atom[0] for atom in self.terms.atoms]

    @property
    def is_ion(self) -> bool:
        """Whether it carries a charge."""
        return self.charge != 0


class Library:
    """Species, found by their graph whatever the SMILES that writes it.

    :param files: beside those of the package; of two species with one graph the last counts.
    :param species: beside those of the files.
    :raises ForceFieldError: when a file cannot be read, or the terms of a species do not fit its SMILES.
    """

    def __init__(self, files: tuple[Path, ...] = (), species: Sequence[Species] = ()) -> None:
        self.by_graph: dict[str, Species] = {}
        for path in (LIBRARY, *files):
            self._add(read_species(path))
        for item in species:
            _check(item, "what was given")
        self._add(species)

    def _add(self, species: Sequence[Species]) -> None:
        self.by_graph |= {graph_key(item.smiles): item for item in species}

    def __iter__(self) -> Iterator[Species]:
        return iter(self.by_graph.values())

    def find(self, smiles: str) -> Species:
        """Return the species of a SMILES.

        :raises ForceFieldError: when there is none.
        """
        species = self.by_graph.get(graph_key(smiles))
        if species is None:
            known = ", ".join(f"{item.name} ({item.smiles})" for item in self)
            raise ForceFieldError(
                f"there is no force field for {smiles}; there is one for {known}. Add a neutral molecule by "
                "'finales-md species add', an ion by an entry of your own; then call with --species FILE"
            )
        return species

    def get(self, name: str) -> Species:
        """Return the species with this name, or else of this SMILES.

        :raises ForceFieldError: when there is none.
        """
        return next((item for item in self if item.name == name), None) or self.find(name)


def digest_terms(species: list[Species]) -> str:
    """Return the SHA-256 of the force field of these species."""
    dump = {item.name: item.terms.model_dump(mode="json") for item in species}
    return hashlib.sha256(json.dumps(dump, sort_keys=True).encode()).hexdigest()


def append_species(species: Species, path: Path) -> None:
    """Add a species to a file, which is made when it is missing.

    :raises ForceFieldError: when the file has one of that name, or cannot be written.
    """
    if path.exists() and any(item.name == species.name for item in read_species(path)):
        raise ForceFieldError(f"{path} has a species {species.name} already: give another --name")
    entry = species.model_dump(mode="json", exclude={"terms"}, exclude_defaults=True)
    text = yaml.safe_dump([entry], sort_keys=False, width=1000)
    rows = ["  terms:", *_rows(species.terms)]
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text + "\n".join(rows) + "\n")
    except OSError as error:
        raise ForceFieldError(explain_os_error(error, path)) from error


def _rows(terms: Terms) -> Iterator[str]:
    """Return the terms as lines of YAML, one line per term."""
    for key, value in terms.model_dump(mode="json", exclude_defaults=True).items():
        if isinstance(value, list):
            yield f"    {key}:"
            yield from (f"    - {json.dumps(term)}" for term in value)
        else:
            yield f"    {key}: {value}"


def read_species(path: Path) -> list[Species]:
    """Return the species of a file.

    :raises ForceFieldError: when it cannot be read, or the terms of a species do not fit its SMILES.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader(path))  # noqa: S506 - a safe loader
    except OSError as error:
        raise ForceFieldError(explain_os_error(error, path)) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ForceFieldError(f"{path} cannot be read as YAML: {explain_syntax_error(error)}") from error
    if not isinstance(document, list):
        raise ForceFieldError(f"{path} holds a {type(document).__name__}, accepted is a list of species")
    return [_make(entry, path) for entry in document]


def _loader(path: Path) -> Any:
    """Return the fast safe loader, where PyYAML has it, for our own library of thousands of numbers.

    It ends the program where a file is nested too deeply, so that the files of others are read by the slow one.
    """
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader) if path == LIBRARY else yaml.SafeLoader


def _make(entry: Any, path: Path) -> Species:
    """Return an entry as a species.

    :raises ForceFieldError: when it breaks the schema or its terms do not fit its SMILES.
    """
    name = entry.get("name", "?") if isinstance(entry, dict) else "?"
    try:
        species = Species.model_validate(entry)
    except ValidationError as error:
        raise ForceFieldError(f"{path}, species {name}: {error}") from error
    _check(species, str(path))
    return species


def _check(species: Species, place: str) -> None:
    total = sum(atom[1] for atom in species.terms.atoms)
    if abs(total - species.charge) > CHARGE_TOLERANCE:
        raise ForceFieldError(
            f"{place}, species {species.name}: the charges of its atoms sum to {total:.6g} e, its charge is "
            f"{species.charge}"
        )
    try:
        check_graph(species)
    except ForceFieldError as error:
        raise ForceFieldError(f"{place}, species {species.name}: {error}") from error


def parse(smiles: str) -> Any:
    """Return the RDKit molecule of a SMILES, hydrogens included.

    :raises SimulationInputError: when it is no SMILES.
    """
    try:
        from rdkit import Chem, RDLogger
    except ImportError as error:
        raise MissingExtraError("md", "molecular dynamics") from error

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or molecule.GetNumAtoms() == 0:
        raise SimulationInputError(f"{smiles!r} was given, accepted is a SMILES")
    return Chem.AddHs(molecule)


@cache
def graph_key(smiles: str) -> str:
    """Return what all SMILES of one species have in common: which atom is bonded to which, and the charge.

    Bond orders and charges of single atoms are left out: a perchlorate can be written in more than one way.
    """
    from rdkit import Chem

    molecule = parse(smiles)
    return f"{Chem.MolToSmiles(skeleton(molecule))} {Chem.GetFormalCharge(molecule):+d}"


def check_graph(species: Species) -> None:
    """Check that the terms of a species are those of its SMILES.

    :raises ForceFieldError: when they are not.
    """
    from rdkit import Chem

    terms = species.terms
    indices = [index for term in terms.bonds for index in term[:2]]
    indices += [index for term in terms.angles for index in term[:3]]
    indices += [index for term in terms.torsions for index in term[:4]]
    if any(not 0 <= index < len(terms.atoms) for index in indices):
        raise ForceFieldError(f"its terms name an atom beyond the {len(terms.atoms)} it has")
    if terms.positions is not None and len(terms.positions) != len(terms.atoms):
        raise ForceFieldError(f"it has {len(terms.positions)} positions for {len(terms.atoms)} atoms")
    given = f"{Chem.MolToSmiles(graph_of(species))} {species.charge:+d}"
    if given != graph_key(species.smiles):
        raise ForceFieldError(f"its atoms and bonds are {given}, its SMILES means {graph_key(species.smiles)}")


def skeleton(molecule: Any) -> Any:
    """Return a molecule of RDKit with all bonds single and without charges, in the same order of atoms."""
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    return _assemble([atom.GetSymbol() for atom in molecule.GetAtoms()], bonds)


def graph_of(species: Species) -> Any:
    """Return the atoms and bonds of the terms of a species as a molecule of RDKit."""
    bonds = [(first, second) for first, second, *_ in species.terms.bonds]
    return _assemble(species.elements, bonds)


def _assemble(elements: list[str], bonds: list[tuple[int, int]]) -> Any:
    from rdkit import Chem

    molecule = Chem.RWMol()
    for element in elements:
        atom = Chem.Atom(element)
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for first, second in bonds:
        molecule.AddBond(first, second, Chem.BondType.SINGLE)
    return molecule.GetMol()
