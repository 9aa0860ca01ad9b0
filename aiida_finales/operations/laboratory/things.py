"""Samples by their place, and what drivers tell of bottles and channels."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiida import orm
from aiida.common.exceptions import NotExistent

from aiida_finales.broker.samples import count_places
from aiida_finales.broker.sight import NOTHING, hidden_now, without
from aiida_finales.data.sample import SampleData
from aiida_finales.lab.driver.evaluation import last_words
from aiida_finales.operations.laboratory.devices import read_tenants
from aiida_finales.schemas import Json

#: the transport of a computer that is this one
HERE = "core.local"
#: s that a driver may take to tell its status: it asks no device
PATIENCE = 20.0
#: what drivers tell as lists
LISTS = ("stocks", "channels")


@dataclass(frozen=True)
class Probe:
    """How to ask the driver of a tenant for its status.

    :param command: program and arguments; empty: it cannot be asked from here, ``words`` say why.
    """

    tenant: str
    command: tuple[str, ...]
    words: str = ""


def list_places() -> list[Json]:
    """Return how many samples of each kind are where: ``address``, counts by kind, ``n_invalid``; the most first."""
    places: dict[str, Json] = {}
    for address, kind, status, number in count_places():
        row = places.setdefault(address, {"address": address, "kinds": {}, "n": 0, "n_invalid": 0})
        row["n"] += number
        row["kinds"][kind] = row["kinds"].get(kind, 0) + number
        row["n_invalid"] += number * (status == "invalid")
    return sorted(places.values(), key=lambda row: (-row["n"], row["address"]))


def list_probes() -> list[Probe]:
    """Return how to ask the drivers of the active tenants, each once."""
    probes: dict[tuple[str, ...], Probe] = {}
    for tenant in read_tenants():
        for offer in tenant["offers"] if tenant["is_active"] else ():
            settings = offer.get("settings") or {}
            if "code" in settings:
                # one driver serves several offers: its device is the same
                key = (str(settings["code"]), str(settings.get("journal")))
                if key not in probes:
                    probes[key] = _make_probe(str(tenant["name"]), settings)
    return list(probes.values())


def ask(probe: Probe) -> Json:
    """Return what a driver tells of itself: ``stocks`` and ``channels``; ``words`` say why where it tells nothing.

    It needs no profile: it runs where nothing of AiiDA may be used.
    """
    nothing: Json = {"tenant": probe.tenant, "stocks": [], "channels": [], "holder": None, "words": ""}
    if not probe.command:
        return {**nothing, "words": probe.words}
    try:
        done = subprocess.run(  # noqa: S603 - the code that the tenant has registered
            list(probe.command), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {**nothing, "words": f"its driver does not answer: {error}"}
    return {**nothing, **_read_answer(done)}


def leave_out_hidden(told: Sequence[Json]) -> list[Json]:
    """Return what drivers told without the bottles and cells that whoever asks may not see."""
    hidden = hidden_now().nodes
    if not hidden:
        return list(told)
    with without(NOTHING):
        query = orm.QueryBuilder().append(SampleData, subclassing=False, project=["id", "attributes.identity"])
        names = {identity for pk, identity in query.all() if pk in hidden}
    return [_leave_out(row, names) for row in told]


def _leave_out(row: Json, names: set[str]) -> Json:
    nobody = {"cell": None, "reservation": None, "n_cycles": None}
    stocks = [item for item in row["stocks"] if item.get("identity") not in names]
    channels = [{**item, **nobody} if item.get("cell") in names else item for item in row["channels"]]
    return {**row, "stocks": stocks, "channels": channels}


def _make_probe(name: str, settings: Mapping[str, Any]) -> Probe:
    try:
        code = orm.load_code(settings["code"])
    except NotExistent as error:
        return Probe(name, (), f"its driver is not known any more: {error}")
    computer = code.computer
    if computer is None or computer.transport_type != HERE:
        place = computer.label if computer else "no computer"
        return Probe(name, (), f"its driver is on {place}, where only its requests go")
    command = [str(code.filepath_executable), "--status", "--settings", json.dumps(settings.get("driver") or {})]
    if settings.get("journal"):
        command += ["--journal", str(settings["journal"])]
    return Probe(name, tuple(command))


def _read_answer(done: subprocess.CompletedProcess[str]) -> Json:
    """Return what was told; of a driver that knows no ``--status``, or whose status is no object, nothing but words."""
    if done.returncode != 0:
        return {"words": f"its driver tells no status: {last_words(done.stderr)}"}
    try:
        told = json.loads(done.stdout)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return {"words": "its driver tells a status that is no JSON object"}
    found = {key: [item for item in told[key] if isinstance(item, dict)] for key in LISTS if _is_list(told.get(key))}
    return {**found, "holder": told.get("holder")}


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
