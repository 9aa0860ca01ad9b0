"""Documents that are almost right, to compare who accepts them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st

from aiida_finales.schemas.chemicals import get_chemical

#: what stands where something else should
OTHERS = (
    *(None, True, False, "", "x", "mol/mol", "Molar Fraction", "massPerMass", [], {}, [1], {"address": ""}, {"a": 1}),
    *(0, 0.0, -0.0, -1, 1, 1.0, 1.5, 4.0, 64, 65, 65.0, 1000.5, 1e-12, 5e-324, 1e308, 10**400, math.nan, math.inf),
)
#: keys that the published form of something knows, that it spells otherwise, or that are unknown
KEYS = ("batch", "location", "size", "reservation_id", "repetitions_formation_cycle", "V_max", "temperature", "colour")
FACTORS = (0.999, 0.9995, 1.0005, 1.001, 1.0015, -1.0, 2.0, 300.0)


def component(name: str, fraction: float) -> Any:
    chemical = get_chemical(name)
    names = {"SMILES": chemical.smiles, "InChIKey": chemical.inchikey}
    return {"chemical": names, "fraction": fraction, "fraction_type": "molPerMol"}


def formulation() -> Any:
    return [component("LiPF6", 0.1), component("EC", 0.4), component("EMC", 0.5)]


def place() -> Any:
    return {"address": "ASAB", "detail_1": "rack", "detail_2": "7"}


def cell_info() -> Any:
    texts = {"name": "n", "uuid": "vial-1", "preparation_date": "2026-01-05", "batch": "b", "location": place()}
    parts = {name: copy.deepcopy(texts) for name in ("anode_info", "cathode_info", "electrolyte_info")}
    own = {"cell_name": "c", "uuid": "cell-1", "assembly_date": "2026-01-05", "batch": "b", "cell_location": place()}
    return own | parts


def find_places(document: Any) -> list[tuple[Any, Any]]:
    """Return every container with a key or an index of it, from the outermost on."""
    keys = list(document) if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    here = [(document, key) for key in keys]
    return here + [found for key in keys for found in find_places(document[key])]


def single_changes(document: Any) -> Iterator[Any]:
    """Yield the document with each thing left out, or replaced by each of the others, or scaled: one change at a time.

    Chance may miss a fault of one place; this does not.
    """
    for number in range(len(find_places(document))):
        changed = copy.deepcopy(document)
        parent, key = find_places(changed)[number]
        before = parent[key]
        scaled = [before * factor for factor in FACTORS] if type(before) in (int, float) else []
        for value in (*OTHERS, *scaled):
            parent[key] = copy.deepcopy(value)
            yield changed
        del parent[key]
        yield changed


@st.composite
def almost_right(draw: st.DrawFn, document: Any) -> Any:
    """Return the document, changed in up to three places."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        found = find_places(document)
        if found:
            parent, key = found[draw(st.integers(0, len(found) - 1))]
            draw(st.sampled_from(CHANGES))(draw, parent, key)
    return document


def _drop(draw: st.DrawFn, parent: Any, key: Any) -> None:
    del parent[key]


def _replace(draw: st.DrawFn, parent: Any, key: Any) -> None:
    parent[key] = copy.deepcopy(draw(st.sampled_from(OTHERS)))


def _scale(draw: st.DrawFn, parent: Any, key: Any) -> None:
    if isinstance(parent[key], (int, float)) and abs(parent[key]) < 1e300:
        parent[key] *= draw(st.sampled_from(FACTORS))


def _exchange(draw: st.DrawFn, parent: Any, key: Any) -> None:
    """Put there what stands elsewhere in the same container: another chemical's name, a list instead of a text."""
    parent[key] = copy.deepcopy(
        parent[draw(st.sampled_from([other for _, other in find_places(parent)[: len(parent)]]))]
    )


def _name_otherwise(draw: st.DrawFn, parent: Any, key: Any) -> None:
    if key in ("SMILES", "InChIKey"):
        chemical = get_chemical(draw(st.sampled_from(("EC", "EMC", "LiPF6"))))
        parent[key] = getattr(chemical, key.lower())


def _add(draw: st.DrawFn, parent: Any, key: Any) -> None:
    if isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
    else:
        parent[draw(st.sampled_from(KEYS))] = copy.deepcopy(draw(st.sampled_from((parent[key], *OTHERS))))


CHANGES = (_drop, _replace, _replace, _scale, _exchange, _name_otherwise, _add)
