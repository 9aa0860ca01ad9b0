"""``aiida-finales model``: models of the lifetime of battery cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_record, print_rows, say, say_done
from aiida_finales.schemas.words import count

#: as in aiida_finales.science.lifetime, which a command does not import to show its help
METHODS = ("gp", "lstm", "generator", "fade")
LEARNERS = ("boosting", "forest", "process", "charged_forest", "network_pca", "network_embedding")


@click.group("model", cls=NounGroup)
def model() -> None:
    """Train and judge models that predict the life of a cell: before its first cycle, or from its first cycles.

    \b
    Example:
      aiida-finales model train --simulated 48
    """


@model.command("train")
@click.argument("files", nargs=-1, type=options.EXISTING_FILE)
@click.option("--simulated", "n_simulated", type=options.COUNT, help="Learn from so many simulated cells.")
@click.option("--imported", "is_imported", is_flag=True,
              help="Learn from the cells that 'import cycling --cells' brought in: generator and fade.")  # fmt: skip
@click.option("--method", type=click.Choice(METHODS), default="gp", show_default=True,
              help="From first cycles: gp (seconds), lstm (minutes, needs torch). Of many designs: generator (before "
              "the first cycle), fade (from 30 on); they need the extra 'lifetime'.")  # fmt: skip
@click.option("--group", help="Learn from this group of cells only, e.g. train.")
@click.option("--protocols", type=options.EXISTING_FILE,
              help="Table of cell_id, protocol_id, published_life: protocols are left out as a whole.")  # fmt: skip
@click.option("--formation", "n_formation", type=click.IntRange(min=0), default=0, show_default=True,
              help="Files of cyclers: so many first cycles are formation.")  # fmt: skip
@click.option("--nominal-capacity", "nominal",
              help="Files of cyclers: of which the end of life is a share, with its unit, e.g. '4.4 mAh'; else Ah.  "
              "[default: first cycle]")  # fmt: skip
@click.option("--persistence", type=options.COUNT,
              help="Files of cyclers: cycles in a row that end a life.  [default: 3]")  # fmt: skip
@click.option("--learner", "learners", multiple=True, type=click.Choice(LEARNERS),
              help="Generator: what learns; several for a mixture.  [default: boosting, forest, "
              "charged_forest]")  # fmt: skip
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Of cells and networks.")
@options.YES_REALLY()
@options.FORMAT()
@options.with_profile
def train(  # noqa: PLR0913, PLR0917 - one argument per option
    files: tuple[Path, ...],
    n_simulated: int | None,
    is_imported: bool,
    method: str,
    group: str | None,
    protocols: Path | None,
    learners: tuple[str, ...],
    seed: int,
    nominal: str | None,
    fmt: str,
    **measured: Any,
) -> None:
    """Train a model from files of cells, or from simulated ones.

    FILES are those of cyclers, as 'import cycling' reads them, and tables of capacities; or one file, the published
    ..._capacity_per_cycle.csv[.gz] (with ..._labels.csv and ..._early_features.csv beside it) or a JSON document with
    task, description, simulated and cells. For generator and fade: a table of cells (cell_id, positive, negative,
    format, nominal_capacity_Ah, charge_rate_C, ...) and one of capacities or of crossings.

    \b
    Example:
      aiida-finales model train cells.csv capacity.csv --method generator
      aiida-finales model train --imported --method fade
      aiida-finales model train matr_lfp83_capacity_per_cycle.csv.gz --group train
      aiida-finales model train cell_1.ndax cell_2.ndax --formation 3
    """
    from aiida_finales.calculations.lifetime import describe_skill
    from aiida_finales.operations.importing.settings import CAPACITIES, read_quantity
    from aiida_finales.operations.platform.lifetime_models import choose_cells, train_model
    from aiida_finales.science.lifetime.data import LifetimeDataset, read_protocols

    if nominal is not None:
        measured["nominal_capacity"] = read_quantity(nominal, "--nominal-capacity", CAPACITIES)
    if is_imported and (files or n_simulated is not None):
        raise click.UsageError("--imported takes what is in the profile: leave out FILES and --simulated")
    cells, dataset = choose_cells(files, n_simulated, seed, measured, is_imported=is_imported)
    if protocols is not None and isinstance(cells, LifetimeDataset):
        cells = read_protocols(cells, protocols)
    say(f"{count(len(cells.of_group(group).cells), 'cell')}: {cells.description}; training by {method} ...")
    chosen = {"learners": list(learners)} if learners else {}
    node = train_model(cells, {"method": method, "group": group, "seed": seed, **chosen}, dataset)
    say_done(f"model {node.pk} is trained; {describe_skill(node)}")
    if not node.is_skilled:
        say("note: no tenant can offer this model; give it features that tell more")
    print_record(_describe(node), fmt)


@model.command("evaluate")
@options.IDENTIFIER()
@click.argument("files", nargs=-1, required=True, type=options.EXISTING_FILE)
@click.option("--formation", "n_formation", type=click.IntRange(min=0), default=0, show_default=True,
              help="Files of cyclers: so many first cycles are formation.")  # fmt: skip
@click.option("--group", help="Judge by this group of cells only, e.g. test1.")
@options.FORMAT()
@options.with_profile
def evaluate(identifier: str, files: tuple[Path, ...], n_formation: int, group: str | None, fmt: str) -> None:
    """Compare the predictions of a model with cells of files, as for 'model train', whose life is known.

    \b
    Example:
      aiida-finales model evaluate 1240 matr_lfp83_capacity_per_cycle.csv.gz --group test1
    """
    from aiida_finales.operations.platform.lifetime_models import evaluate_model, find_model

    node = find_model(identifier)
    rows = evaluate_model(node, files, group, n_formation, say)
    columns = (
        tuple(rows[0])
        if rows and "regime" in rows[0]
        else (
            "group",
            "n_cells",
            "mape_percent",
            "rmse_cycles",
            "coverage_1sd",
            "coverage_2sd",
            "curve_rmse_percent",
            "not_reached",
            "refused",
        )
    )
    print_rows(rows, fmt, columns, "no cells")


@model.command("compare")
@click.argument("identifiers", nargs=-1, required=True)
@click.option("--cells", "files", multiple=True, type=options.EXISTING_FILE,
              help="File of cells whose life is known, as for 'model train'; several for several tables.  "
              "[default: those that all learned from, left out]")  # fmt: skip
@click.option("--group", help="Compare on this group of cells only, e.g. MATR.")
@options.FORMAT()
@options.with_profile
def compare(identifiers: tuple[str, ...], files: tuple[Path, ...], group: str | None, fmt: str) -> None:
    """Compare two models or more on the same cells, by set and regime.

    Models of many designs are compared on cells that none of them has learned from, and that all can predict. Without
    --cells, models of the same cells are compared by these, as each was predicted when it was left out with its
    protocol, laboratory or chemistry.

    \b
    Example:
      aiida-finales model compare 1240 1251
      aiida-finales model compare 1240 1251 --cells other_cells.csv --cells other_capacity.csv
    """
    from aiida_finales.operations.platform.lifetime_models import compare_models, find_model

    if group is not None and not files:
        raise click.UsageError("--group chooses among the cells of --cells: name files")
    rows = compare_models([find_model(identifier) for identifier in identifiers], files, group, say)
    print_rows(rows, fmt, tuple(rows[0]), "no cells")


@model.command("list")
@options.FORMAT()
@options.with_profile
def list_(fmt: str) -> None:
    """List the trained models, the latest last.

    \b
    Example:
      aiida-finales model list --format json
    """
    from aiida_finales.operations.platform.lifetime_models import list_models

    rows = [_describe(node) for node in list_models()]
    columns = ("pk", "method", "data", "n_cells", "mape_percent", "rmse_cycles", "can_be_offered", "simulated")
    print_rows(rows, fmt, columns, "no model is trained: run 'aiida-finales model train'")


@model.command("show")
@options.IDENTIFIER()
@click.option("--figures", type=click.Path(file_okay=False, path_type=Path),
              help="Folder for pictures: map of electrodes, errors by regime and set.")  # fmt: skip
@click.option("--answer", "answers", multiple=True,
              help="With --figures: a result of lifetimeCurve to draw, with what it rests on.")  # fmt: skip
@options.FORMAT()
@options.with_profile
def show(identifier: str, figures: Path | None, answers: tuple[str, ...], fmt: str) -> None:
    """Show a model: what it was trained on, how good it is, what it needs.

    \b
    Example:
      aiida-finales model show 1240
      aiida-finales model show 1240 --figures pictures --answer 1302
    """
    from aiida_finales.operations.platform.lifetime_models import find_model

    node = find_model(identifier)
    if answers and figures is None:
        raise click.UsageError("--answer draws pictures: say where to by --figures DIR")
    if figures is not None:
        from aiida_finales.broker.results import find_result
        from aiida_finales.operations.campaign.lifetime_pictures import draw_model

        for file in draw_model(node, figures, [find_result(answer) for answer in answers]):
            say_done(f"{file} is written")
    attributes = {
        key: node.base.attributes.get(key, None)
        for key in ("first_cycle", "window", "horizon", "needs", "domain", "learners", "left_out", "errors")
    }
    details = {"end_of_life_rule": node.end_of_life_rule, "training": node.training}
    print_record({**_describe(node), **attributes, **details}, fmt)


def _describe(node: Any) -> dict[str, Any]:
    validation, data = node.validation, node.training["data"]
    return {
        "pk": node.pk,
        "uuid": node.uuid,
        "method": node.method,
        "data": data["description"],
        "group": data["group"],
        "n_cells": int(validation["n_cells"]),
        "mape_percent": validation["mape"],
        "rmse_cycles": validation["rmse"],
        "mape_of_a_constant_percent": validation.get("mape_constant"),
        "can_be_offered": node.is_skilled,
        "simulated": node.is_simulated,
    }
