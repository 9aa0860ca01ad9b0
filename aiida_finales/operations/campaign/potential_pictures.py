"""Pictures of potentials as files: for a person, and for the report and the package of a campaign that asked them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiida import orm

from aiida_finales.data.potential import PotentialData
from aiida_finales.exceptions import MissingExtraError
from aiida_finales.operations.campaign.style import COLOURS, STYLE
from aiida_finales.operations.potential.learning import find_forces, read_learning
from aiida_finales.potential.learning import chart_learning
from aiida_finales.schemas.chart import Chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aiida_finales.operations.campaign.overview import Overview


def draw_potentials(overview: Overview) -> dict[str, Figure]:
    """Return the pictures of the potentials that a campaign asked, by name; nothing where it asked none."""
    results = [orm.load_node(item.pk) for item in overview.evaluations if item.forces]
    nodes = {node.pk: node for result in results if (node := find_forces(result)) is not None}
    return {
        f"potential_{chart.name}" if len(nodes) == 1 else f"potential_{pk}_{chart.name}": _paint(chart)
        for pk, node in nodes.items()
        for chart in chart_learning(read_learning(node))
    }


def draw_potential(node: PotentialData, folder: Path, picture: str = "png") -> list[Path]:
    """Draw a potential; return the files.

    :param picture: ``png`` or ``svg``.
    :raises MissingExtraError: when matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for chart in chart_learning(read_learning(node)):
        try:
            figure = _paint(chart)
        except ImportError as error:
            raise MissingExtraError("plot", "pictures of a potential") from error
        files.append(folder / f"{chart.name}.{picture}")
        figure.savefig(files[-1], dpi=120)
    return files


def _paint(chart: Chart) -> Figure:
    from matplotlib import rc_context

    from aiida_finales.potential.painting import paint_all

    with rc_context(STYLE):
        return paint_all([chart], COLOURS)
