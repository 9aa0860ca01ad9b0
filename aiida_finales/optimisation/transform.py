"""The scale on which a property is modelled, and the way back to its own unit.

On a logarithmic scale a prediction is a normal distribution of log10 of the value. In the unit of the quantity its
median is reported as ``mean``, half the width of the central 68 % as ``sd``, and the ends of these 68 % as ``low`` and
``high``: they are not symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.schemas import Json

#: what is modelled: the value itself, or its decadic logarithm
TRANSFORMS = ("none", "log")


def to_model(transform: str, value: float) -> float:
    """Return a value on the scale of the model.

    :raises InputError: when the transform is not known, or the value has no logarithm.
    """
    if transform not in TRANSFORMS:
        raise InputError(f"transform is {transform!r}, accepted are {', '.join(TRANSFORMS)}")
    if transform == "none":
        return value
    if value <= 0:
        raise InputError(f"a value of {value:g} has no logarithm: accepted are numbers above 0, or 'transform: none'")
    return math.log10(value)


def to_natural_value(transform: str, value: float) -> float:
    """Return a value on the scale of the model in the unit of the quantity."""
    return 10.0**value if transform == "log" else value


def to_natural(transform: str, document: Mapping[str, Any]) -> Json:
    """Return a suggestion, as JSON, with its predictions in the unit of the quantity.

    ``training`` and ``model`` stay on the scale of the model, with which they give the same predictions again. The
    expected gain becomes the gain over what is recommended.
    """
    if transform == "none":
        return dict(document)
    answer: Json = {**document, "transform": transform}
    if document.get("predicted"):
        answer["predicted"] = _predict(document["predicted"])
    if document.get("predictions"):
        answer["predictions"] = {name: _predict(item) for name, item in document["predictions"].items()}
    if document.get("recommendation"):
        found = document["recommendation"]
        sources = {name: _predict(item) for name, item in found["sources"].items()}
        answer["recommendation"] = {"sources": sources, "overall": _predict(found["overall"])}
        if document.get("expected_gain") is not None:
            factor = 10 ** document["expected_gain"]
            answer["expected_gain"] = (factor - 1) * answer["recommendation"]["overall"]["mean"]
    return answer


def predict_naturally(mean: float, sd: float) -> dict[str, float]:
    """Return median, half the width of the central 68 %, and their ends of what is normal on a logarithmic scale."""
    low, high = 10 ** (mean - sd), 10 ** (mean + sd)
    return {"mean": 10**mean, "sd": (high - low) / 2, "low": low, "high": high}


def _predict(prediction: Mapping[str, Any]) -> Json:
    return {**prediction, **predict_naturally(prediction["mean"], prediction["sd"])}
