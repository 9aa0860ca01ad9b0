"""Packages of a campaign of cells, while it runs and after its end, through the real daemon and laboratory."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from aiida_finales.fair.graph.terms import SHAPES_FILE, expand
from aiida_finales.fair.package.archive import read_archive
from tests.daemon.conftest import Laboratory

# two chains of two cells, and a second profile: some eight minutes on two busy cores
pytestmark = [pytest.mark.daemon, pytest.mark.slow, pytest.mark.timeout(1800)]

NAME = "cells"
N_CELLS, N_CYCLES = 2, 60
ELECTRODE = [{"chemical": {"SMILES": "[C]", "InChIKey": "OKTJSMMVPCPJKN-UHFFFAOYSA-N"}, "fraction": 1.0,
              "fraction_type": "molPerMol"}]  # fmt: skip
CAMPAIGN = {
    "name": NAME,
    "quantity": "degradationEOL",
    "target": "degradation_workflow",
    "fixed": {"battery_chemistry": {
        "anode": {"material": ELECTRODE, "mass_loading": 1.1},
        "cathode": {"material": ELECTRODE, "mass_loading": 1.0, "size": 1.5386},
    }},
    "sources": {"degradation_workflow": {"max_in_flight": 1}},
    "initial": 2,
    "stop": {"evaluations": 2},
    "optimiser": {"seed": 1, "n_raw": 100, "keep": 16, "burn": 4},
}  # fmt: skip


def finales(lab, *command):
    return json.loads(lab.run("aiida-finales", *command, "--format", "json", timeout=600))


def read_json(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def read_rows(folder, name):
    path = folder / "tables" / name
    return list(csv.DictReader(io.StringIO(path.read_text()))) if path.exists() else []


def n_evaluations(lab):
    return int(finales(lab, "campaign", "show", NAME)["evaluations"].split()[0])


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A laboratory that builds two cells at a time."""
    with Laboratory(tmp_path_factory.mktemp("cells")) as laboratory:
        laboratory.create("--chain", f"batch_volume={N_CELLS}", "--chain", f"number_cycles={N_CYCLES}")
        laboratory.start()
        yield laboratory


@pytest.fixture(scope="module")
def packages(cells, tmp_path_factory):
    """A package made while the second chain runs, and one made after the end."""
    place = tmp_path_factory.mktemp("packages")
    document, metadata = place / "campaign.yaml", place / "meta.yaml"
    document.write_text(json.dumps(CAMPAIGN))
    text = cells.run("aiida-finales", "export", "metadata", NAME)
    metadata.write_text(text.replace("# date_published: 2026-01-31 ", "date_published: 2026-01-31 "))
    pk = finales(cells, "campaign", "start", str(document))["pk"]

    def export(name):
        arguments = ("--metadata", str(metadata), "--output", str(place / name), "--scrub")
        return Path(finales(cells, "export", "campaign", NAME, *arguments)["folder"])

    assert cells.wait_until(lambda: n_evaluations(cells) == 1, 700), cells.run("verdi", "process", "list", "-a")
    cells.stop()  # so that the second chain cannot end while the package is made
    first = export("running")
    assert not cells.process(pk)["terminated"]
    cells.start()
    ended = cells.wait_for(pk, 700)
    assert (ended["state"], ended["exit"]) == ("finished", 0), ended
    return first, export("ended")


def test_snapshot_has_what_has_ended(cells, packages) -> None:
    """One evaluation is in it, and no process that goes on; it is whole, and says that it is not all."""
    snapshot, whole = packages
    assert finales(cells, "export", "verify", str(snapshot)) == []
    assert read_json(snapshot, "metadata.json")["snapshot"] is True
    assert read_json(whole, "metadata.json")["snapshot"] is False
    assert len(read_rows(snapshot, "degradationEOL.csv")) < len(read_rows(whole, "degradationEOL.csv"))
    for folder in packages:
        processes = read_archive(folder / "campaign.aiida").processes()
        assert processes
        assert all(node.attributes.get("sealed") for node in processes)


def test_later_package_has_more_and_nothing_else(packages) -> None:
    """What was in the snapshot is in the later one as it was, but for extras: a status may have changed."""
    before, after = (read_archive(folder / "campaign.aiida") for folder in packages)
    assert set(before.by_uuid) < set(after.by_uuid)
    for uuid, node in before.by_uuid.items():
        later = after.by_uuid[uuid]
        assert (node.attributes, node.files, node.time) == (later.attributes, later.files, later.time)
    assert set(before.links) <= set(after.links)
    lines = [{(line.node, line.time, line.message) for line in archive.logs} for archive in (before, after)]
    assert lines[0] <= lines[1]
    for name in ("degradationEOL.csv", "capacity.csv", "suggestions.csv"):
        known = {json.dumps(row) for row in read_rows(packages[0], name)}
        assert known <= {json.dumps(row) for row in read_rows(packages[1], name)}, name


def test_package_is_whole(cells, packages) -> None:
    """Checksums, archive, tables, graph and crate agree."""
    assert finales(cells, "export", "verify", str(packages[1])) == []


@pytest.mark.parametrize("standard", ["ro-crate-1.1", "process-run-crate-0.5", "provenance-run-crate-0.5"])
def test_crate_is_valid(packages, standard) -> None:
    pytest.importorskip("rocrate_validator")
    from tests.fair.crate_checks import find_issues

    assert find_issues(packages[1], standard) == []


def test_graph_keeps_to_the_shapes(packages) -> None:
    rdflib, pyshacl = pytest.importorskip("rdflib"), pytest.importorskip("pyshacl")
    document = {**read_json(packages[1], "graph.jsonld"), **read_json(packages[1], "context.json")}
    graph = rdflib.Graph().parse(data=json.dumps(document), format="json-ld")
    conforms, _, words = pyshacl.validate(graph, shacl_graph=rdflib.Graph().parse(SHAPES_FILE), advanced=True)
    assert conforms, words
    cells = list(graph.subjects(rdflib.RDF.type, rdflib.URIRef(expand("CoinCell"))))
    assert len(cells) == 2 * N_CELLS


def test_raw_data_are_there(packages) -> None:
    """Each cell has its HDF5 file, as the cycler wrote it, and the same as a table in the Battery Data Format."""
    import bdf
    import h5py
    import pandas as pd

    folder = packages[1]
    files = sorted(folder.glob("raw/*/*.h5"))
    assert len(files) >= 2 * N_CELLS
    archive = read_archive(folder / "campaign.aiida")
    for path in files:
        node = archive.by_uuid[path.parent.name]
        assert archive.read_object(node.files[path.name]) == path.read_bytes()
        table = pd.read_csv(folder / "timeseries" / f"{node.uuid}.bdf.csv")
        report = bdf.validate_df(table)
        assert report["ok"] if isinstance(report, dict) else report is not False
        with h5py.File(path) as file:
            for name, header in (("Testtime(s)", "Test Time / s"), ("Voltage(V)", "Voltage / V"),
                                 ("Current(A)", "Current / A")):  # fmt: skip
                assert table[header].tolist() == file["raw"][name][()].tolist()


def test_every_number_is_found_again(packages) -> None:
    """Of each result with a value: the same number with the same unit in table, graph, crate and archive."""
    folder = packages[1]
    archive = read_archive(folder / "campaign.aiida")
    graph = {item["@id"]: item for item in read_json(folder, "graph.jsonld")["@graph"]}
    crate = {item["@id"]: item for item in read_json(folder, "ro-crate-metadata.json")["@graph"]}
    rows = read_rows(folder, "degradationEOL.csv")
    assert len(rows) >= 2 * (1 + N_CELLS)
    told = [row for row in rows if row["degradationEOL / cycles"]]
    assert told
    for row in told:
        value, uuid = float(row["degradationEOL / cycles"]), row["result"]
        assert archive.by_uuid[uuid].attributes["value"] == value
        assert (crate[f"urn:uuid:{uuid}"]["value"], crate[f"urn:uuid:{uuid}"]["unitText"]) == (value, "cycles")
        about = [item for iri, item in graph.items() if iri.startswith(f"urn:uuid:{uuid}#")]
        numbers = [(item["hasNumericalPart"]["hasNumberValue"], item["hasMeasurementUnit"]) for item in about
                   if "hasNumericalPart" in item]  # fmt: skip
        assert (value, "UnitOne") in numbers
    values = read_rows(folder, "degradationEOL_values.csv")
    for row in values:
        data = archive.by_uuid[row["result"]].attributes["data"]["degradationEOL"]
        items = data if isinstance(data, list) else [data]
        assert float(row["degradationEOL / cycles"]) == items[int(row["number"]) - 1]["end_of_life"]
    for row in read_rows(folder, "capacity_values.csv"):
        column = next(name for name in row if name.startswith("capacity / "))
        assert float(row[column]) in archive.by_uuid[row["result"]].attributes["data"]["capacity_list"]


def test_snapshot_opens_elsewhere(packages, tmp_path) -> None:
    """In another configuration both come in, one after the other; there why, query and report work on them."""
    snapshot, whole = packages
    elsewhere = Laboratory(tmp_path / "elsewhere")
    elsewhere.create("--no-cells")
    first = finales(elsewhere, "import", "archive", str(snapshot))
    assert first["campaigns"] == [NAME]
    second = finales(elsewhere, "import", "archive", str(whole))
    assert second["new_nodes"] > 0
    assert second["renewed_statuses"] > 0  # of the request that was being served
    known = {row["result"] for row in read_rows(whole, "degradationEOL.csv") if row["method"] == "degradation_workflow"}
    for uuid in known:
        story = elsewhere.run("aiida-finales", "why", uuid)
        assert "vial" in story
    asked = finales(elsewhere, "query", "SELECT ?r WHERE { ?r a finales:Result }", "--campaign", NAME)
    assert {row["r"] for row in asked} >= {f"urn:uuid:{uuid}" for uuid in known}
    lives = finales(elsewhere, "query", "--named", "end-of-life", "--param", "lowest=0")
    assert len(lives) >= 2 * N_CELLS
    elsewhere.run("aiida-finales", "campaign", "report", NAME, "--output", str(tmp_path / "report"))
    assert list((tmp_path / "report").glob("*.png"))
