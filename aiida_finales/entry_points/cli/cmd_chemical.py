"""``aiida-finales chemical``: what is known of chemicals, and how to add one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_record, print_rows, say, say_done, warn

if TYPE_CHECKING:
    from aiida_finales.schemas.chemicals import Chemical


@click.group("chemical", cls=NounGroup)
def chemical() -> None:
    """See which chemicals are known by name, and add others: to this profile, with a file or in a line.

    \b
    Example:
      aiida-finales chemical list
    """


@chemical.command("list")
@click.option("--role", type=click.Choice(["salt", "solvent", "additive"]), help="Only of this role.")
@options.FORMAT()
@options.with_profile
def list_(role: str | None, fmt: str) -> None:
    """List the chemicals that are known: those of the library, of other packages, of this profile, of its tenants.

    \b
    Example:
      aiida-finales chemical list --role salt
    """
    from aiida_finales.schemas.chemicals.registry import load_registry

    registry = load_registry()
    for words in registry.troubles:
        warn(words)
    rows = [_describe(item) for item in registry.records.values() if role in (None, item.role)]
    columns = ("name", "role", "formula", "molar_mass", "density", "inchikey", "record")
    print_rows(rows, fmt, columns, "no chemical has this role")


@chemical.command("show")
@options.NAME()
@options.FORMAT()
@options.with_profile
def show(name: str, fmt: str) -> None:
    """Show what is known of a chemical: by name, synonym, SMILES or InChIKey; each number with its source.

    \b
    Example:
      aiida-finales chemical show "Mg(TFSI)2"
    """
    from aiida_finales.schemas.chemicals import get_chemical

    found = get_chemical(name)
    about = {**found.to_dict(), "molar_mass": _mass(found), "charges": found.charges}
    print_record(about, fmt)


@chemical.command("add")
@click.argument("file", type=options.EXISTING_FILE, required=False)
@click.option("--name", help="Without a file: the short name, as mixtures are written with it.")
@click.option("--smiles", help="Without a file: the structure.")
@click.option("--inchikey", help="Computed from the SMILES where RDKit is installed, else required.")
@click.option("--role", help="salt, solvent or additive.  [default: salt for what has ions, else solvent]")
@click.option("--synonym", "synonyms", multiple=True, help="Another name; repeatable.")
@options.FORMAT()
@options.with_profile
def add(file: Path | None, synonyms: tuple[str, ...], fmt: str, **about: str | None) -> None:
    """Add chemicals to this profile; command line, server and daemon know them within a second.

    FILE (JSON or YAML) holds a record, a list of them, or a section 'chemicals'. A number of a record (density, g/cm3;
    molar_volume, cm3/mol; viscosity, mPa s) has value, source and temperature. Of a chemical that is known, a record
    adds or replaces what it says.

    \b
    Example:
      aiida-finales chemical add --name TTE --smiles "FC(F)C(F)(F)COC(F)(F)C(F)F"
      aiida-finales chemical add my_chemicals.yaml
    """
    from aiida_finales.data.chemicals import PROFILE, add_chemicals, check_chemicals
    from aiida_finales.operations.request.documents import read_json
    from aiida_finales.schemas.chemicals import get_chemical

    said = {key: value for key, value in {**about, "synonyms": list(synonyms)}.items() if value}
    if (file is None) == (not said):
        raise click.UsageError("give a file, or --name and --smiles")
    document = said if file is None else read_json(file)
    if isinstance(document, dict):
        document = document.get("chemicals", [document])
    added = add_chemicals(check_chemicals(document, PROFILE))
    for item in added:
        say_done(f"{item.name} is known here ({item.record})")
    columns = ("name", "role", "formula", "molar_mass", "density", "inchikey", "record")
    print_rows([_describe(get_chemical(item.inchikey)) for item in added], fmt, columns, "nothing was added")


@chemical.command("mixture")
@click.argument("mixture")
@click.option("--density", type=options.FiniteRange(min=0, min_open=True), help="g/cm3 of the solution, for mol/L.")
@options.FORMAT()
@options.with_profile
def mixture(mixture: str, density: float | None, fmt: str) -> None:
    """Show the mole fractions of a mixture, said as people say it, and what they needed besides; stores nothing.

    \b
    Example:
      aiida-finales chemical mixture "1 M LiPF6 in EC:EMC 3:7 w/w"
      aiida-finales chemical mixture "1.2 mol/kg NaPF6 in EC:DEC 1:1 v/v + 2 wt% FEC"
    """
    from aiida_finales.schemas.chemicals import chemical_label
    from aiida_finales.schemas.chemicals.mixture import read_mixture, tell
    from aiida_finales.schemas.chemicals.recipe import mass_fractions
    from aiida_finales.science.electrolyte.known_density import find_density

    mixed = read_mixture(mixture if density is None else {"mixture": mixture, "density": density}, find_density)
    say(tell(mixed.to_dict()))
    masses = mass_fractions(mixed.fractions)
    rows = [
        {
            "name": chemical_label(key),
            "mole_fraction": round(share, 6),
            "mass_fraction": round(masses[key], 6),
            "record": mixed.records.get(chemical_label(key)),
        }
        for key, share in mixed.fractions.items()
    ]
    print_rows(rows, fmt, ("name", "mole_fraction", "mass_fraction", "record"), "there is nothing in it")


def _describe(item: Chemical) -> dict[str, Any]:
    return {
        "name": item.name,
        "role": item.role,
        "formula": item.formula or None,
        "molar_mass": _mass(item),
        "density": item.density.value if item.density else None,
        "inchikey": item.inchikey,
        "record": item.record,
    }


def _mass(item: Chemical) -> float | None:
    return item.molar_mass if item.formula else None
