"""The simulated AutoBASS robot: assembles a batch of coin cells with the electrolyte of one vial.

The vial must stand at the robot, and the boxes of parts must not be empty. What a cell is truly made of goes into the
inventory; the report says what the robot believes, and which cells it saw go wrong.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from aiida_finales.exceptions import DeviceLimitationError, DeviceUnavailableError, NeedsOperatorError
from aiida_finales.lab.driver.command import Call
from aiida_finales.lab.driver.reading import Location, describe_location, make_location
from aiida_finales.lab.simulated.autobass_order import MOST_CELLS, NAME, TARGETS, AssemblyOrder, read_assembly
from aiida_finales.lab.simulated.cells import CellOffer, default_cells
from aiida_finales.lab.simulated.device import SimulatedDevice, run_and_exit
from aiida_finales.lab.simulated.faults import choose_cell_faults
from aiida_finales.lab.simulated.inventory import CELL_PARTS, Inventory, Thing, Transaction
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import timestamp
from aiida_finales.schemas.words import count

ADDRESS = "AutoBASS"
TRAY, REJECTS = "tray 1", "rejects"
#: mL of electrolyte that fills the dosing line and is lost with every batch
LINE_VOLUME = 1.0
#: K, in the glove box
TEMPERATURE = 300.0
#: s of the laboratory to assemble one cell
ASSEMBLY_TIME = 180.0
#: The published robot rates its cells 4; what went wrong has the lowest rating.
RATING, WORST = 4, 1

_REASONS = {"dropped_cell": "the cell was dropped and is lost", "unsealed_cell": "the cell is not sealed"}


class AutoBass(SimulatedDevice):
    """The simulated robot."""

    name = NAME
    address = "AutoBASS"

    def limitations(self) -> list[Json]:  # type: ignore[override]
        """Return what the robot can do, by alternatives."""
        return assembly_limitations(default_cells())

    def prepare(self, payload: Json) -> AssemblyOrder:
        """Read which cells are wanted.

        :raises DeviceInputError: when the input is not acceptable.
        :raises DeviceLimitationError: when the volume of electrolyte is out of range.
        """
        return read_assembly(payload)

    def describe(self, plan: AssemblyOrder) -> str:
        """Return the order in words."""
        assumed = f"; assumed: {', '.join(plan.assumed)}" if plan.assumed else ""
        return f"{count(plan.n_cells, 'cell')} with {plan.cell['electrolyte_volume']:g} µL of {plan.vial} each{assumed}"

    def look(self, plan: AssemblyOrder, call: Call) -> None:
        """Look at the vial, the tray and the boxes.

        :raises DeviceInputError: when there is no such vial.
        :raises DeviceLimitationError: when it stands elsewhere or holds too little.
        :raises DeviceUnavailableError: when the tray has no room.
        :raises NeedsOperatorError: when a box must be filled up.
        """
        inventory = _inventory(plan)
        _check_vial(plan, inventory)
        _find_places(plan, inventory)
        _check_boxes(plan, inventory, call.key)

    def perform(self, plan: AssemblyOrder, call: Call, fault: str | None) -> list[Thing]:
        """Assemble the cells and return them."""
        defects = choose_cell_faults(self.name, plan.settings, call.key, fault, plan.n_cells)
        with _inventory(plan).transaction(call.key) as change:
            vial = change.get(plan.vial)
            for part in CELL_PARTS:
                change.take(f"box-{part}", "count", plan.n_cells, f"{plan.n_cells} taken for {call.key}")
            volume = _volume_needed(plan)
            change.take(plan.vial, "amount_mL", volume, f"{volume:g} mL taken for {call.key}")
            cells = [
                _make_cell(plan, vial, cell_identity(call.key, number), place, defect)
                for number, (place, defect) in enumerate(zip(_find_places(plan, change), defects, strict=True), start=1)
            ]
            for cell in cells:
                change.add(cell)
            change.record(call.key, self.name, "assemble", vial=plan.vial, volume_mL=volume, made=_names(cells))
        return cells

    def report(self, plan: AssemblyOrder, call: Call, fault: str | None, done: list[Thing]) -> Json:
        """Return the batch in the published form."""
        images = call.folder / "images"
        images.mkdir(exist_ok=True)
        batch = f"batch-{_digest(call.key)}"
        output = []
        for cell in done:
            plan.settings.clock.sleep(ASSEMBLY_TIME)
            (images / f"{cell.identity}.txt").write_text("simulated: there is no photograph of this cell\n")
            output.append(_report_cell(plan, cell, batch, is_bad=fault == "bad_result"))
        return {
            "success": any(item["meta"]["success"] for item in output),
            "quantity": "cell_assembly",
            "method": TARGETS["cell_assembly"],
            "batch_id": batch,
            "batch_output": output,
            "parents": [plan.vial],
            "assumed": list(plan.assumed),
        }


def assembly_limitations(offer: CellOffer) -> list[Json]:
    """Return what the robot of a laboratory can do, by alternatives."""
    return [{"cell": cell, "batch_volume": [{"min": 1, "max": MOST_CELLS}]} for cell in offer.assembly_limitations()]


def cell_identity(key: str, number: int) -> str:
    """Return the identity of a cell: the n-th, from 1, that is made for a key."""
    return f"cell-{_digest(key)}-{number:02d}"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def _names(cells: list[Thing]) -> list[str]:
    return [cell.identity for cell in cells]


def _inventory(plan: AssemblyOrder) -> Inventory:
    return Inventory(str(plan.settings.inventory))


def _volume_needed(plan: AssemblyOrder) -> float:
    """Return mL of electrolyte that a batch takes."""
    return round(LINE_VOLUME + plan.n_cells * float(plan.cell["electrolyte_volume"]) / 1000, 9)


def _check_vial(plan: AssemblyOrder, inventory: Inventory) -> None:
    vial = inventory.get(plan.vial)
    if vial.kind != "vial":
        raise DeviceLimitationError(f"{plan.vial} is a {vial.kind}, but accepted is a vial of electrolyte")
    if vial.location["address"] != ADDRESS:
        raise DeviceLimitationError(
            f"{plan.vial} is at {describe_location(vial.location)}, but must be at {ADDRESS}: request its transport "
            f"from {vial.location['address']} to {ADDRESS} first"
        )
    needed, left = _volume_needed(plan), vial.content["amount_mL"]
    if left < needed:
        raise DeviceLimitationError(
            f"{plan.vial} holds {left:g} mL, but for {count(plan.n_cells, 'cell')} it takes {needed:g} mL "
            f"({LINE_VOLUME:g} mL of it for the dosing line): fill a new vial, or ask for fewer cells"
        )


def _check_boxes(plan: AssemblyOrder, inventory: Inventory, key: str) -> None:
    left = {part: inventory.get(f"box-{part}").content["count"] for part in CELL_PARTS}
    short = {f"box-{part}": count for part, count in left.items() if count < plan.n_cells}
    if short:
        holds = ", ".join(f"{box} holds {count}" for box, count in short.items())
        refill = " and ".join(f"finales-lab refill {box} NUMBER" for box in short)
        raise NeedsOperatorError(
            f"{holds}, but {plan.n_cells} are needed. Nothing was assembled. Fill up ({refill}, with --inventory "
            f"{inventory.folder}), then settle key {key} as not-done: it may act"
        )


def _find_places(plan: AssemblyOrder, inventory: Inventory | Transaction) -> list[Location]:
    """Return the first free places of the tray.

    :raises DeviceUnavailableError: when there are not enough.
    """
    taken = {cell.location["detail_2"] for cell in inventory.find("cell", ADDRESS) if cell.location["detail_1"] == TRAY}
    free = [place for place in map(str, range(1, MOST_CELLS + 1)) if place not in taken]
    if len(free) < plan.n_cells:
        raise DeviceUnavailableError(
            f"{TRAY} of {ADDRESS} has {len(free)} free places, but {plan.n_cells} are needed. Have cells carried away "
            "(transport), then try again"
        )
    return [make_location(ADDRESS, TRAY, place) for place in free[: plan.n_cells]]


def _make_cell(plan: AssemblyOrder, vial: Thing, identity: str, place: Location, defect: str | None) -> Thing:
    """Return a cell as it truly is."""
    chemistry = plan.cell["battery_chemistry"]
    keys = ("mass_loading", "size", "name", "areal_mass", "record")
    sizes = {
        name: {key: chemistry[name][key] for key in keys if chemistry[name].get(key) is not None}
        for name in ("anode", "cathode")
    }
    named = {
        name: plan.cell[name]["name"] for name in ("separator", "format") if (plan.cell.get(name) or {}).get("name")
    }
    return Thing(
        identity,
        "cell",
        make_location(ADDRESS, REJECTS, place["detail_2"]) if defect == "dropped_cell" else place,
        parents=(vial.identity,),
        content={
            "fractions": vial.content["fractions"],
            "electrolyte_volume_uL": plan.cell["electrolyte_volume"],
            "defect": defect,
            **sizes,
            **named,
            **plan.parts,
        },
    )


def _report_cell(plan: AssemblyOrder, cell: Thing, batch: str, *, is_bad: bool) -> Json:
    """Return a cell in the published form."""
    reason = _REASONS.get(cell.content["defect"])
    if reason is None and is_bad:
        reason = "the robot doubts what it did (simulated)"
    meta = {"success": reason is None, "rating": RATING if reason is None else WORST}
    place = make_location(ADDRESS, "AutoBASS")
    part = {"uuid": None, "preparation_date": None, "batch": None, "location": place}
    return {
        "cell_info": {
            "cell_name": cell.identity,
            "uuid": cell.identity,
            "assembly_date": datetime.now(UTC).date().isoformat(),
            "batch": batch,
            "anode_info": {"name": "box-anode", **part},
            "cathode_info": {"name": "box-cathode", **part},
            "electrolyte_info": plan.electrolyte_info,
            "cell_location": cell.location,
        },
        "cell": plan.cell,
        "manufacturing_img": f"images/{cell.identity}.txt",
        "meta": meta if reason is None else meta | {"reason": reason},
        "temperature": TEMPERATURE,
        "sealing_time": None if cell.content["defect"] else timestamp(),
    }


def main() -> None:
    """Run ``finales-autobass`` and exit with its status."""
    run_and_exit(AutoBass())


if __name__ == "__main__":
    main()
