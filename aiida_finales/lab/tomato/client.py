"""tomato by its command line: its programs run in their own environment, and nothing of it is imported here.

Its programs exit with 0 whatever happens; with ``--yaml`` they print ``{success, msg, data}``, which is what counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import DeviceFaultError, DeviceInputError, DeviceUnavailableError
from aiida_finales.schemas import Json

#: s that a program may take beyond the time it waits for tomato: to start Python, on a busy computer
_START = 60.0
#: of our own environment, and misleading in that of tomato
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
_EXTRACT = Path(__file__).with_name("extract.py")


@dataclass(frozen=True)
class Tomato:
    """A running tomato.

    :param programs: folder with ``tomato``, ``ketchup`` and the ``python`` of their environment.
    :param port: of its reply socket on this computer.
    :param timeout: s to wait for an answer.
    """

    programs: Path
    port: int
    timeout: float

    def read_status(self) -> Json:
        """Return pipelines (``pips``), components (``cmps``) ... of tomato.

        :raises DeviceUnavailableError: when it does not answer.
        """
        return dict(self._demand("tomato", "status"))

    def load(self, pipeline: str, sample: str) -> None:
        """Note that a sample is in a pipeline."""
        self._demand("tomato", "pipeline", "load", arguments=[pipeline, sample])

    def set_ready(self, pipeline: str) -> None:
        """Note that a pipeline may be used."""
        self._demand("tomato", "pipeline", "ready", arguments=[pipeline])

    def find_job(self, name: str) -> Json | None:
        """Return the job of that very name, or ``None`` when tomato answers that it knows none.

        :raises DeviceUnavailableError: when it does not answer.
        :raises DeviceFaultError: when several jobs have the name.
        """
        answer = self._run("ketchup", "search", arguments=[name])
        if not answer["success"] and "no job matching" not in str(answer["msg"]):
            raise DeviceUnavailableError(f"tomato: {answer['msg']}. Try again later")
        # tomato finds every name that contains this one, and takes _ for any letter
        jobs = [job for job in answer["data"] or [] if job["jobname"] == name]
        if len(jobs) > 1:
            raise DeviceFaultError(f"the jobs {[job['id'] for job in jobs]} of tomato all have the name {name}")
        return dict(jobs[0]) if jobs else None

    def submit(self, payload: Path, name: str) -> Json:
        """Hand a payload in, and return its job."""
        return dict(self._demand("ketchup", "submit", arguments=["--jobname", name, str(payload)]))

    def read_job(self, job_id: int) -> Json:
        """Return the state of a job."""
        (job,) = self._demand("ketchup", "status", arguments=[str(job_id)])
        return dict(job)

    def extract(self, file: Path, datasets: Sequence[str]) -> Json:
        """Return datasets of a result file (NetCDF 4), by name, with the Python of tomato, which has h5py.

        :raises DeviceInputError: when the file has no such dataset; says which it has.
        """
        # isolated: the folder of the script is not searched, as its modules would hide those of the standard library
        done = self._start([str(self.programs / "python"), "-I", str(_EXTRACT), str(file), *datasets])
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            raise DeviceInputError(f"{file} cannot be evaluated: {lines[-1] if lines else done.returncode}")
        values: Json = json.loads(done.stdout)
        return values

    def _demand(self, program: str, *command: str, arguments: Sequence[str] = ()) -> Any:
        answer = self._run(program, *command, arguments=arguments)
        if not answer["success"]:
            raise DeviceUnavailableError(f"{program} {command[0]}: {answer['msg']}. Try again later")
        return answer["data"]

    def _run(self, program: str, *command: str, arguments: Sequence[str] = ()) -> Json:
        options = ["--port", str(self.port), "--timeout", str(int(1000 * self.timeout)), "--yaml"]
        done = self._start([str(self.programs / program), *command, *options, *arguments])
        answer = _read_yaml(done.stdout)
        if done.returncode != 0 or not isinstance(answer, dict) or "success" not in answer:
            lines = (done.stderr or done.stdout).strip().splitlines()
            reason = lines[-1] if lines else "no output"
            raise DeviceUnavailableError(f"{program} {command[0]} ended with {done.returncode}: {reason}")
        return answer

    def _start(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        try:
            return subprocess.run(  # noqa: S603 - programs of the tenant's settings, no shell
                command,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                env=environment,
                timeout=self.timeout + _START,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceUnavailableError(
                f"{Path(command[0]).name} {command[1]} did not end within {error.timeout:g} s"
            ) from error


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise DeviceInputError("the driver finales-tomato needs PyYAML: pip install pyyaml") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
