"""``aiida-finales query``: questions by meaning."""

from __future__ import annotations

import click
from aiida.cmdline.groups.verdi import VerdiCommand

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.output import print_rows, say
from aiida_finales.schemas.words import count


@click.command("query", cls=VerdiCommand)
@click.argument("question", required=False)
@click.option("--named", "name", help="Ask a question that has a name; see --list.")
@click.option("--param", "params", multiple=True, help="What a named question leaves open, as KEY=VALUE.")
@click.option("--campaign", help="Only what belongs to this campaign.  [default: the whole profile]")
@click.option("--list", "is_list", is_flag=True, help="Show the questions that have a name.")
@click.option(
    "--sparql", "is_sparql", is_flag=True, help="Print a named question in plain SPARQL instead of asking it."
)
@options.FORMAT()
@options.with_profile
def query(  # noqa: PLR0913, PLR0917 - one argument per option
    question: str | None,
    name: str | None,
    params: tuple[str, ...],
    campaign: str | None,
    is_list: bool,
    is_sparql: bool,
    fmt: str,
) -> None:
    """Ask the data a question by meaning, in SPARQL or by name.

    All prefixes are known, and words of EMMO can be written as term:Word.

    \b
    Example:
      aiida-finales query --list
      aiida-finales query --named conductivity --param minimum=0.9
      aiida-finales query "SELECT ?x WHERE { ?x a term:CoinCell }" --campaign ocond
    """
    from aiida_finales.data.campaign import CampaignGroup
    from aiida_finales.fair.query.ask import ask, find_question, list_questions, load_graph

    if is_list:
        rows = [{"name": item.name, "question": item.title, "parameters": item.hints} for item in list_questions()]
        print_rows(rows, fmt, ("name", "question", "parameters"), "there is none")
        return
    if (question is None) == (name is None):
        raise click.UsageError("give a question in SPARQL, or --named NAME (see --list)")
    if name is None and (params or is_sparql):
        raise click.UsageError("--param and --sparql belong to --named")
    given = _read_params(params)
    if is_sparql and name:
        click.echo(find_question(name).to_sparql(given))
        return
    text = find_question(name).fill(given) if name else str(question)
    answer = ask(load_graph(CampaignGroup.find(campaign) if campaign else None), text)
    print_rows(answer.rows, fmt, answer.columns, "nothing was found")
    say(f"{count(len(answer.rows), 'row')}")


def _read_params(params: tuple[str, ...]) -> dict[str, str]:
    """Return keys and values of ``KEY=VALUE``."""
    given = {}
    for item in params:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--param is {item!r}, but accepted is KEY=VALUE")
        given[key] = value
    return given
