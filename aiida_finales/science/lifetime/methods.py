"""The methods by name: training one, and reading what was trained.

Which one answers what: before the first cycle ``generator``, from 30 first cycles on ``fade`` (both learn from cells of
many designs), and for cells of one design ``gp`` or ``lstm``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.science.lifetime.data import LifetimeDataset
from aiida_finales.science.lifetime.generator.cell import AgeingDataset
from aiida_finales.science.lifetime.model import Describable, unpack

Dataset = LifetimeDataset | AgeingDataset
#: methods that learn from cells of one design, with the settings that they know; and from those of many
_OF_ONE_DESIGN = {"gp": ("n_folds", "seed"), "lstm": None}
_OF_MANY = {"generator": ("seed", "learners", "n_folds", "n_trees"), "fade": ("seed", "n_folds", "windows")}
METHODS = (*_OF_ONE_DESIGN, *_OF_MANY)


def read_dataset_json(text: str) -> Dataset:
    """Return the dataset of a JSON document, of either kind.

    :raises InputError: when it is none.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"this is no dataset of lifetimes ({error}), accepted is JSON") from error
    is_ageing = isinstance(document, dict) and document.get("kind") == "ageing"
    return AgeingDataset.from_json(text) if is_ageing else LifetimeDataset.from_json(text)


def train(dataset: Dataset, method: str, settings: Mapping[str, Any] | None = None) -> Describable:
    """Return a model, by method.

    :param settings: keyword arguments of the function that trains it.
    :raises InputError: when the method or a setting is not known, or needs cells of the other kind.
    """
    chosen = dict(settings or {})
    if method not in METHODS:
        raise InputError(f"method {method!r} was given, accepted are {', '.join(METHODS)}")
    known = {**_OF_ONE_DESIGN, **_OF_MANY}[method]
    unknown = sorted(set(chosen) - set(known or chosen))
    if unknown:
        raise InputError(f"settings {unknown} were given, accepted for {method} are {', '.join(known or ())}")
    if isinstance(dataset, AgeingDataset) != (method in _OF_MANY):
        wanted = (
            "cells with their electrodes and protocols (a table of cells)"
            if method in _OF_MANY
            else "cells of one design"
        )
        raise InputError(f"method {method} learns from {wanted}, but other cells were given: {dataset.description}")
    return _TRAINERS[method]()(dataset, chosen)


def _gp() -> Callable[[Any, dict[str, Any]], Describable]:
    from aiida_finales.science.lifetime.gp import train_gp

    return lambda dataset, chosen: train_gp(dataset.cells, dataset.task, **chosen)


def _lstm() -> Callable[[Any, dict[str, Any]], Describable]:
    from aiida_finales.science.lifetime.lstm import train_lstm

    return lambda dataset, chosen: train_lstm(dataset.cells, dataset.task, **chosen)


def _generator() -> Callable[[Any, dict[str, Any]], Describable]:
    from aiida_finales.science.lifetime.generator.model import train_generator

    return lambda dataset, chosen: train_generator(dataset, **chosen)


def _fade() -> Callable[[Any, dict[str, Any]], Describable]:
    from aiida_finales.science.lifetime.generator.fade import train_fade

    return lambda dataset, chosen: train_fade(dataset, **chosen)


_TRAINERS = {"gp": _gp, "lstm": _lstm, "generator": _generator, "fade": _fade}


def load_model(content: bytes) -> Any:
    """Return a model from its bytes.

    :raises InputError: when these are not the bytes of a model, or of a method that is not known.
    """
    header, arrays = unpack(content)
    method = header.get("method")
    if method in ("gp", "lstm") and "domain" not in header:
        raise InputError("this model does not say what it was trained on, as models do by now: train it again")
    if method == "gp":
        from aiida_finales.science.lifetime.gp import GpLifetimeModel

        return GpLifetimeModel.from_parts(header, arrays)
    if method == "lstm":
        from aiida_finales.science.lifetime.lstm import LstmLifetimeModel

        return LstmLifetimeModel.from_parts(header, arrays)
    if method == "lifetime_generator":
        from aiida_finales.science.lifetime.generator.model import GeneratorModel

        return GeneratorModel.from_parts(header, arrays)
    if method == "capacity_fade":
        from aiida_finales.science.lifetime.generator.fade import FadeModel

        return FadeModel.from_parts(header, arrays)
    raise InputError(f"method {method!r} was given, accepted are {', '.join(METHODS)}")
