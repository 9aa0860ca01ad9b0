"""``finales-lab``: what a person does in the simulated laboratory.

::

    finales-lab init [--laboratory FILE] [--stock-volume ML] [--parts N]   make one, or add what is missing
    finales-lab show [IDENTITY] [--kind KIND] [--address ADDRESS]
    finales-lab refill IDENTITY AMOUNT                 add mL to a bottle, or parts to a box
    finales-lab move IDENTITY ADDRESS                  carry something yourself, as people do
    finales-lab fault [NAME --device DEVICE [--times N]]   order a fault for what a device does next; list them all

All take ``--inventory DIR`` [$FINALES_LABORATORY, ~/.finales/laboratory] and ``--format text|json``. Exit status: 0
done, 64 bad input.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import DeviceError, DeviceInputError, explain_os_error
from aiida_finales.lab.driver.command import Words
from aiida_finales.lab.driver.reading import describe_location, make_location, read_number
from aiida_finales.lab.simulated.faults import FAULTS
from aiida_finales.lab.simulated.inventory import KINDS, Inventory, Thing, create_laboratory
from aiida_finales.lab.simulated.laboratory import read_laboratory
from aiida_finales.lab.simulated.ordered_faults import list_ordered_faults, order_fault
from aiida_finales.schemas.moment import local_text

#: What a command found, and the same as lines of text.
Answer = tuple[Any, list[str]]


def main() -> None:
    """Run ``finales-lab`` and exit with its status."""
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    :param arguments: of the command line; those of the process when ``None``.
    """
    try:
        options = _parse(arguments)
        found, lines = _COMMANDS[options.command](options)
    except DeviceError as error:
        print(f"finales-lab: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"finales-lab: {explain_os_error(error)}", file=sys.stderr)
        return DeviceError.exit_status
    print(json.dumps(found, indent=1) if options.format == "json" else "\n".join(lines))
    return 0


def default_folder() -> Path:
    """Return the laboratory that is used where none is named."""
    given = os.environ.get("FINALES_LABORATORY")
    return Path(given) if given else Path.home() / ".finales" / "laboratory"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    shared = Words(add_help=False)
    shared.add_argument("--inventory", type=Path, default=default_folder(), help="folder of the laboratory")
    shared.add_argument("--format", choices=("text", "json"), default="text", help="of what is printed [%(default)s]")
    parser = Words(prog="finales-lab", description="Look after the simulated laboratory.")
    commands = parser.add_subparsers(dest="command", required=True)
    init = commands.add_parser("init", parents=[shared], help="make a laboratory, or add what is missing")
    init.add_argument("--laboratory", type=Path, metavar="FILE", help="says what is in the bottles [those of FINALES]")
    init.add_argument("--stock-volume", type=float, default=1000.0, metavar="ML", help="in each bottle [%(default)g]")
    init.add_argument("--parts", type=int, default=1000, metavar="N", help="in each box [%(default)d]")
    show = commands.add_parser("show", parents=[shared], help="say what is there, and where")
    show.add_argument("identity", nargs="?", help="of one thing: with its history")
    show.add_argument("--kind", choices=KINDS, help="only these")
    show.add_argument("--address", help="only what is there")
    refill = commands.add_parser("refill", parents=[shared], help="add mL to a bottle, or parts to a box")
    refill.add_argument("identity")
    refill.add_argument("amount", type=float)
    move = commands.add_parser("move", parents=[shared], help="carry something yourself, as people do")
    move.add_argument("identity")
    move.add_argument("address", help="of the device, as ASAB, AutoBASS or Cycler")
    fault = commands.add_parser("fault", parents=[shared], help="order a fault, or list what can go wrong")
    fault.add_argument("name", nargs="?", help="of the fault; without it all are listed")
    fault.add_argument("--device", help="whose next act it strikes")
    fault.add_argument("--times", type=int, default=1, help="how often [%(default)d]")
    return parser.parse_args(arguments)


def _init(options: argparse.Namespace) -> Answer:
    read_number("--stock-volume", options.stock_volume, 0.0, math.inf, "a number from 0 (mL)")
    read_number("--parts", options.parts, 0, math.inf, "a number from 0")
    laboratory = read_laboratory(options.laboratory) if options.laboratory else None
    inventory = create_laboratory(
        options.inventory, laboratory, stock_volume_mL=options.stock_volume, n_parts=options.parts
    )
    return _list(inventory.find())


def _show(options: argparse.Namespace) -> Answer:
    inventory = Inventory(options.inventory)
    if options.identity is None:
        return _list(inventory.find(options.kind, options.address))
    thing = inventory.get(options.identity)
    parents = [f"made of {', '.join(thing.parents)}"] if thing.parents else []
    content = [f"{name}: {json.dumps(value)}" for name, value in thing.content.items()]
    history = [f"{local_text(event['time'])} {event['what']}" for event in thing.history]
    return asdict(thing), [_line(thing), *parents, *content, *history]


def _refill(options: argparse.Namespace) -> Answer:
    read_number("amount", options.amount, 0.0, math.inf, "a number from 0")
    with Inventory(options.inventory).change(options.identity) as draft:
        name = next((name for name in ("amount_mL", "count") if name in draft.content), None)
        if draft.thing.kind not in ("stock", "consumable") or name is None:
            raise DeviceInputError(f"{options.identity} is a {draft.thing.kind}; filled up are bottles and boxes")
        added = int(options.amount) if name == "count" else options.amount
        draft.content[name] += added
        draft.what = f"filled up by {added:g}"
    return _list([Inventory(options.inventory).get(options.identity)])


def _move(options: argparse.Namespace) -> Answer:
    inventory = Inventory(options.inventory)
    inventory.move(options.identity, make_location(options.address), "carried by a person")
    return _list([inventory.get(options.identity)])


def _fault(options: argparse.Namespace) -> Answer:
    if options.name is None:
        lines = [f"{name:22}{', '.join(fault.devices):34}{fault.effect}" for name, fault in FAULTS.items()]
        return [asdict(fault) for fault in FAULTS.values()], lines
    inventory = Inventory(options.inventory)
    order_fault(inventory, options.device, options.name, options.times)
    orders = list_ordered_faults(inventory)
    return orders, [f"{order['device']}: {order['fault']}, {order['times']} times" for order in orders]


def _list(things: list[Thing]) -> Answer:
    return [asdict(thing) for thing in things], [_line(thing) for thing in things]


def _line(thing: Thing) -> str:
    amounts = (("amount_mL", "mL"), ("count", "parts"), ("defect", ""))
    holds = [f"{thing.content[name]} {unit}".strip() for name, unit in amounts if thing.content.get(name) is not None]
    return f"{thing.identity:26}{thing.kind:12}{describe_location(thing.location):40}{' '.join(holds)}".rstrip()


_COMMANDS: dict[str, Callable[[argparse.Namespace], Answer]] = {
    "init": _init,
    "show": _show,
    "refill": _refill,
    "move": _move,
    "fault": _fault,
}

if __name__ == "__main__":
    main()
