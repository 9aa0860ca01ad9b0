"""Run a driver: one device does one thing, once, however often the job is run."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida_shell.calculations.shell import ShellJob

from aiida_finales.broker.samples import find_inputs
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.sample import SampleData
from aiida_finales.data.tenant import TenantData
from aiida_finales.lab.driver.command import HANDED
from aiida_finales.schemas.cells.naming import used_parts

INPUT_FILENAME = "input.json"
OUTPUT_FILENAME = "output.json"


class DriverCalculation(ShellJob):
    """A shell job that hands a request to a driver: ``driver --key KEY --input input.json --output output.json``.

    The key is the same whenever the engine runs the job again, so that the journal on the device's side can tell a
    second call from a first one. The parser of the method demands the end marker of the output.
    """

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        super().define(spec)
        spec.input("request", valid_type=RequestData, help="what is asked for")
        spec.input("tenant", valid_type=TenantData, required=False, help="who serves it, under these limitations")
        spec.input("method", valid_type=str, non_db=True, help="the method of the request that is used")
        spec.input("settings", valid_type=dict, non_db=True, default=dict, help="settings of the tenant for the driver")
        spec.input_namespace("samples", valid_type=SampleData, dynamic=True, help="samples that the device works on")
        spec.output("result", valid_type=ResultData, required=False)
        spec.output_namespace("samples", valid_type=SampleData, dynamic=True, help="samples that were made")
        # 300-399: the output is not there; 401-: the driver ended properly and says what happened
        spec.exit_code(350, "ERROR_NO_OUTPUT", message="the driver left no complete output (end marker missing)")
        spec.exit_code(401, "ERROR_DRIVER_INPUT", message="the driver refuses the input: {reason}")
        spec.exit_code(402, "ERROR_DRIVER_LIMITATIONS", message="the device cannot do this: {reason}")
        spec.exit_code(403, "ERROR_DRIVER_UNAVAILABLE", message="the device is not available: {reason}")
        spec.exit_code(404, "ERROR_DRIVER_FAULT", message="the device failed: {reason}")
        spec.exit_code(405, "ERROR_NEEDS_OPERATOR", message="an operator must look at the device: {reason}")
        spec.exit_code(406, "ERROR_JOURNAL_LOST", message="an operator must look, the journal has gaps: {reason}")
        spec.exit_code(420, "ERROR_UNUSABLE_DATA", message="the device's data cannot be evaluated: {reason}")

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the driver's input file beside what the shell job writes."""
        request: RequestData = self.inputs.request
        method = self.inputs.method
        document = {
            "quantity": request.quantity,
            "method": method,
            "parameters": request.parameters[method],
            "settings": self.inputs.settings,
            "request": request.uuid,
        }
        parts = used_parts(request.parameters[method])  # the device knows no profile
        for noun in sorted({part.NOUN for part in parts}):
            document[noun] = [part.to_dict() for part in parts if noun == part.NOUN]
        calc_info = super().prepare_for_submission(folder)
        Path(folder.get_abs_path(INPUT_FILENAME)).write_text(json.dumps(document, indent=1))
        return calc_info


def prepare_driver(  # noqa: PLR0913 - what distinguishes one driver from another
    parser_name: str,
    request: RequestData,
    tenant: TenantData,
    settings: dict[str, Any],
    key: str,
    *,
    method: str,
    outputs: tuple[str, ...] = (),
) -> tuple[type[DriverCalculation], dict[str, Any]]:
    """Return the process and the inputs that serve a request by a driver.

    :param settings: the tenant's settings: ``code`` (label of the driver's code), ``journal`` (folder on the device's
        side), ``driver`` (handed to the driver as they are), ``limit_s`` (s that the device may take) and ``stocks``
        (address of the stock solutions that the device has at hand).
    :param key: the same for every call of the driver for this request.
    :param outputs: files that the driver writes beside its output.
    :raises StatusError: when a sample that is needed is invalid.
    """
    from aiida import orm

    arguments = ["--key", key, "--input", INPUT_FILENAME, "--output", OUTPUT_FILENAME]
    if settings.get("journal"):
        arguments += ["--journal", settings["journal"]]
    if settings.get("limit_s"):
        arguments += ["--limit", str(settings["limit_s"])]
    options = {"parser_name": parser_name, "redirect_stderr": False}
    handed = _find_first_time(request, key)
    if handed is not None:
        # in the environment, which a driver that does not know it may ignore
        options["environment_variables"] = {HANDED: handed.isoformat()}
    inputs = {
        "code": orm.load_code(settings["code"]),
        "arguments": orm.List(arguments),
        "outputs": orm.List([OUTPUT_FILENAME, *outputs]),
        "request": request,
        "tenant": tenant,
        "method": method,
        "settings": settings.get("driver", {}),
        "samples": find_inputs(request, settings.get("stocks")),
        "metadata": {"options": options},
    }
    return DriverCalculation, inputs


def _find_first_time(request: RequestData, key: str) -> datetime | None:
    """Return when a key was handed to a driver for the first time; ``None``: it was not yet.

    So the driver can tell that its journal is younger than what it was asked.
    """
    from aiida import orm

    query = orm.QueryBuilder().append(RequestData, filters={"id": request.pk}, tag="request")
    query.append(orm.CalcJobNode, with_incoming="request", project="ctime", tag="job")
    query.append(orm.List, with_outgoing="job", edge_filters={"label": "arguments"}, project="attributes.list")
    return min((time for time, arguments in query.all() if key in arguments), default=None)


#: what to do by exit status: see :data:`aiida_finales.broker.capability.Remedy`
DRIVER_REMEDIES = {
    **dict.fromkeys((100, 110, 120, 140, 150, 300, 301, 302, 303, 350, 400), "same-key"),
    **dict.fromkeys((402, 404), "retry"),
    403: "later",
    405: "operator",
    406: "operator",
}
