"""Whatever the limitations: what is inside passes, what is nearest is inside, what is nearest stays."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aiida_finales.schemas.chemicals import list_chemicals
from aiida_finales.schemas.formulation import fractions
from aiida_finales.schemas.limitations.offer import Offer, allowed_values, check, formulation_regions, nearest

FEW = settings(max_examples=60, deadline=None)
CHEMICALS = list_chemicals()[:5]
TEMPERATURES = st.floats(1, 1000, allow_nan=False)


def _formulation(shares):
    total = sum(shares)
    return [
        {
            "chemical": {"SMILES": item.smiles, "InChIKey": item.inchikey},
            "fraction": share / total,
            "fraction_type": "molPerMol",
        }
        for item, share in zip(CHEMICALS, shares, strict=False)
        if share > 0
    ]


def _points(n_components):
    share = st.floats(0, 1, allow_subnormal=False).filter(lambda value: value == 0 or value > 1e-3)
    return st.lists(share, min_size=n_components, max_size=n_components).filter(lambda shares: sum(shares) > 0.01)


@st.composite
def boxes(draw):
    """A box of mole fractions around a point of the simplex, so that it is not empty."""
    n_components = draw(st.integers(2, 4))
    centre = np.array(draw(_points(n_components)))
    centre /= centre.sum()
    below = np.array(draw(st.lists(st.floats(0, 0.5), min_size=n_components, max_size=n_components)))
    above = np.array(draw(st.lists(st.floats(0, 0.5), min_size=n_components, max_size=n_components)))
    low, high = np.maximum(centre - below, 0), np.minimum(centre + above, 1)
    components = [
        {
            "chemical": {"SMILES": item.smiles, "InChIKey": item.inchikey},
            "fraction": [{"min": float(bottom), "max": float(top)}],
            "fraction_type": ["molPerMol"],
        }
        for item, bottom, top in zip(CHEMICALS, low, high, strict=False)
    ]
    return components, _formulation(list(centre))


@st.composite
def hulls(draw):
    """What can be mixed from some stock solutions, and one such mixture."""
    n_components = draw(st.integers(2, 4))
    rows = np.array(draw(st.lists(_points(n_components), min_size=1, max_size=5)))
    # solutions are prepared by weighing, to four digits; hulls flatter than that are no laboratory
    vertices = np.round(rows / rows.sum(axis=1, keepdims=True), 4)
    vertices[:, -1] = 1 - vertices[:, :-1].sum(axis=1)
    assume((vertices >= 0).all())
    weights = np.array(draw(st.lists(st.floats(0.01, 1), min_size=len(rows), max_size=len(rows))))
    mixture = weights / weights.sum() @ vertices
    names = [item.inchikey for item in CHEMICALS[:n_components]]
    hull = {"path": "formulation", "hull": {"chemicals": names, "vertices": vertices.tolist()}}
    return hull, _formulation(list(mixture))


@FEW
@given(box=boxes(), shares=_points(5), temperature=TEMPERATURES)
def test_nearest_in_a_box_is_inside_and_stays(box, shares, temperature):
    components, centre = box
    limits = Offer(
        "conductivity", "two_electrode", {"formulation": [components], "temperature": [{"min": 260, "max": 340}]}
    )
    assert check(limits, {"formulation": centre, "temperature": 300}) == []
    best = nearest(limits, {"formulation": _formulation(shares), "temperature": temperature})
    assert best is not None
    assert check(limits, best) == []
    assert nearest(limits, best) == best


@FEW
@given(hull=hulls(), shares=_points(5))
def test_mixtures_of_the_solutions_pass_and_nearest_is_a_mixture(hull, shares):
    constraint, mixture = hull
    limits = Offer("conductivity", "two_electrode", {}, (constraint,))
    assert check(limits, {"formulation": mixture}) == []
    best = nearest(limits, {"formulation": _formulation(shares)})
    assert best is not None
    assert check(limits, best) == []


@FEW
@given(box=boxes(), hull=hulls(), shares=_points(4))
def test_check_agrees_with_the_regions(box, hull, shares):
    limits = Offer("conductivity", "two_electrode", {"formulation": [box[0]]}, (hull[0],))
    formulation = _formulation(shares)
    given_ = fractions(formulation)
    found = check(limits, {"formulation": formulation})
    regions = formulation_regions(limits)
    outside = [
        max(region.violation(np.array([given_.get(name, 0.0) for name in region.names])), _foreign(region, given_))
        for region in regions
    ]
    if not found:
        assert min(outside, default=0) < 1e-5
    elif regions:
        assert min(outside) > 1e-7
    best = nearest(limits, {"formulation": formulation})
    assert best is None or check(limits, best) == []


def _foreign(region, given_):
    return sum(share for key, share in given_.items() if key not in region.names)


RANGES = st.tuples(st.floats(1, 500), st.floats(0, 500), st.none() | st.floats(0.01, 50)).map(
    lambda row: {"min": row[0], "max": row[0] + row[1]} | ({"step": row[2]} if row[2] else {})
)


@FEW
@given(ranges=st.lists(RANGES, min_size=1, max_size=4), temperature=TEMPERATURES)
def test_nearest_number_is_allowed_and_none_is_nearer(ranges, temperature):
    limits = Offer("conductivity", "two_electrode", {"temperature": ranges})
    best = nearest(limits, {"temperature": temperature})["temperature"]
    assert check(limits, {"temperature": best}) == []
    assert any(low - 1e-6 <= best <= high + 1e-6 for low, high in allowed_values(limits, "temperature"))
    for item in ranges:
        n_steps = np.arange(0, (item["max"] - item["min"]) / item["step"]) if "step" in item else np.array([])
        choices = [item["min"], *(item["min"] + n_steps * item.get("step", 1))]
        assert abs(best - temperature) <= min(abs(np.array(choices) - temperature)) + 1e-6
