"""The methods by name: training one, and reading what was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.science.lifetime.data import LifetimeDataset
from aiida_finales.science.lifetime.model import LifetimeModel, unpack


def train(dataset: LifetimeDataset, method: str, settings: Mapping[str, Any] | None = None) -> LifetimeModel:
    """Return a model, by method.

    :param settings: keyword arguments of :func:`train_gp` or :func:`train_lstm`.
    :raises InputError: when the method or a setting is not known.
    """
    chosen = dict(settings or {})
    if method == "gp":
        from aiida_finales.science.lifetime.gp import train_gp

        unknown = sorted(set(chosen) - {"n_folds", "seed"})
        if unknown:
            raise InputError(f"settings {unknown} were given, accepted for gp are n_folds and seed")
        return train_gp(dataset.cells, dataset.task, **chosen)
    if method == "lstm":
        from aiida_finales.science.lifetime.lstm import train_lstm

        return train_lstm(dataset.cells, dataset.task, **chosen)
    raise InputError(f"method {method!r} was given, accepted are gp and lstm")


def load_model(content: bytes) -> LifetimeModel:
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
    raise InputError(f"method {method!r} was given, accepted are gp and lstm")
