"""Protocols: named sets of settings of a workflow, in YAML files beside this one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from aiida_finales.exceptions import InputError
from aiida_finales.schemas import Json


@cache
def _read(workflow: str) -> Json:
    text = (Path(__file__).parent / f"{workflow}.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def fill_settings(workflow: str, protocol: str | None = None, overrides: Json | None = None) -> Json:
    """Return the settings of a protocol, all of them written out.

    :param protocol: its name; the default one of the workflow when ``None``.
    :param overrides: settings that differ from it; nested ones are merged.
    :raises InputError: when there is no such protocol, or no such setting.
    """
    document = _read(workflow)
    name = document["default"] if protocol is None else protocol
    if name not in document["protocols"]:
        raise InputError(f"protocol is {name!r}, but accepted are {', '.join(document['protocols'])}")
    own = {key: value for key, value in document["protocols"][name].items() if key != "description"}
    settings = _merge(document["common"], own)
    unknown = sorted(set(overrides or {}) - set(settings))
    if unknown:
        raise InputError(f"settings {', '.join(unknown)} are unknown, accepted are {', '.join(settings)}")
    return _merge(settings, overrides or {})


def _merge(base: Json, changes: Json) -> Json:
    """Return a copy of nested dictionaries with changes."""
    merged = {key: _merge(value, {}) if isinstance(value, dict) else value for key, value in base.items()}
    for key, value in changes.items():
        is_nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if is_nested else value
    return merged
