"""The story of a result in sentences, one paragraph per step."""

from __future__ import annotations

from aiida_finales.calculations.suggest import describe_expected, name_acquisition
from aiida_finales.operations.origin.genealogy import tell_tree
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import localise
from aiida_finales.schemas.values import format_number, format_value
from aiida_finales.schemas.words import count

Lines = list[str]

#: results of a kind that are named one by one
SHOWN = 6


def tell(story: Json) -> Lines:
    """Return the story line by line; titles begin at the margin, what belongs to them is indented."""
    parts = [
        ("Result", _tell_result(story["result"])),
        ("Who asked", _tell_asker(story)),
        ("Suggestion", _tell_suggestion(story["suggestion"])),
        ("Request", _tell_request(story["request"])),
        ("Who answered", _tell_tenant(story["tenant"])),
        ("How", _tell_process(story["provided_by"])),
        ("Raw data", _tell_raw(story["raw_data"])),
        ("Measured on, and computed from", tell_tree(story["origins"])),
        ("History of the result", story["history"]),
        ("History of the request", (story["request"] or {}).get("history", [])),
    ]
    lines: Lines = []
    for title, words in parts:
        if words:
            lines += [title, *(f"  {localise(line)}" for line in words), ""]
    return lines[:-1]


def _tell_result(part: Json) -> Lines:
    value = part.get("told") or "no value"
    if part["value"] is not None:
        value = format_value(part["value"], part["uncertainty"], part["unit"])
    temperature = "" if part["temperature_K"] is None else f" at {part['temperature_K']:g} K"
    rating = "no rating" if part["rating"] is None else f"rating {part['rating']} of 5"
    lines = [
        f"{part['quantity']} by {part['method']}: {value}, {rating}, "
        f"{'successful' if part['success'] else 'not successful'}  <{part['pk']}> {part['uuid']}",
        (f"of {part['formulation']} (mole fractions)" if part["formulation"] else "no formulation")
        + temperature
        + (f", {format_value(part['molality'], unit='mol/kg')}" if part["molality"] is not None else ""),
        "simulated: the numbers come from a simulated laboratory" if part["simulated"] else "not simulated",
        f"status: {part['status']}" + (f" ({part['reason']})" if part["reason"] else ""),
    ]
    if part.get("why"):
        lines.append(f"why so: {part['why']}")
    if part["forces"]:
        lines.append(f"forces by {part['forces']}")
    if part["replacement"]:
        lines.append(f"replaced by {part['replacement']}")
    if part["doubtful"]:
        lines.append(f"DOUBTFUL: {part['doubtful']}")
    if part.get("looks_like"):
        lines.append(f"note: {part['looks_like']}")
    for key, words in (("implausible", "not to be expected"), ("implausible_beside", "beside it, not to be expected")):
        if part[key]:
            lines.append(f"{words}: {', '.join(part[key])}")
    if not part["valid"] and not part["implausible"]:
        lines.append("its data break the schema of the capability")
    return lines


def _tell_asker(story: Json) -> Lines:
    campaigns, request = story["campaigns"], story["request"]
    if request is None:
        words = "nobody: it is an unsolicited result (existing data)"
        return [words, *(f"campaign {name!r} uses it" for name in campaigns)]
    lines = [f"campaign {name!r}" for name in campaigns]
    return lines or [request["requester"]]


def _tell_suggestion(part: Json | None) -> Lines:
    if part is None:
        return []
    known, under_way = count(part["n_learned_from"], "result"), count(part["n_under_way"], "request")
    lines = [
        f"step {part['step']} proposed {part['formulation']} to {part['source']}  <{part['pk']}>",
        f"chosen because: {name_acquisition(part['acquisition'])}, {part['reason']}",
        f"learned from {known}, with {under_way} under way",
    ]
    if len(part.get("predictions") or ()) > 1:
        lines.append(describe_expected(part))
    elif part["predicted"]:
        scale = "" if part["transform"] == "none" else ", by a model of the logarithm"
        words = format_value(part["predicted"]["mean"], part["predicted"]["sd"], part["unit"])
        lines.append(f"expected {words}{scale}")
    lines += _tell_excluded(part["excluded"])
    if part["doubtful"]:
        lines.append(f"DOUBTFUL: {part['doubtful']}")
    return lines


def _tell_excluded(excluded: dict[str, str]) -> Lines:
    """Return which results were not learned from, by reason."""
    reasons: dict[str, list[str]] = {}
    for uuid, why in excluded.items():
        reasons.setdefault(why, []).append(uuid[:8])
    return [
        f"left out {count(len(uuids), 'result')}, because {why}: {', '.join(uuids[:SHOWN])}"
        + (" ..." if len(uuids) > SHOWN else "")
        for why, uuids in reasons.items()
    ]


def _tell_request(part: Json | None) -> Lines:
    if part is None:
        return []
    temperature = "" if part["temperature_K"] is None else f" at {part['temperature_K']:g} K"
    could = ", ".join(f"{item['tenant']} by {item['method']}" for item in part["could_serve"])
    by = " or ".join(part["methods"])
    return [
        f"{part['formulation']}{temperature} by {by}, posted {part['posted']}  <{part['pk']}>",
        f"could be served by: {could or 'nobody'}",
        f"status: {part['status']} after {part['attempts']} reservations",
    ]


def _tell_tenant(part: Json | None) -> Lines:
    if part is None:
        return []
    if part["name"] is None:
        return [f"tenant {part['tenant_uuid']}, whose registration is not in this profile"]
    contact = f", contact {part['contact']}" if part["contact"] else ""
    return [
        f"{part['name']} ({part['kind']}{contact})",
        f"under version {part['limitations_version']} of its limitations ({part['limitations_uuid']})",
    ]


def _tell_process(part: Json | None) -> Lines:
    if part is None:
        return ["no process created it"]
    lines = [
        f"{part['process']} <{part['pk']}>, {part['state']}, {part['began']} to {part['ended']} ({part['seconds']:g} s)"
    ]
    if part.get("code"):
        lines.append(f"driver {part['code']} on computer {part['computer']}, job {part['job_id']}")
        lines.append(f"key {part['key']} (the device acts once per key)")
    if part.get("file"):
        lines.append(f"from file {part['file']}, md5 {part['md5']}")
    if part.get("version"):
        lines.append("code: " + ", ".join(f"{name} {value}" for name, value in sorted(part["version"].items())))
    if part["caller"]:
        lines.append(f"called by {part['caller']}")
    return lines


def _tell_raw(part: Json | None) -> Lines:
    if part is None:
        return []
    lines = [f"{item['name']} <{item['pk']}>: {', '.join(item['arrays'])}" for item in part["arrays"]]
    lines += [f"files <{item['pk']}>: {', '.join(item['files'])}" for item in part["retrieved"]]
    fit = part["impedance_fit"] or {}
    if fit:
        lines.append(
            f"fit of the spectrum: {format_value(fit['resistance_ohm'], unit='ohm')} of which "
            f"{format_value(fit['contact_resistance_ohm'], unit='ohm')} are contacts, relative error "
            f"{format_number(fit['relative_error'])}, cell constant "
            f"{format_value(fit['cell_constant_per_m'], unit='1/m')}"
        )
    if part["volumes_mL"]:
        doses = (f"{name} {format_value(volume, unit='mL')}" for name, volume in part["volumes_mL"].items())
        lines.append("dosed: " + ", ".join(doses))
    if part["dosed_for"]:
        lines.append(f"that was not for it alone: it was measured on the sample of key {part['dosed_for']}")
    return lines
