"""A campaign becomes a package that others can read, cite and check without this program."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from aiida import orm

from aiida_finales.broker.listing import find_row
from aiida_finales.data.campaign import ACCESS, CampaignGroup
from aiida_finales.data.nodes import OPENNESS
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import InputError, UnknownNodeError
from aiida_finales.fair.package import checksums
from aiida_finales.fair.package.archive import read_archive
from aiida_finales.fair.package.confidential import find_withheld
from aiida_finales.fair.package.export import Wishes, _withhold_closed, _without_withheld, export_campaign
from aiida_finales.fair.package.openness import find_closed, find_own
from aiida_finales.fair.package.raw_files import BDF_COLUMNS, BDF_STEP, series_table, spectrum_table
from aiida_finales.fair.package.receive import receive_package
from aiida_finales.fair.package.tables import _front, _learned
from aiida_finales.fair.package.verify import verify_package
from aiida_finales.operations.campaign.front import list_figures
from aiida_finales.schemas.access import Access, Openness
from aiida_finales.schemas.finales_form import request_document, result_document
from aiida_finales.science.electrolyte.composition import EC, EMC
from aiida_finales.server.bodies import Bodies
from tests.fair.conftest import make_metadata
from tests.fair.crate_checks import find_issues
from tests.operations.campaign.test_front import make_overview

ROOT = Path(__file__).resolve().parents[3]
NAME = "first"
SCRUB = Wishes(scrub=True)


@pytest.fixture(scope="module")
def package(profile, tmp_path_factory):
    return export_campaign(NAME, make_metadata(), tmp_path_factory.mktemp("packages"), SCRUB)


@pytest.fixture(scope="module")
def results():
    return [node for node in CampaignGroup.find(NAME).nodes if isinstance(node, ResultData)]


def read_json(package, name):
    return json.loads((package.folder / name).read_text(encoding="utf-8"))


def read_table(text):
    return list(csv.DictReader(io.StringIO(text)))


def digests(folder: Path) -> dict[str, str]:
    return {path: checksums.digest(folder / path) for path in checksums.list_paths(folder)}


def test_everything_is_there(package):
    names = {path.name for path in package.folder.iterdir()}
    assert names >= {
        "campaign.aiida", "requests.json", "results_for_requests.json", "capabilities.json", "tenants.json", "tables",
        "graph.jsonld", "context.json", "ro-crate-metadata.json", "plots", "DATASHEET.md", "CITATION.cff", "README.md",
        "checksums.sha256", "metadata.json", "campaign.json",
    }  # fmt: skip
    with zipfile.ZipFile(package.zip) as bundle:
        assert sorted(bundle.namelist()) == [f"{NAME}/{path}" for path in checksums.list_paths(package.folder)]


def test_checksums_are_those_of_sha256sum(package):
    for line in (package.folder / "checksums.sha256").read_text().splitlines():
        value, path = line.split("  ")
        assert hashlib.sha256((package.folder / path).read_bytes()).hexdigest() == value


@pytest.mark.parametrize(
    "standard",
    ["ro-crate-1.1", pytest.param("process-run-crate-0.5", marks=pytest.mark.slow), "provenance-run-crate-0.5"],
)
def test_crate_is_valid(package, standard):
    assert find_issues(package.folder, standard) == []


def test_validation_can_fail(package, tmp_path):
    document = read_json(package, "ro-crate-metadata.json")
    for item in document["@graph"]:
        if item["@type"] == "CreateAction":
            item.pop("instrument")
    (tmp_path / "ro-crate-metadata.json").write_text(json.dumps(document))
    assert any("instrument" in words for words in find_issues(tmp_path, "process-run-crate-0.5"))


def test_every_number_is_found_again(package, results):
    """The value of each result is the same in profile, table, graph, FINALES file and crate, with the same unit."""
    rows = {row["result"]: row for row in read_table((package.folder / "tables" / "conductivity.csv").read_text())}
    graph = {item["@id"]: item for item in read_json(package, "graph.jsonld")["@graph"]}
    crate = {item["@id"]: item for item in read_json(package, "ro-crate-metadata.json")["@graph"]}
    published = {item["uuid"]: item for item in read_json(package, "results_for_requests.json")}
    assert results
    assert set(rows) >= {node.uuid for node in results}
    for node in results:
        assert float(rows[node.uuid]["conductivity / S/m"]) == node.value
        quantity = graph[f"urn:uuid:{node.uuid}#conductivity"]
        assert quantity["hasNumericalPart"]["hasNumberValue"] == node.value
        assert quantity["hasMeasurementUnit"] == "SiemensPerMetre"
        entity = crate[f"urn:uuid:{node.uuid}"]
        assert (entity["value"], entity["unitText"]) == (node.value, "S/m")
        assert published[node.uuid]["result"]["data"]["conductivity"]["values"] == [node.value]


def test_what_the_model_was_told_is_a_table(package, results):
    rows = {row["result"]: row for row in read_table((package.folder / "tables" / "learned.csv").read_text())}
    learned = {uuid: node for node in results if (uuid := node.uuid) in rows}
    assert learned
    assert set(learned) == set(rows)
    for uuid, node in learned.items():
        assert float(rows[uuid]["conductivity / S/m"]) == node.value
        assert rows[uuid]["source"] == node.method


def test_tables_tell_variables_and_options_of_each_objective():
    """Two numbers of one result, a rate and an electrode: neither is the value of the result."""
    problem = {
        "problem": {"components": [EC, EMC], "variables": [{"name": "rate", "unit": "1/h"}],
                    "objectives": [{"name": "last"}, {"name": "dense"}]},
        "numbers": {"robot": {"last": {"quantity": "capacity", "number": "capacity_list.-1"},
                              "dense": {"quantity": "density", "number": None}}},
        "requests": {},
    }  # fmt: skip
    rows = [{"uuid": name, "source": "robot", "x": [0.4, 0.6, 0.5], "values": {"last": value, "dense": 1.2},
             "category": {"cathode": "LFP"}} for name, value in (("r1", 1.0), ("r2", 2.0))]  # fmt: skip
    point = {"x": [0.4, 0.6, 0.5], "values": {"last": 1.0}, "uuids": ["r1"], "category": {"cathode": "LFP"}}
    document = {"front": {"measured": [point], "predicted": []}, "units": {"last": "Ah", "dense": "g/cm³"}}
    first, later, end, asked = (
        SimpleNamespace(uuid=uuid, attributes=attributes)
        for uuid, attributes in (
            ("t1", {"rows": rows, "removed": []}),
            ("t2", {"rows": [{**rows[1], "values": {"last": 2.5, "dense": 1.2}}], "removed": ["r1"]}),
            ("s", {"source_name": "", "document": document}),
            ("problem", problem),
        )
    )
    link = SimpleNamespace(label="problem", source="problem")
    archive = SimpleNamespace(
        of_type=lambda _: [first, later], creator_of=lambda _: SimpleNamespace(uuid="c"), incoming={"c": [link]},
        by_uuid={"problem": asked},
    )  # fmt: skip
    place = {"rate / 1/h": 0.5, "x(EC) / mol/mol": 0.4, "x(EMC) / mol/mol": 0.6, "cathode": "LFP"}
    told = {"result": "r2", "source": "robot", "last / Ah": 2.5, "dense / g/cm³": 1.2}
    assert list(_learned(archive)) == [{**told, **place}]  # r1 was deleted since, and r2 was corrected
    [row] = _front(end, archive)
    assert row.items() >= {**place, "last / Ah": 1.0, "results": "r1"}.items()
    assert "preferred by the weights" not in row
    document["front"]["measured"] = [point, {**point, "is_preferred": True}]
    assert [row["preferred by the weights"] for row in _front(end, archive)] == [False, True]


def test_server_and_package_write_the_same_documents(package):
    """One request and one result, as the server answers them and as the files have them."""
    for name, file, node_class, make in (
        ("request", "requests.json", RequestData, request_document),
        ("result", "results_for_requests.json", ResultData, result_document),
    ):
        item = read_json(package, file)[0]
        (text,) = Bodies(name, make).write([find_row(node_class.class_node_type, item["uuid"])])
        assert json.dumps(json.loads(text)) == json.dumps(item)


def test_finales_form(package):
    """Keys are in the published order, which clients read by position."""
    request, result = read_json(package, "requests.json")[0], read_json(package, "results_for_requests.json")[0]
    assert list(request) == ["uuid", "ctime", "status", "request"]
    assert list(request["request"]) == ["quantity", "methods", "parameters", "tenant_uuid"]
    assert list(result) == ["uuid", "ctime", "status", "result"]
    assert list(result["result"]) == ["data", "quantity", "method", "parameters", "tenant_uuid", "request_uuid"]
    assert "+" not in result["ctime"]
    assert "Z" not in result["ctime"]
    tenants = read_json(package, "tenants.json")
    assert list(tenants[0]) == ["tenant_uuid", "name", "limitations", "contact_person", "is_active"]
    keys = ["quantity", "method", "json_schema_specifications", "json_schema_result_output"]
    assert next(list(item) for item in read_json(package, "capabilities.json")) == keys


def test_graph_expands(package):
    """A JSON-LD processor of others reads the graph with the context beside it, without network."""
    from pyld import jsonld

    def load(url, _options):
        name = url.rsplit("/", 1)[-1]
        return {"contextUrl": None, "documentUrl": url, "document": read_json(package, name)}

    options = {"documentLoader": load, "base": "https://example.org/package/"}
    expanded = jsonld.expand(read_json(package, "graph.jsonld"), options)
    values = [
        item["@value"]
        for thing in expanded
        for part in thing.get("https://w3id.org/emmo#EMMO_8ef3cd6d_ae58_4a8d_9fc0_ad8f49015cd0", [])
        for item in part.get("https://w3id.org/emmo#EMMO_faf79f53_749d_40b2_807c_d34244c192f4", [])
    ]
    rows = read_table((package.folder / "tables" / "conductivity.csv").read_text())
    assert {float(row["conductivity / S/m"]) for row in rows} <= {float(value) for value in values}


def test_history_is_told(package, results):
    """What was deleted stays, and says so."""
    rows = read_table((package.folder / "tables" / "conductivity.csv").read_text())
    assert sorted(row["status"] for row in rows).count("deleted") == 1
    assert "the wrong bottle" in (package.folder / "tables" / "history.csv").read_text()
    assert "1 result was deleted" in (package.folder / "DATASHEET.md").read_text()


def test_archive_is_aiidas(package):
    command = [sys.executable, "-m", "aiida", "archive", "info", str(package.folder / "campaign.aiida")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "main_0001" in done.stdout, done.stderr


def test_citation_can_be_read(package):
    import yaml

    citation = yaml.safe_load((package.folder / "CITATION.cff").read_text())
    assert citation["authors"][0]["orcid"] == "https://orcid.org/0000-0002-1825-0097"
    assert citation["license"] == "CC-BY-4.0"


def test_example_reads_the_crate(package, tmp_path):
    """Somebody with json, csv and matplotlib alone draws conductivity against molality."""
    script, picture = ROOT / "examples" / "read_crate.py", tmp_path / "molality.png"
    assert len(script.read_text().splitlines()) < 40
    # what our package brings cannot be imported
    alone = (
        "import runpy, sys\n"
        "for name in ('aiida', 'aiida_finales', 'rdflib', 'rocrate', 'pandas'): sys.modules[name] = None\n"
        "sys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", alone, str(script), str(package.folder), str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_same_campaign_same_bytes(package, tmp_path):
    again = export_campaign(NAME, make_metadata(), tmp_path, SCRUB)
    assert digests(again.folder) == digests(package.folder)
    assert again.zip.read_bytes() == package.zip.read_bytes()


def test_package_of_that_name_is_kept(package):
    with pytest.raises(InputError, match="is there already"):
        export_campaign(NAME, make_metadata(), package.folder.parent, SCRUB)


def test_unknown_campaign(profile, tmp_path):
    with pytest.raises(UnknownNodeError, match="there are first"):
        export_campaign("second", make_metadata(), tmp_path / "none", SCRUB)
    assert not (tmp_path / "none").exists()


def test_nothing_private_leaves_unseen(profile, tmp_path):
    with pytest.raises(InputError, match=r"private things? would leave.*--scrub"):
        export_campaign(NAME, make_metadata(), tmp_path / "packages")
    assert not (tmp_path / "packages").exists()
    accepted = export_campaign(NAME, make_metadata(), tmp_path / "packages", Wishes(accept_privacy=True))
    assert accepted.findings


def test_scrubbed_archive_has_no_paths(package):
    for node in read_archive(package.folder / "campaign.aiida").nodes:
        assert str(ROOT) not in json.dumps(node.attributes)
    assert package.findings


@pytest.fixture
def secret(profile, results):
    """A result that must not leave: the last that still counts."""
    node = max(results, key=lambda item: item.ctime)
    node.base.extras.set(OPENNESS, "confidential")
    yield node
    node.base.extras.delete(OPENNESS)


def test_confidential_does_not_leave(secret, tmp_path):
    """Of a confidential result only the existence is told, wherever one looks; the chain stays whole."""
    package = export_campaign(NAME, make_metadata(), tmp_path, SCRUB)
    needle = repr(secret.value).encode()
    with zipfile.ZipFile(package.folder / "campaign.aiida") as bundle:
        inside = {name: bundle.read(name) for name in bundle.namelist()}
    outside = {path: (package.folder / path).read_bytes() for path in checksums.list_paths(package.folder)}
    assert not [name for name, content in {**inside, **outside}.items() if needle in content]
    left = read_archive(package.folder / "campaign.aiida").by_uuid[secret.uuid]
    assert left.is_withheld
    assert package.counts["withheld"] > 1
    assert verify_package(package.folder) == []
    whole = export_campaign(NAME, make_metadata(openness="confidential"), tmp_path / "inside", SCRUB)
    assert whole.counts["withheld"] == 0
    assert "must not be made public" in (whole.folder / "README.md").read_text()


def test_confidential_for_one_package(package, results):
    """A node can count as confidential without being marked."""
    archive = read_archive(package.folder / "campaign.aiida")
    withheld = find_withheld(archive, make_metadata().openness, [results[0].uuid])
    assert results[0].uuid in withheld
    assert results[0].request_uuid in withheld
    assert archive.creator_of(archive.by_uuid[results[0].uuid]).uuid in withheld
    assert results[1].uuid not in withheld


@pytest.mark.parametrize(
    ("access", "changes", "words"),
    [
        ({"openness": "restricted"}, {}, "is restricted, but the package would be public"),
        (
            {"openness": "confidential"},
            {"openness": "restricted"},
            "is confidential, but the package would be restricted",
        ),
        ({"embargo": "2999-01-01"}, {}, "is restricted until 2999-01-01"),
        ({"embargo": "2999-01-01"}, {"embargo_until": "2998-12-31"}, "is restricted until 2999-01-01"),
    ],
)
def test_a_package_is_not_more_open_than_its_campaign(profile, tmp_path, access, changes, words):
    group = CampaignGroup.find(NAME)
    group.set_access(Access.model_validate(access))
    try:
        with pytest.raises(InputError, match=words):
            export_campaign(NAME, make_metadata(**changes), tmp_path, SCRUB)
    finally:
        group.base.extras.delete(ACCESS)
    assert not list(tmp_path.iterdir())


def test_what_is_closed_leaves_in_no_package_of_another_campaign(profile, results):
    other = CampaignGroup.create_for("closed", Access(openness="restricted"))
    other.add_nodes([results[0]])
    try:
        assert find_closed(Openness.PUBLIC) == {other.pk}
        assert results[0].uuid in find_own(find_closed(Openness.PUBLIC))
        assert find_closed(Openness.RESTRICTED) == set()
        wishes = _withhold_closed(CampaignGroup.find(NAME), make_metadata(), SCRUB)
        assert results[0].uuid in wishes.confidential
    finally:
        CampaignGroup.collection.delete(other.pk)


def test_time_series_are_battery_data_format(tmp_path):
    """Columns are accepted by the validator of the format, and the numbers are those of the cycler."""
    import bdf
    import pandas as pd

    from aiida_finales.lab.simulated.cycling_file import CyclingRecord, write_cycling_file
    from aiida_finales.science.ageing.cycling import HalfCycle

    time = np.linspace(0.0, 3600.0, 5)
    halves = {1: HalfCycle(time, np.full(5, 1e-3), np.linspace(3.0, 4.2, 5)),
              2: HalfCycle(time, np.full(5, -1e-3), np.linspace(4.2, 3.0, 5))}  # fmt: skip
    write_cycling_file(tmp_path / "cell.h5", CyclingRecord(halves))
    table = pd.read_csv(io.StringIO(series_table((tmp_path / "cell.h5").read_bytes())))
    report = bdf.validate_df(table)
    assert report["ok"] if isinstance(report, dict) else report is not False
    assert {"Test Time / s", "Voltage / V", "Current / A"} <= set(table.columns)
    assert table["Current / A"].max() == 1e-3
    # wetting, rest after formation, charge, discharge
    assert table["Cycle Count / 1"].unique().tolist() == [0, 1]
    assert table["Step Count / 1"].tolist()[-10:] == [2] * 5 + [3] * 5
    assert table["Step Count / 1"].is_monotonic_increasing
    with pytest.raises(bdf.BDFValidationError):
        bdf.validate_df(table.drop(columns="Voltage / V"), raise_on_error=True)


def test_labels_are_those_of_the_battery_data_format():
    """Every header that we write stands in the table of the format, under the meaning that it has there."""
    from bdf.normalize.spec import COLUMNS

    labels = {item["label_template"].format(unit=item["unit"]): name for name, item in COLUMNS.items()}
    ours = {BDF_COLUMNS[name] for name in BDF_COLUMNS} | {BDF_STEP}
    assert ours <= set(labels)
    assert labels[BDF_STEP] == "step_count"
    assert {name for name, item in COLUMNS.items() if item["required"]} <= {labels[header] for header in ours}


def test_spectrum_has_units():
    rows = read_table(spectrum_table(np.array([1e3, 1.0]), np.array([10 - 1j, 12 - 3j])))
    assert rows[1] == {"Frequency / Hz": "1.0", "Real Impedance / ohm": "12.0", "Imaginary Impedance / ohm": "-3.0"}


def test_round_trip(package, aiida_profile, tmp_path):
    """Exported, imported elsewhere, exported again: the same files, byte for byte."""
    from aiida_finales.operations.campaign.reading import read_overview

    aiida_profile.reset_storage()
    imported = receive_package(package.zip)
    assert imported.campaigns == [NAME]
    assert len(read_overview(CampaignGroup.find(NAME)).evaluations) >= 3
    again = export_campaign(NAME, make_metadata(), tmp_path, SCRUB)
    assert digests(again.folder) == digests(package.folder)
    assert receive_package(package.folder / "campaign.aiida").n_new == 0
    assert orm.QueryBuilder().append(ResultData).count() == again.counts["results"]


def test_figures_show_no_front_of_what_is_withheld() -> None:
    overview = make_overview("density", "viscosity")
    nodes = [SimpleNamespace(uuid=item.uuid, is_withheld=item.number == 1) for item in overview.evaluations]
    left = _without_withheld(overview, SimpleNamespace(nodes=nodes))
    assert (len(left.evaluations), left.front) == (len(overview.evaluations) - 1, None)
    assert list_figures(left) == ["front"]  # of the points that are left
    nodes[0].is_withheld = False
    assert _without_withheld(overview, SimpleNamespace(nodes=nodes)) is overview
