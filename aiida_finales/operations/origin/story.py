"""Where a result comes from: from who asked, over the suggestion, to the raw data.

It is read from links, attributes, extras and logs alone, so that it works in an imported archive, too.
"""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.links import LinkType

from aiida_finales.broker.requests import name_asker
from aiida_finales.broker.results import DOUBTFUL
from aiida_finales.broker.state import read_history, read_state
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.nodes import pk_of, state_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData, tell_forces
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.tenant import TenantData
from aiida_finales.data.training_set import count_results
from aiida_finales.operations.campaign.evaluation import count_inputs, linked_inputs
from aiida_finales.operations.campaign.overview import find_suggestion
from aiida_finales.operations.origin.genealogy import trace_back
from aiida_finales.operations.request.records import describe_result, history_lines
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import utc_text
from aiida_finales.science.electrolyte.composition import describe


def trace(result: ResultData) -> Json:
    """Return the whole story of a result as plain JSON; parts that do not apply, or are not here, are ``None``."""
    request = _load(RequestData, result.request_uuid)
    suggestion = find_suggestion(result)
    process = result.creator
    return {
        "result": _result_part(result),
        "campaigns": _campaigns(result),
        "suggestion": _suggestion_part(suggestion) if suggestion else None,
        "request": _request_part(request) if request else None,
        "tenant": _tenant_part(process, request, result),
        "provided_by": _process_part(process) if process else None,
        "raw_data": _raw_part(process, result) if process else None,
        "origins": trace_back(result),
        "history": history_lines(read_history(pk_of(result))),
    }


def _result_part(result: ResultData) -> Json:
    state = read_state(pk_of(result))
    return {
        **describe_result(result, state),
        "success": result.is_successful,
        "valid": bool(result.base.attributes.get("valid")),
        "implausible": result.base.attributes.get("implausible", None) or [],
        "forces": tell_forces(result.data),
        "implausible_beside": result.base.attributes.get("implausible_beside", None) or [],
        "looks_like": result.base.attributes.get("looks_like", None),
        "doubtful": result.base.extras.get(DOUBTFUL, None),
        "reason": state.get("reason"),
        "replacement": state.get("replacement"),
        "created": utc_text(result.ctime),
    }


def _campaigns(result: ResultData) -> list[str]:
    query = orm.QueryBuilder().append(ResultData, filters={"id": result.pk}, tag="result")
    return sorted(query.append(CampaignGroup, with_node="result", project="label").all(flat=True))


def _suggestion_part(node: SuggestionData) -> Json:
    document, process = node.document, node.creator
    problem = process.inputs.problem.get_dict()["problem"]
    fractions = dict(zip(problem["components"], document["x"], strict=True))
    return {
        "uuid": node.uuid,
        "pk": node.pk,
        "step": node.step,
        "source": node.source_name,
        "formulation": describe(fractions),
        "acquisition": document["acquisition"],
        "reason": document["reason"],
        "predicted": document.get("predicted") and {key: document["predicted"][key] for key in ("mean", "sd")},
        "predictions": document.get("predictions"),
        "units": document.get("units") or {},
        "unit": document.get("unit", ""),
        "transform": document.get("transform", "none"),
        "expected_gain": document.get("expected_gain"),
        "n_learned_from": count_results(process),
        "n_under_way": count_inputs(process, "pending__"),
        "excluded": document.get("excluded") or {},
        "doubtful": node.base.extras.get(DOUBTFUL, None),
        "engine": (document.get("model") or {}).get("engine"),
        "versions": (document.get("environment") or {}).get("versions"),
    }


def _request_part(request: RequestData) -> Json:
    state = read_state(pk_of(request))
    could = [
        {"tenant": _tenant_name(item["node"], item["tenant"]), "method": item["method"]}
        for item in state.get("candidates", [])
    ]
    fractions = dict(request.base.attributes.get("fractions") or {})
    return {
        "uuid": request.uuid,
        "pk": request.pk,
        "requester": name_asker(request.requester, state),
        "methods": request.methods,
        "formulation": describe(fractions),
        "temperature_K": request.base.attributes.get("temperature"),
        "status": state.get("status"),
        "attempts": state.get("attempt"),
        "could_serve": could,
        "posted": utc_text(request.ctime),
        "history": history_lines(read_history(pk_of(request))),
    }


def _tenant_part(process: orm.ProcessNode | None, request: RequestData | None, result: ResultData) -> Json | None:
    """Return who provided it, under which version of the limitations."""
    node = linked_inputs(process).get("tenant") if process else None
    if node is None and request is not None:
        node = _load(TenantData, read_state(pk_of(request)).get("node"))
    if not isinstance(node, TenantData):
        return {"name": None, "tenant_uuid": result.tenant_uuid} if result.tenant_uuid else None
    version = {"limitations_version": node.version, "limitations_uuid": node.uuid}
    return {"name": node.name, "kind": node.kind, "tenant_uuid": node.tenant_uuid, "contact": node.contact, **version}


def _process_part(process: orm.ProcessNode) -> Json:
    part: Json = {
        "pk": process.pk,
        "uuid": process.uuid,
        "process": process.process_label,
        "state": state_of(process),
        "began": utc_text(process.ctime),
        "ended": utc_text(process.mtime),
        "seconds": round((process.mtime - process.ctime).total_seconds(), 2),
        "version": process.base.attributes.get("version", None),
        "caller": process.caller.process_label if process.caller else None,
    }
    if isinstance(process, orm.CalcJobNode):
        part |= _job_part(process)
    if isinstance(process, orm.CalcFunctionNode):
        part["source_file"] = process.function_name
    file = linked_inputs(process).get("file")
    if isinstance(file, orm.SinglefileData):
        part |= {"file": file.filename, "md5": file.base.attributes.get("md5", None)}
    return part


def _job_part(process: orm.CalcJobNode) -> Json:
    inputs = linked_inputs(process)
    code, arguments = inputs.get("code"), inputs.get("arguments")
    words: list[str] = list(arguments) if isinstance(arguments, orm.List) else []
    return {
        "code": getattr(code, "full_label", None),
        "computer": process.computer.label if process.computer else None,
        "key": words[words.index("--key") + 1] if "--key" in words else None,
        "job_id": process.get_job_id(),
    }


def _raw_part(process: orm.ProcessNode, result: ResultData) -> Json | None:
    """Return the raw data beside the result: arrays, retrieved files, and the numbers of the fit."""
    outgoing = process.base.links.get_outgoing(link_type=LinkType.CREATE).all()
    arrays = [
        {"name": link.link_label, "pk": link.node.pk, "uuid": link.node.uuid, "arrays": link.node.get_arraynames()}
        for link in outgoing
        if isinstance(link.node, orm.ArrayData)
    ]
    folders = [link.node for link in outgoing if isinstance(link.node, orm.FolderData)]
    files = [{"pk": node.pk, "files": sorted(node.base.repository.list_object_names())} for node in folders]
    fit = result.data.get("impedance")
    if not arrays and not files and not fit:
        return None
    told = {key: result.data.get(key) for key in ("volumes_mL", "dosed_for")}
    return {"arrays": arrays, "retrieved": files, "impedance_fit": fit, **told}


def _tenant_name(uuid: str, otherwise: str) -> str:
    node = _load(TenantData, uuid)
    return str(node.name) if isinstance(node, TenantData) else otherwise


def _load(kind: type[orm.Node], uuid: str | None) -> Any:
    """Return a node, or ``None`` when it is not in this profile (an archive may hold a part only)."""
    return orm.QueryBuilder().append(kind, filters={"uuid": uuid}).first(flat=True) if uuid else None
