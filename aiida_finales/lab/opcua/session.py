"""One connection to an OPC UA server, for one call of a driver.

What goes wrong up to the act is told apart: a server that is not there (try again), and a server that is, but without
the nodes of the profile (correct the profile). From the act on every error is for the caller to doubt.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import math
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from aiida_finales.exceptions import (
    DeviceFaultError,
    DeviceInputError,
    DeviceLimitationError,
    DeviceUnavailableError,
    MissingExtraError,
)
from aiida_finales.lab.driver.command import say
from aiida_finales.lab.driver.reading import bad_input
from aiida_finales.lab.opcua.profile import KEY, Calling, Profile, Stepping
from aiida_finales.schemas import Json

#: bits by name of the integer type; a U in front: without sign
_INTEGERS = {
    name: (low, high)
    for bits, signed, unsigned in (
        (8, "SByte", "Byte"),
        (16, "Int16", "UInt16"),
        (32, "Int32", "UInt32"),
        (64, "Int64", "UInt64"),
    )
    for name, low, high in ((signed, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1), (unsigned, 0, 2**bits - 1))
}


T = TypeVar("T")

#: Status codes of OPC UA that say: the profile, or who we say we are, is wrong. Trying again is of no use.
_WRONG_PROFILE = (
    *("BadNodeIdUnknown", "BadNodeIdInvalid", "BadNoMatch", "BadAttributeIdInvalid", "BadMethodInvalid"),
    *("BadNodeClassInvalid", "BadBrowseNameInvalid", "BadTypeMismatch", "BadNotWritable", "BadNotReadable"),
    *("BadUserAccessDenied", "BadIdentityTokenRejected", "BadIdentityTokenInvalid", "BadSecurityChecksFailed"),
    *("BadSecurityPolicyRejected", "BadCertificateUntrusted"),
)
#: Status codes by which the device's own check refuses an input.
_REFUSED_INPUT = ("BadInvalidArgument", "BadTypeMismatch", "BadArgumentsMissing", "BadTooManyArguments")
_REFUSED_LIMITATION = ("BadOutOfRange", "BadNotSupported")


class Session:
    """A connection, with the nodes of the profile found and the values converted.

    :param values: what each source stands for, see :meth:`Profile.find_value`.
    :raises DeviceInputError: when asyncua is not installed, or a file of the credentials does not exist.
    """

    def __init__(self, profile: Profile, values: Json) -> None:
        self._profile = profile
        self._values = values
        self._ua = _import_ua()
        self._runner = asyncio.Runner()
        self._client: Any = None
        self._namespace: int | None = None
        self._nodes: dict[str, Any] = {}
        self._writes: list[tuple[Any, Any]] = []
        self._arguments: list[Any] = []

    def open(self) -> None:
        """Connect, find the nodes, convert the values, ask the device whether it would act; changes nothing.

        :raises DeviceInputError: when the server has no such nodes, refuses the user, or the device the input.
        :raises DeviceLimitationError: when the device refuses the values.
        :raises DeviceUnavailableError: when there is no answer, or the device is not idle.
        """
        self._prepare(self._connect())
        way = self._profile.way
        self._prepare(self._prepare_call(way) if isinstance(way, Calling) else self._prepare_steps(way))

    def demand_readiness(self) -> None:
        """Ask the device whether it would act.

        :raises DeviceError: when it would not; see :meth:`open`.
        """
        way = self._profile.way
        self._prepare(self._check_call(way) if isinstance(way, Calling) else self._check_idle(way))

    def act(self) -> Json:
        """Make the device act, and return its results."""
        way = self._profile.way
        return self._run(self._call(way) if isinstance(way, Calling) else self._step(way))

    def recall(self) -> Json | None:
        """Return the results of this key, if the device remembers them."""
        way = self._profile.way
        if isinstance(way, Calling):
            return self.act() if way.remembers_keys else None
        return self._run(self._recall_steps(way))

    def close(self) -> None:
        """Let go of the server; it does not matter any more whether it answers."""
        try:
            if self._client is not None:
                self._runner.run(self._ask(self._client.disconnect()))
                self._runner.run(asyncio.sleep(0))  # the loop closes the socket in its next turn
        except Exception as error:
            say(f"opcua: the connection ended with {type(error).__name__}: {error}")
        finally:
            self._runner.close()
            # what is left of a connection that broke complains when it is thrown away, after the driver's last word
            for name in ("asyncio", "asyncua"):
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def _prepare(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a step before the act, and say what its failure means."""
        url = self._profile.url
        try:
            return self._run(coroutine)
        except self._ua.UaStatusCodeError as error:
            name = type(error).__name__
            if name in _WRONG_PROFILE:
                raise DeviceInputError(f"{url} answers {name}: correct the profile or the credentials") from error
            raise DeviceUnavailableError(f"{url} answers {name}: {error}. Try again later") from error
        except (OSError, TimeoutError, self._ua.UaError) as error:
            reason = str(error) or f"no answer within {self._profile.timeout:g} s"
            raise DeviceUnavailableError(f"{url} cannot be reached: {reason}. Try again later") from error

    async def _ask(self, exchange: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wait_for(exchange, self._profile.timeout)

    async def _connect(self) -> None:
        profile = self._profile
        # an act may take longer than an exchange; the shorter time of the others is watched by _ask
        client = importlib.import_module("asyncua").Client(
            profile.url, timeout=max(profile.timeout, profile.act_timeout), watchdog_intervall=profile.timeout
        )
        await self._ask(_set_credentials(client))
        await self._ask(client.connect())
        self._client = client
        if profile.namespace is not None:
            known = await self._ask(client.get_namespace_array())
            if profile.namespace not in known:
                raise DeviceInputError(
                    f"settings.namespace: {profile.namespace!r} was given, {profile.url} has {', '.join(known)}"
                )
            self._namespace = known.index(profile.namespace)

    async def _find(self, place: str, name: str) -> Any:
        """Return a node of the profile.

        :param place: where the name is in the profile, for the error.
        :param name: ``ns=2;s=Pump.Act``, or a path below the folder Objects: ``2:Pump/2:Act``.
        """
        text = name if self._namespace is None else name.replace("{ns}", str(self._namespace))
        try:
            if "=" in text:
                node = self._client.get_node(text)
            else:
                node = await self._ask(self._client.nodes.objects.get_child(text.split("/")))
            await self._ask(node.read_browse_name())
        except (ValueError, self._ua.UaError) as error:
            if isinstance(error, self._ua.UaStatusCodeError) and type(error).__name__ not in _WRONG_PROFILE:
                raise
            reason = type(error).__name__
            raise DeviceInputError(
                f"settings.{place}: {name!r} was given, but {self._profile.url} has no such node ({reason})"
            ) from error
        return node

    async def _prepare_call(self, way: Calling) -> None:
        for place, name in (("object", way.owner), ("method", way.method), ("check", way.check)):
            if name is not None:
                self._nodes[place] = await self._find(f"call.{place}", name)
        types = await self._read_argument_types()
        if len(types) != len(way.arguments):
            raise DeviceInputError(
                f"settings.call.arguments: {len(way.arguments)} were given, the method takes {len(types)}"
            )
        self._arguments = [
            self._make_variant(source, self._values[source], kind)
            for source, kind in zip(way.arguments, types, strict=True)
        ]

    async def _read_argument_types(self) -> list[Any]:
        """Return the types of the input arguments of the method; a method without any need not say so."""
        try:
            node = await self._ask(self._nodes["method"].get_child("0:InputArguments"))
        except self._ua.uaerrors.BadNoMatch:
            return []
        arguments = await self._ask(node.read_value())
        return [self._ua.VariantType(argument.DataType.Identifier) for argument in arguments]

    async def _prepare_steps(self, way: Stepping) -> None:
        self._nodes["state"] = await self._find("steps.state", way.state)
        for name, source in way.write.items():
            node = await self._find("steps.write", name)
            self._writes.append(await self._make_write(node, source, self._values[source]))
            if source == KEY:
                self._nodes["key"] = node
        for place, setting in (("command", way.command), ("acknowledge", way.acknowledge)):
            if setting is not None:
                node = await self._find(f"steps.{place}", setting[0])
                self._nodes[place] = await self._make_write(node, f"steps.{place}", setting[1])
        for result, name in way.results.items():
            self._nodes[f"result {result}"] = await self._find(f"steps.results.{result}", name)

    async def _make_write(self, node: Any, path: str, value: Any) -> tuple[Any, Any]:
        kind = await self._ask(node.read_data_type_as_variant_type())
        return node, self._ua.DataValue(self._make_variant(path, value, kind))

    def _make_variant(self, path: str, value: Any, kind: Any) -> Any:
        return self._ua.Variant(convert(path, value, kind.name), kind)

    async def _check_call(self, way: Calling) -> None:
        if way.check is None:
            return
        try:
            await self._ask(self._nodes["object"].call_method(self._nodes["check"], *self._arguments))
        except self._ua.UaStatusCodeError as error:
            name = type(error).__name__
            if name in _REFUSED_INPUT:
                raise DeviceInputError(f"the device refuses the input: {name}") from error
            if name in _REFUSED_LIMITATION:
                raise DeviceLimitationError(f"the device cannot do this: {name}") from error
            raise

    async def _check_idle(self, way: Stepping) -> None:
        """Demand that the device can act; one that has just been acknowledged needs a moment to go back to idle."""
        deadline = time.monotonic() + self._profile.timeout
        while (state := await self._ask(self._nodes["state"].read_value())) in way.done and state not in way.idle:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(self._profile.poll)
        if state not in way.idle:
            accepted = ", ".join(str(value) for value in way.idle)
            raise DeviceUnavailableError(f"the state of the device is {state}, it acts at {accepted}. Try again later")

    async def _call(self, way: Calling) -> Json:
        seconds = self._profile.act_timeout
        try:
            answer = await asyncio.wait_for(
                self._nodes["object"].call_method(self._nodes["method"], *self._arguments), seconds
            )
        except TimeoutError as error:
            raise DeviceFaultError(f"the method did not end within {seconds:g} s") from error
        if way.results is None:
            return _read_json(answer)
        values = answer if isinstance(answer, (list, tuple)) else [answer]
        return {name: _plain(value) for name, value in zip(way.results, values, strict=True)}

    async def _step(self, way: Stepping) -> Json:
        for node, value in (*self._writes, self._nodes["command"]):
            await self._ask(node.write_value(value))
        return await self._finish(way)

    async def _finish(self, way: Stepping) -> Json:
        """Wait for the end of the act, read the results and bring the device back to idle."""
        deadline = time.monotonic() + self._profile.act_timeout
        while (state := await self._ask(self._nodes["state"].read_value())) not in way.done:
            if state in way.failed:
                raise DeviceFaultError(f"the state of the device is {state}, which means that it failed")
            if time.monotonic() > deadline:
                raise DeviceFaultError(
                    f"after {self._profile.act_timeout:g} s the state of the device is still {state}"
                )
            await asyncio.sleep(self._profile.poll)
        results = {name: _plain(await self._ask(self._nodes[f"result {name}"].read_value())) for name in way.results}
        if "acknowledge" in self._nodes:
            node, value = self._nodes["acknowledge"]
            await self._ask(node.write_value(value))
        return results

    async def _recall_steps(self, way: Stepping) -> Json | None:
        """Return the results if the device still shows the key, and is not idle: then the act is that of the key."""
        if "key" not in self._nodes:
            return None
        shown = await self._ask(self._nodes["key"].read_value())
        state = await self._ask(self._nodes["state"].read_value())
        if shown != self._values[KEY] or state in way.idle:
            return None
        return await self._finish(way)


def _import_ua() -> Any:
    try:
        return importlib.import_module("asyncua.ua")
    except ImportError as error:
        raise DeviceInputError(str(MissingExtraError("lab", "the driver finales-opcua"))) from error


async def _set_credentials(client: Any) -> None:
    """Take user, password and certificates from the environment; requests and settings never hold them."""
    user, password_file = os.environ.get("FINALES_OPCUA_USER"), os.environ.get("FINALES_OPCUA_PASSWORD_FILE")
    security = os.environ.get("FINALES_OPCUA_SECURITY")
    if user:
        client.set_user(user)
        if password_file:
            client.set_password(_demand_file("FINALES_OPCUA_PASSWORD_FILE", password_file).read_text().strip())
    if security:
        parts = security.split(",")
        if len(parts) not in (4, 5):
            raise DeviceInputError(
                f"FINALES_OPCUA_SECURITY has {len(parts)} parts, accepted are policy,mode,certificate,key[,server "
                "certificate], such as Basic256Sha256,SignAndEncrypt,client.pem,client-key.pem,server.pem"
            )
        certificate, *others = [_demand_file("FINALES_OPCUA_SECURITY", name) for name in parts[2:]]
        client.application_uri = _read_uri(certificate) or client.application_uri
        await client.set_security_string(",".join([*parts[:2], *map(str, (certificate, *others))]))


def _demand_file(variable: str, name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise DeviceInputError(f"{variable} names {name}, accepted is an existing file")
    return path


def _read_uri(certificate: Path) -> str | None:
    """Return the URI that a certificate was issued for: servers refuse a client that calls itself otherwise."""
    x509 = importlib.import_module("cryptography.x509")
    content = certificate.read_bytes()
    load = x509.load_pem_x509_certificate if content.startswith(b"-----") else x509.load_der_x509_certificate
    try:
        names = load(content).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return str(uris[0]) if uris else None


def _read_json(answer: Any) -> Json:
    try:
        results = json.loads(answer)
    except (TypeError, ValueError) as error:
        raise DeviceFaultError(f"the method answers {answer!r:.80}, expected is a JSON object as text") from error
    if not isinstance(results, dict):
        raise DeviceFaultError(f"the method answers a {type(results).__name__}, expected is a JSON object as text")
    return results


def _plain(value: Any) -> Any:
    """Return a value that can be written as JSON."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def convert(path: str, value: Any, type_name: str) -> Any:
    """Return a value as the Python type that an OPC UA type takes.

    :param path: where the value comes from, for the error.
    :param type_name: such as ``Double``, ``Int16``, ``String``, ``Boolean``.
    :raises DeviceInputError: when the type cannot hold the value.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if type_name in _INTEGERS:
        low, high = _INTEGERS[type_name]
        if not is_number or value != int(value) or not low <= value <= high:
            raise bad_input(path, value, f"a whole number from {low} to {high} ({type_name})")
        return int(value)
    if type_name in ("Float", "Double"):
        if not is_number:
            raise bad_input(path, value, f"a number ({type_name})")
        return float(value)
    kinds: dict[str, type] = {"String": str, "Boolean": bool}
    if type_name not in kinds:
        raise bad_input(path, type_name, "a variable of type Boolean, String, Float, Double or an integer type")
    if not isinstance(value, kinds[type_name]):
        raise bad_input(path, value, f"a value of type {type_name}")
    return value
