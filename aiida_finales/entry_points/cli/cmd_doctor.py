"""``aiida-finales doctor``: is everything well, and if not, what cures it."""

from __future__ import annotations

import click
from aiida.cmdline.groups.verdi import VerdiCommand

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.output import print_json, say, say_done


@click.command("doctor", cls=VerdiCommand)
@click.option("--cure", "is_cure", is_flag=True, help="Run the commands that cure what is wrong, after asking.")
@click.option("--all", "is_all", is_flag=True, help="Name everything that is ill, not the first few of each kind.")
@options.FORCE()
@options.FORMAT()
@options.with_profile
def doctor(is_cure: bool, is_all: bool, force: bool, fmt: str) -> None:
    """Answer in one go: profile, storage, tenants, daemon, broker, processes, requests; and name the cure.

    Of many requests with the same trouble the first few are named. Exit status 0 when all is well, 1 otherwise.

    \b
    Example:
      aiida-finales doctor
      aiida-finales doctor --cure
    """
    from aiida_finales.operations.diagnosis.check import Check, shorten
    from aiida_finales.operations.diagnosis.cure import carry_out, plan_cure, wait_until_well
    from aiida_finales.operations.diagnosis.diagnose import diagnose

    def show(checks: list[Check]) -> bool:
        is_well = all(check.is_well for check in checks)
        if fmt == "json":
            print_json({"healthy": is_well, "checks": [check.to_dict() for check in checks]})
        else:
            for check in checks if is_all else shorten(checks):
                _print_check(check.name, check.words, check.cure, is_well=check.is_well)
        return is_well

    checks = diagnose()
    plan = plan_cure(checks) if is_cure else []
    if plan:
        say("the cure: " + "; ".join(plan))
        if not force:
            click.confirm("Run these commands?", abort=True, err=True)
        carry_out(plan, say)
        checks = wait_until_well()
    if not show(checks):
        raise SystemExit(1)
    say_done("all is well")


def _print_check(name: str, words: str, cure: tuple[str, ...], *, is_well: bool) -> None:
    mark = click.style("ok   ", fg="green") if is_well else click.style("ill  ", fg="red", bold=True)
    click.echo(f"{mark}{name:<18}{words}")
    if not is_well and cure:
        click.echo(f"     {'cure':<18}{'; '.join(cure)}")
