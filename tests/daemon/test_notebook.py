"""The tutorial notebook is executed from its first cell to its last, in a kernel of its own, with a real daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aiida_finales.testing import Sandbox

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "notebook" / "first_campaign.ipynb"
#: s for one cell: the campaign of six evaluations takes half a minute on a free machine
PATIENCE_S = 600

pytestmark = [pytest.mark.daemon, pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE_S)]


def test_the_tutorial_notebook_runs_to_its_end(tmp_path) -> None:
    """No cell fails; the watched cell ends with the result, and the campaign shows itself with a figure."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs of before are not in the repository"
    with Sandbox(tmp_path) as sandbox:
        sandbox.create("--noise", "0.02", "--no-cells")
        sandbox.start(2)
        NotebookClient(notebook, timeout=PATIENCE_S, kernel_name="python3").execute(env=sandbox.environment)
    cells = {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    watched = _data(cells["campaign.watch()"], "text/html")
    assert len(watched) == 1, "the cell moves in place"
    assert 'max="6" value="6"' in watched[0]
    assert len(_data(cells["campaign"], "text/html")) == 1
    (figure,) = _data(cells["campaign"], "application/vnd.plotly.v1+json")
    assert sum(len(trace["x"]) for trace in figure["data"] if trace["mode"] == "markers") == 6
    frames = [outputs for source, outputs in cells.items() if "tables.results" in source]
    assert "conductivity / S/m" in _data(frames[0], "text/html")[0]


def _data(outputs: list[Any], kind: str) -> list[Any]:
    """Return what the outputs of a cell show of one kind."""
    return [item["data"][kind] for item in outputs if kind in item.get("data", {})]
