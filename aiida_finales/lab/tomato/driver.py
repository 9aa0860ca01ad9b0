"""A cycler, or anything else, behind tomato: ``finales-tomato``.

The tenant's settings say what to hand in: a payload of tomato as a template. The job gets the key as its name, so that
tomato itself is asked whether a key was handed in; a driver that died finds its job again. All calls for one pipeline
share a journal, and a pipeline serves one job at a time.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import DeviceFaultError, DeviceInputError, DeviceUnavailableError
from aiida_finales.lab.driver.command import Call, say
from aiida_finales.lab.driver.journal import write_durably
from aiida_finales.lab.driver.reading import bad_input, read_number, read_object
from aiida_finales.lab.driver.recall import run_recalling_driver
from aiida_finales.lab.tomato.client import Tomato, hash_file
from aiida_finales.lab.tomato.template import check_payload, fill, fill_answer, find_in, list_datasets
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import timestamp

#: s to wait for an answer, between two looks at a job, and for the end of a job (a year)
TIMEOUT, POLL, ACT_TIMEOUT = 10.0, 30.0, 366 * 86400.0
_KEYS = (
    *("tomato_bin", "port", "pipeline", "load", "template", "answer", "quantity", "method"),
    *("timeout_s", "poll_s", "act_timeout_s"),
)
#: States of a job of tomato in which it has ended.
_ENDED = {"c": "complete", "ce": "ended with an error", "cd": "cancelled"}


@dataclass(frozen=True)
class Plan:
    """What tomato is going to do.

    :param template: of the payload; ``answer``: of what is answered.
    :param load: note the sample in an empty pipeline, instead of waiting for a person to do it.
    :param poll: s, and ``act_timeout``: see the module.
    """

    tomato: Tomato
    pipeline: str
    sample: str
    template: Json
    answer: Json
    payload: Json
    load: bool
    poll: float
    act_timeout: float


class TomatoPipeline:
    """A pipeline of tomato."""

    name = "tomato"

    def limitations(self) -> Json:
        """Return what the pipeline can do: which is in the settings of the tenant, not known here."""
        return {}

    def prepare(self, payload: Json) -> Plan:
        """Fill the template.

        :raises DeviceInputError: when settings, template or parameters are not acceptable.
        """
        settings = _read_settings(payload)
        template = _read_template(settings.get("template"))
        filled = check_payload(fill(template, lambda name: find_in(payload, "key", name)))
        if template["sample"]["identifier"] == "$key":
            raise bad_input("settings.template.sample.identifier", "$key", "the name of a sample that is there before")
        answer = read_object("settings.answer", settings.get("answer", {}), "what the driver answers")
        fill_answer(answer, payload, "key", dict.fromkeys(list_datasets(answer)))
        pipeline, load = settings.get("pipeline"), settings.get("load", False)
        if not isinstance(pipeline, str) or not pipeline or pipeline.startswith("-"):
            raise bad_input("settings.pipeline", pipeline, "the name of a pipeline of tomato")
        if not isinstance(load, bool):
            raise bad_input("settings.load", load, "true or false")
        return Plan(
            tomato=_read_tomato(settings),
            pipeline=pipeline,
            sample=filled["sample"]["identifier"],
            template=template,
            answer=answer,
            payload=payload,
            load=load,
            poll=_read_seconds(settings, "poll_s", POLL),
            act_timeout=_read_seconds(settings, "act_timeout_s", ACT_TIMEOUT),
        )

    def describe(self, plan: Plan) -> str:
        """Return pipeline, sample and techniques."""
        techniques = ", ".join(str(task["technique_name"]) for task in plan.template["method"])
        return f"submit {techniques} for sample {plan.sample} to pipeline {plan.pipeline} on port {plan.tomato.port}"

    def check(self, plan: Plan, call: Call) -> None:
        """Look whether the pipeline holds the sample, and is ready and free.

        :raises DeviceInputError: when there is no such pipeline, or it has not the roles of the template.
        :raises DeviceUnavailableError: when tomato does not answer, or the pipeline is not ready.
        """
        status = plan.tomato.read_status()
        pipelines = status["pips"]
        if plan.pipeline not in pipelines:
            raise bad_input("settings.pipeline", plan.pipeline, f"one of {', '.join(sorted(pipelines)) or 'none'}")
        pipeline = pipelines[plan.pipeline]
        roles = {status["cmps"][name]["role"] for name in pipeline["components"]}
        for task in plan.template["method"]:
            if task["component_role"] not in roles:
                raise bad_input("settings.template: component_role", task["component_role"], ", ".join(sorted(roles)))
        if plan.tomato.find_job(call.key) is None:
            _demand_free(plan, pipeline)

    def act(self, plan: Plan, call: Call) -> Json:
        """Hand the payload in, unless tomato has a job of this key already; wait for its end."""
        job = plan.tomato.find_job(call.key) or self._submit(plan, call)
        say(f"{self.name}: key {call.key} is job {job['id']} of tomato")
        return self._finish(plan, call, job["id"])

    def recall(self, plan: Plan, call: Call) -> Json | None:
        """Return the result of the job that has the key as its name, waiting for its end.

        ``None`` where there is none: a payload may still be on its way, so that it is not handed in again.
        """
        job = plan.tomato.find_job(call.key)
        return None if job is None else self._finish(plan, call, job["id"])

    def _submit(self, plan: Plan, call: Call) -> Json:
        payload = fill(plan.template, lambda name: find_in(plan.payload, call.key, name))
        results = call.folder / "results"
        payload["settings"] = payload.get("settings", {}) | {
            "output": {"path": str(results.resolve()), "prefix": call.key}
        }
        payloads = call.folder / "payloads"
        for folder in (results, payloads):
            folder.mkdir(exist_ok=True)
        path = payloads / f"{call.key}.json"
        write_durably(path, payload)
        job = plan.tomato.submit(path, call.key)
        with (call.folder / "jobs.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"time": timestamp(), "key": call.key, "job": job["id"]}) + "\n")
        return job

    def _finish(self, plan: Plan, call: Call, job_id: int) -> Json:
        job = _wait_for_end(plan, job_id)
        names: Json = {name: plan.payload[name] for name in ("quantity", "method") if name in plan.payload}
        times = {name: job.get(name) for name in ("id", "status", "submitted_at", "connected_at", "completed_at")}
        own: Json = {
            "device": self.name,
            "key": call.key,
            "pipeline": plan.pipeline,
            "sample": plan.sample,
            "job": times,
        }
        own |= names
        if job["status"] != "c":
            return own | {"success": False, "reason": f"job {job_id} of tomato was {_ENDED[job['status']]}"}
        return {"success": True} | _evaluate(plan, call, Path(job["respath"])) | own


def _evaluate(plan: Plan, call: Call, file: Path) -> Json:
    """Return the answer; the job is done, so that what cannot be evaluated is a failure, and no reason for doubt."""
    deadline = time.monotonic() + plan.tomato.timeout
    while not file.is_file() and time.monotonic() < deadline:
        time.sleep(0.2)
    try:
        found = {"data_file": str(file), "data_sha256": hash_file(file)}
        datasets = sorted(set(list_datasets(plan.answer)))
        data = plan.tomato.extract(file, datasets) if datasets else {}
    except (OSError, DeviceInputError, DeviceUnavailableError) as error:
        return {"success": False, "reason": str(error), "data_file": str(file)}
    return fill_answer(plan.answer, plan.payload, call.key, data) | found


def _demand_free(plan: Plan, pipeline: Json) -> None:
    name = plan.pipeline
    if pipeline["jobid"] is not None:
        raise DeviceUnavailableError(f"pipeline {name} works on job {pipeline['jobid']}. Try again later")
    if pipeline["sampleid"] is None and plan.load:
        plan.tomato.load(name, plan.sample)
    elif pipeline["sampleid"] != plan.sample:
        raise DeviceUnavailableError(
            f"pipeline {name} holds {pipeline['sampleid'] or 'no sample'}, not {plan.sample}: tomato pipeline "
            f"eject {name}; tomato pipeline load {name} {plan.sample}"
        )
    if not pipeline["ready"]:
        if not plan.load:
            raise DeviceUnavailableError(f"pipeline {name} is not ready: tomato pipeline ready {name}")
        plan.tomato.set_ready(name)


def _wait_for_end(plan: Plan, job_id: int) -> Json:
    """Return a job that has ended; tomato may be away meanwhile, as its jobs go on without it."""
    deadline = time.monotonic() + plan.act_timeout
    while True:
        try:
            job = plan.tomato.read_job(job_id)
            if job["status"] in _ENDED:
                return job
            state = f"is in state {job['status']}"
        except DeviceUnavailableError as error:
            state = f"cannot be looked at: {error}"
            say(f"tomato: job {job_id} {state}")
        if time.monotonic() > deadline:
            raise DeviceFaultError(f"after {plan.act_timeout:g} s job {job_id} {state}")
        time.sleep(plan.poll)


def _read_settings(payload: Json) -> Json:
    settings = read_object("settings", payload.get("settings"), ", ".join(_KEYS))
    for name, value in settings.items():
        if name not in _KEYS:
            raise bad_input(f"settings.{name}", value, f"one of {', '.join(_KEYS)}")
    for name in ("quantity", "method"):
        if name in settings and payload.get(name) != settings[name]:
            raise bad_input(name, payload.get(name), repr(settings[name]))
    return settings


def _read_tomato(settings: Json) -> Tomato:
    programs = Path(str(settings.get("tomato_bin")))
    missing = [name for name in ("tomato", "ketchup", "python") if not (programs / name).is_file()]
    if missing:
        raise bad_input("settings.tomato_bin", settings.get("tomato_bin"), f"a folder with {', '.join(missing)}")
    port = settings.get("port", 1234)
    if not isinstance(port, int) or isinstance(port, bool):
        raise bad_input("settings.port", port, "a number of a port")
    return Tomato(programs, port, _read_seconds(settings, "timeout_s", TIMEOUT))


def _read_template(template: Any) -> Json:
    """Return the template in the settings, or in the JSON file that they name."""
    if isinstance(template, str):
        try:
            template = json.loads(Path(template).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DeviceInputError(f"settings.template: {template} cannot be read as JSON: {error}") from error
    return read_object("settings.template", template, "a payload of tomato (version, user, sample, method, settings)")


def _read_seconds(settings: Json, name: str, default: float) -> float:
    return read_number(
        f"settings.{name}", settings.get(name, default), 0.01, ACT_TIMEOUT, "a number of seconds from 0.01"
    )


def main() -> None:
    """Run ``finales-tomato`` and exit with its status."""
    sys.exit(run_recalling_driver(TomatoPipeline()))


if __name__ == "__main__":
    main()
