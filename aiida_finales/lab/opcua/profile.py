"""How a device is operated by OPC UA: a JSON object, in the settings of its tenant or in a file that they name.

A device that can be *called* has a method. The convention is ``Act(key: String, input: String) -> String``, both texts
JSON except for the key; other methods get chosen parameters. A device that is *stepped*, such as a programmable logic
controller, has variables: the parameters are written, then the command; the state is polled until it says done or
failed; the results are read and acknowledged.

What stands for a value is the name of a parameter, or ``$key``, or ``$input`` (quantity, method, parameters and
request as JSON text).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError
from aiida_finales.lab.driver.reading import bad_input, read_number, read_object
from aiida_finales.schemas import Json

KEY, INPUT = "$key", "$input"

#: s to wait for the answer to one message, for the end of an act, and between two looks at the state
TIMEOUT, ACT_TIMEOUT, POLL = 10.0, 600.0, 0.5
#: s, the longest time that can be asked for: a month
_LONGEST = 31 * 86400.0

_KEYS = {
    "url", "namespace", "quantity", "method", "timeout_s", "act_timeout_s", "poll_s", "parameters", "call", "steps"
}  # fmt: skip
_RANGE_KEYS = {"min", "max", "enum", "unit"}


@dataclass(frozen=True)
class Calling:
    """A method of the device.

    :param owner: node of the object that has the method.
    :param method: node of the method.
    :param arguments: what stands for the values of its input arguments, in their order.
    :param results: names for its output arguments; ``None``: there is one, a JSON object as text.
    :param check: node of a method with the same arguments that refuses what the device will not do, and does nothing.
    :param remembers_keys: a second call with the same key returns the first result, whatever happened in between.
    """

    owner: str
    method: str
    arguments: tuple[str, ...] = (KEY, INPUT)
    results: tuple[str, ...] | None = None
    check: str | None = None
    remembers_keys: bool = False


@dataclass(frozen=True)
class Stepping:
    """Variables of the device, by their nodes.

    :param state: node of the state; ``idle``, ``done`` and ``failed`` are its values.
    :param command: node and value that start the act, and ``acknowledge`` those that bring the state back to idle.
    :param write: what stands for the values to write before the command.
    :param results: node of each result, by name.
    """

    state: str
    idle: tuple[Any, ...]
    done: tuple[Any, ...]
    failed: tuple[Any, ...]
    command: tuple[str, Any]
    acknowledge: tuple[str, Any] | None = None
    write: dict[str, str] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """How to operate a device.

    :param url: ``opc.tcp://host:port/path``.
    :param namespace: URI that ``{ns}`` in the nodes stands for.
    :param quantity: and ``method``: what the device serves; ``None``: whatever it is asked.
    :param parameters: what is accepted, by name of the parameter: ``min``, ``max``, ``enum``.
    :param way: of acting.
    :param timeout: s, and ``act_timeout``, ``poll``: see the module.
    """

    url: str
    namespace: str | None
    quantity: str | None
    method: str | None
    parameters: dict[str, Json]
    way: Calling | Stepping
    timeout: float = TIMEOUT
    act_timeout: float = ACT_TIMEOUT
    poll: float = POLL

    @property
    def sources(self) -> tuple[str, ...]:
        """What stands for the values that the device gets."""
        return self.way.arguments if isinstance(self.way, Calling) else tuple(self.way.write.values())

    def check_payload(self, payload: Json) -> None:
        """Check what is asked for against the profile.

        :raises DeviceInputError: when a parameter is missing, of a wrong kind or not known to the device.
        :raises DeviceLimitationError: when it is out of range.
        """
        for name, accepted in (("quantity", self.quantity), ("method", self.method)):
            if accepted is not None and payload.get(name) != accepted:
                raise bad_input(name, payload.get(name), repr(accepted))
        given = read_object("parameters", payload.get("parameters"), ", ".join(self.parameters) or "parameters")
        unknown = sorted(given.keys() - self.parameters.keys())
        if unknown and INPUT not in self.sources:
            accepted = ", ".join(self.parameters) or "nothing"
            raise bad_input(
                f"parameters.{unknown[0]}", given[unknown[0]], f"one of {accepted}: the device knows no other"
            )
        for name, limits in self.parameters.items():
            _check_value(f"parameters.{name}", given.get(name), limits)

    def find_value(self, source: str, key: str, payload: Json) -> Any:
        """Return the value that a source stands for."""
        if source == KEY:
            return key
        if source == INPUT:
            names = ("quantity", "method", "parameters", "request")
            return json.dumps({name: payload[name] for name in names if name in payload})
        return payload["parameters"][source]


def _check_value(path: str, value: Any, limits: Json) -> None:
    if "enum" in limits:
        if value not in limits["enum"]:
            raise DeviceLimitationError(f"{path} is {value!r}, but the device accepts one of {limits['enum']}")
    elif "min" in limits or "max" in limits:
        low, high = limits.get("min", -math.inf), limits.get("max", math.inf)
        number = read_number(path, value, -math.inf, math.inf, "a number")
        if not low <= number <= high:
            unit = f" {limits['unit']}" if "unit" in limits else ""
            raise DeviceLimitationError(f"{path} is {number:g}, but the device accepts {low:g} to {high:g}{unit}")
    elif not isinstance(value, (str, int, float, bool)):
        raise bad_input(path, value, "a number, a text or a truth value")


def load_profile(settings: Any) -> Profile:
    """Return the profile in the settings of a driver.

    :param settings: the profile itself, or ``{"profile": "/path/of/profile.json"}``, whose keys others may override.
    :raises DeviceInputError: naming the place, what was given and what is accepted.
    """
    given = read_object("settings", settings, "url and call or steps, or profile (a file)")
    if "profile" in given:
        path = Path(str(given["profile"]))
        try:
            base = read_object(str(path), json.loads(path.read_text(encoding="utf-8")), "url and call or steps")
        except (OSError, ValueError) as error:
            raise DeviceInputError(f"settings.profile: {path} cannot be read as JSON: {error}") from error
        given = base | {name: value for name, value in given.items() if name != "profile"}
    return read_profile(given)


def read_profile(given: Json) -> Profile:
    """Return a profile from its JSON object.

    :raises DeviceInputError: naming the place, what was given and what is accepted.
    """
    _refuse_others("settings", given, _KEYS)
    if ("call" in given) == ("steps" in given):
        raise bad_input("settings", sorted(given), "an object with either call or steps")
    way = _read_calling(given["call"]) if "call" in given else _read_stepping(given["steps"])
    parameters = read_object("settings.parameters", given.get("parameters", {}), "limits by name of the parameter")
    for name, limits in parameters.items():
        _check_limits(f"settings.parameters.{name}", limits)
    profile = Profile(
        url=_read_url(given.get("url")),
        namespace=_read_text("settings.namespace", given.get("namespace"), optional=True),
        quantity=_read_text("settings.quantity", given.get("quantity"), optional=True),
        method=_read_text("settings.method", given.get("method"), optional=True),
        parameters=parameters,
        way=way,
        timeout=_read_seconds("timeout_s", given, TIMEOUT),
        act_timeout=_read_seconds("act_timeout_s", given, ACT_TIMEOUT),
        poll=_read_seconds("poll_s", given, POLL),
    )
    for source in profile.sources:
        if source not in (KEY, INPUT, *parameters):
            raise bad_input("settings", source, f"{KEY}, {INPUT} or a name in parameters ({', '.join(parameters)})")
    return profile


def _check_limits(path: str, limits: Any) -> None:
    given = read_object(path, limits, "min, max, enum, unit")
    _refuse_others(path, given, _RANGE_KEYS)
    for name in ("min", "max"):
        if name in given:
            read_number(f"{path}.{name}", given[name], -math.inf, math.inf, "a number")
    if not isinstance(given.get("enum", []), list):
        raise bad_input(f"{path}.enum", given["enum"], "a list")


def _read_calling(call: Any) -> Calling:
    path = "settings.call"
    given = read_object(path, call, "object and method")
    _refuse_others(path, given, {"object", "method", "arguments", "results", "check", "remembers_keys"})
    arguments = _read_texts(f"{path}.arguments", given.get("arguments", [KEY, INPUT]))
    remembers = given.get("remembers_keys", False)
    if not isinstance(remembers, bool) or (remembers and KEY not in arguments):
        raise bad_input(f"{path}.remembers_keys", remembers, f"true or false; true only where {KEY} is an argument")
    return Calling(
        _read_text(f"{path}.object", given.get("object")) or "",
        _read_text(f"{path}.method", given.get("method")) or "",
        arguments,
        None if given.get("results") is None else _read_texts(f"{path}.results", given["results"]),
        _read_text(f"{path}.check", given.get("check"), optional=True),
        remembers,
    )


def _read_stepping(steps: Any) -> Stepping:
    path = "settings.steps"
    given = read_object(path, steps, "state, idle, done, failed, command, acknowledge, write and results")
    _refuse_others(path, given, {"state", "idle", "done", "failed", "command", "acknowledge", "write", "results"})
    states = {name: given.get(name, []) for name in ("idle", "done", "failed")}
    for name, values in states.items():
        if not isinstance(values, list) or (not values and name != "failed"):
            raise bad_input(f"{path}.{name}", values, "a list of values of the state")
    listed = [value for values in states.values() for value in values]
    if len({str(value) for value in listed}) != len(listed):
        # a state that were idle and done at once would show the end of the act before its beginning
        raise bad_input(path, states, "lists of states without a value in common")
    return Stepping(
        state=_read_text(f"{path}.state", given.get("state")) or "",
        idle=tuple(states["idle"]),
        done=tuple(states["done"]),
        failed=tuple(states["failed"]),
        command=_read_setting(f"{path}.command", given.get("command")),
        acknowledge=None
        if given.get("acknowledge") is None
        else _read_setting(f"{path}.acknowledge", given["acknowledge"]),
        write=_read_names(f"{path}.write", given.get("write", {})),
        results=_read_names(f"{path}.results", given.get("results", {})),
    )


def _read_seconds(name: str, given: Json, default: float) -> float:
    return read_number(f"settings.{name}", given.get(name, default), 1e-3, _LONGEST, "a number of seconds, from 0.001")


def _read_url(value: Any) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme != "opc.tcp" or not parts.hostname:
        raise bad_input("settings.url", value, "opc.tcp://host:port/path")
    if "@" in parts.netloc:
        raise DeviceInputError("settings.url: accepted is one without user and password; see FINALES_OPCUA_USER")
    return str(value)


def _read_text(path: str, value: Any, optional: bool = False) -> str | None:
    if value is None and optional:
        return None
    if not isinstance(value, str) or not value:
        raise bad_input(path, value, "a text")
    return value


def _read_texts(path: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise bad_input(path, value, "a list of texts")
    return tuple(value)


def _read_names(path: str, value: Any) -> dict[str, str]:
    given = read_object(path, value, "texts")
    for name, text in given.items():
        _read_text(f"{path}.{name}", text)
    return given


def _read_setting(path: str, value: Any) -> tuple[str, Any]:
    given = read_object(path, value, "node and value")
    if "value" not in given:
        raise bad_input(path, value, "an object with node and value")
    return _read_text(f"{path}.node", given.get("node")) or "", given["value"]


def _refuse_others(path: str, given: Json, known: set[str]) -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        raise bad_input(f"{path}.{unknown[0]}", given[unknown[0]], f"one of {', '.join(sorted(known))}")
