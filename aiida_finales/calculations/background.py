"""Run the optimiser in a process of its own, one per worker, so that a worker's event loop is never held up.

Fitting a model takes seconds and holds the interpreter; a worker has hundreds of processes to keep alive meanwhile.
The service ``python -m aiida_finales.optimisation`` reads one question per line and writes one answer per line (JSON).
It is started at the first question, keeps torch loaded, and ends by itself when its standard input closes, that is,
when the worker ends in whatever way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from aiida_finales.exceptions import OptimiserError, OptimiserLostError


class BackgroundOptimiser:
    """The optimiser service of this worker; questions are answered one after the other."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="finales-optimiser")
        self._service: subprocess.Popen[str] | None = None

    def ask(self, question: dict[str, Any]) -> Future[dict[str, Any]]:
        """Return a future of the answer; it fails with :class:`OptimiserError` when there is none.

        With :class:`OptimiserLostError` when the service ended, as it does when the daemon is being stopped.
        """
        return self._thread.submit(self._answer, question)

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        service = self._start()
        try:
            service.stdin.write(json.dumps(question) + "\n")  # type: ignore[union-attr]
            service.stdin.flush()  # type: ignore[union-attr]
            line = service.stdout.readline()  # type: ignore[union-attr]
        except OSError as error:
            raise OptimiserLostError(f"the optimiser's process cannot be reached: {error}") from error
        if not line:
            raise OptimiserLostError(f"the optimiser's process ended without an answer (exit status {service.wait()})")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise OptimiserError(answer["error"])
        return answer

    def _start(self) -> subprocess.Popen[str]:
        if self._service is None or self._service.poll() is not None:
            # one thread: a suggestion must not depend on their number, and the other cores belong to the methods
            threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            environment = {**os.environ, **threads}
            self._service = subprocess.Popen(
                [sys.executable, "-m", "aiida_finales.optimisation"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        return self._service


OPTIMISER = BackgroundOptimiser()
