"""Payloads and answers as templates: a text ``$name`` in them stands for a value, whatever its type.

Names are paths: ``$key``, ``$request``, ``$parameters.sample``; in answers also ``$data.<dataset in the result file>``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from aiida_finales.exceptions import DeviceInputError
from aiida_finales.lab.driver.reading import bad_input, read_object
from aiida_finales.schemas import Json

#: of the payload schema of tomato that is written here
PAYLOAD_VERSION = "2.2"
_MARK = "$"
_DATA = "$data."
_PAYLOAD_KEYS = {"version", "settings", "user", "sample", "method"}
_TASK_KEYS = {"component_role", "max_duration", "sampling_interval", "technique_name"}
_TASK_OPTIONS = {"polling_interval", "task_name", "task_params", "start_with_task_name", "stop_with_task_name"}


def fill(template: Any, find: Callable[[str], Any]) -> Any:
    """Return a template with its names replaced.

    :param find: returns what a name, with its dollar, stands for.
    """
    if isinstance(template, dict):
        return {key: fill(value, find) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(item, find) for item in template]
    return find(template) if isinstance(template, str) and template.startswith(_MARK) else template


def find_in(payload: Json, key: str, name: str) -> Any:
    """Return what a name stands for in the input of a driver.

    :raises DeviceInputError: when the input has no such thing.
    """
    value: Any = {**payload, "key": key}
    for part in name.removeprefix(_MARK).split("."):
        if not isinstance(value, dict) or part not in value:
            raise DeviceInputError(f"{name} is in the template of the tenant, but the input has no {part!r}")
        value = value[part]
    return value


def list_datasets(template: Any) -> Iterator[str]:
    """Return the datasets that an answer names."""
    if isinstance(template, dict):
        for value in template.values():
            yield from list_datasets(value)
    elif isinstance(template, list):
        for item in template:
            yield from list_datasets(item)
    elif isinstance(template, str) and template.startswith(_DATA):
        yield template.removeprefix(_DATA)


def fill_answer(template: Json, payload: Json, key: str, data: Json) -> Json:
    """Return an answer, with the values of the datasets in their places."""

    def find(name: str) -> Any:
        return data[name.removeprefix(_DATA)] if name.startswith(_DATA) else find_in(payload, key, name)

    return read_object("settings.answer", fill(template, find), "what the driver answers")


def check_payload(payload: Any) -> Json:
    """Return a payload that tomato will take, as far as that can be told without tomato.

    :raises DeviceInputError: naming the place, what was given and what is accepted.
    """
    path = "settings.template"
    given = read_object(path, payload, ", ".join(sorted(_PAYLOAD_KEYS)))
    if given.get("version") != PAYLOAD_VERSION:
        raise bad_input(f"{path}.version", given.get("version"), repr(PAYLOAD_VERSION))
    unknown = sorted(given.keys() - _PAYLOAD_KEYS)
    if unknown:
        raise bad_input(f"{path}.{unknown[0]}", given[unknown[0]], f"one of {', '.join(sorted(_PAYLOAD_KEYS))}")
    for name in ("user", "sample"):
        identifier = read_object(f"{path}.{name}", given.get(name), "identifier").get("identifier")
        if not isinstance(identifier, str) or not identifier or identifier.startswith("-"):
            raise bad_input(f"{path}.{name}.identifier", identifier, "a text that does not begin with -")
    settings = read_object(f"{path}.settings", given.get("settings", {}), "unlock_when_done, snapshot, verbosity")
    if "output" in settings:
        raise bad_input(f"{path}.settings.output", settings["output"], "nothing: the driver says where the output goes")
    tasks = given.get("method")
    if not isinstance(tasks, list) or not tasks:
        raise bad_input(f"{path}.method", tasks, "a list of tasks")
    for index, task in enumerate(tasks):
        _check_task(f"{path}.method[{index}]", task)
    return given


def _check_task(path: str, task: Any) -> None:
    given = read_object(path, task, ", ".join(sorted(_TASK_KEYS)))
    missing, unknown = sorted(_TASK_KEYS - given.keys()), sorted(given.keys() - _TASK_KEYS - _TASK_OPTIONS)
    if missing:
        raise bad_input(f"{path}.{missing[0]}", None, "a value, which every task needs")
    if unknown:
        raise bad_input(
            f"{path}.{unknown[0]}", given[unknown[0]], f"one of {', '.join(sorted(_TASK_KEYS | _TASK_OPTIONS))}"
        )
    for name in ("max_duration", "sampling_interval"):
        value = given[name]
        if isinstance(value, bool) or not (isinstance(value, str) or (isinstance(value, (int, float)) and value > 0)):
            raise bad_input(f"{path}.{name}", value, "a number of seconds, or a text such as '2 hours'")
    for name in ("component_role", "technique_name"):
        if not isinstance(given[name], str):
            raise bad_input(f"{path}.{name}", given[name], "a text")
