"""Results of FINALES servers and tables with any columns become unsolicited results, once."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from uuid import UUID

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_finales.broker.results import delete_result
from aiida_finales.broker.state import read_history, read_state
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import InputError, UnknownCapabilityError
from aiida_finales.operations.importing import table as importing
from aiida_finales.operations.importing.finales import import_dump
from aiida_finales.operations.importing.table import Way, import_file, import_mapped, read_map
from aiida_finales.schemas.chemicals.mixture import read_mixture
from aiida_finales.schemas.finales_dump import ServerClock, read_dump

RESULT, REQUEST = "4d016a5f-045c-4a4f-948a-cbbeb62d4572", "bedd8751-906e-452b-9147-c107aa1303e9"
TENANT = "fd8446d0-558c-451a-8a68-e416b5166265"


@pytest.fixture
def published(make_data, make_parameters):
    """A result and its request in the published form."""
    parameters = {"two_electrode": make_parameters()}
    result = {"data": make_data(0.93), "quantity": "conductivity", "method": ["two_electrode"],
              "parameters": parameters, "tenant_uuid": TENANT, "request_uuid": REQUEST}  # fmt: skip
    request = {
        "quantity": "conductivity",
        "methods": ["two_electrode"],
        "parameters": parameters,
        "tenant_uuid": TENANT,
    }
    return {
        "results": [{"uuid": RESULT, "ctime": "2024-05-06T07:08:09", "status": "deleted", "result": result}],
        "requests": [
            {"uuid": REQUEST, "ctime": "2024-05-05T00:00:00.5", "status": "resolved", "request": request},
            {"uuid": TENANT, "ctime": "2024-05-05T00:00:00", "status": "pending", "request": request},
        ],
    }


#: of the published server, version 1.1.0: its own definitions of tables, as SQLite writes them
TABLES = """
CREATE TABLE quantity (uuid CHAR(32) NOT NULL, quantity VARCHAR NOT NULL, method VARCHAR NOT NULL,
    specifications VARCHAR NOT NULL, result_output VARCHAR NOT NULL, is_active BOOLEAN,
    load_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (uuid));
CREATE TABLE tenant (uuid CHAR(32) NOT NULL, name VARCHAR NOT NULL, limitations VARCHAR NOT NULL,
    contact_person VARCHAR NOT NULL, is_active BOOLEAN, load_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (uuid));
CREATE TABLE request (uuid CHAR(32) NOT NULL, parameters VARCHAR NOT NULL, requesting_tenant_uuid CHAR(32) NOT NULL,
    requesting_recieved_timestamp DATETIME NOT NULL, budget VARCHAR, status VARCHAR NOT NULL,
    load_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (uuid));
CREATE TABLE result (uuid CHAR(32) NOT NULL, request_uuid CHAR(32) NOT NULL, parameters VARCHAR NOT NULL,
    data VARCHAR NOT NULL, posting_tenant_uuid CHAR(32) NOT NULL, cost VARCHAR, status VARCHAR NOT NULL,
    posting_recieved_timestamp DATETIME NOT NULL, load_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (uuid),
    FOREIGN KEY(request_uuid) REFERENCES request (uuid));
CREATE TABLE link_quantity_request (link_uuid CHAR(32) NOT NULL, method_uuid CHAR(32) NOT NULL,
    request_uuid CHAR(32) NOT NULL, load_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (link_uuid),
    FOREIGN KEY(method_uuid) REFERENCES quantity (uuid), FOREIGN KEY(request_uuid) REFERENCES request (uuid));
CREATE TABLE link_quantity_result (link_uuid CHAR(32) NOT NULL, method_uuid CHAR(32) NOT NULL,
    result_uuid CHAR(32) NOT NULL, load_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (link_uuid),
    FOREIGN KEY(method_uuid) REFERENCES quantity (uuid), FOREIGN KEY(result_uuid) REFERENCES result (uuid));
CREATE TABLE status_log_request (uuid CHAR(32) NOT NULL, request_uuid CHAR(32) NOT NULL, status VARCHAR NOT NULL,
    status_change_message VARCHAR, load_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (uuid));
CREATE TABLE status_log_result (uuid CHAR(32) NOT NULL, result_uuid CHAR(32) NOT NULL, status VARCHAR NOT NULL,
    status_change_message VARCHAR, load_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (uuid));
"""
#: what the server wrote at each step: by its clock in Berlin, and by the database
ASKED_AT = "2024-05-05 02:00:00.500000", "2024-05-05 00:00:00"
POSTED_AT = "2024-05-06 09:08:09.250000", "2024-05-06 07:08:09"
DELETED_AT = "2024-05-07 00:00:00"


@pytest.fixture
def database(published, tmp_path):
    """The same in the tables of the published server, with every link and log that it writes."""
    path = tmp_path / "session.db"
    result = published["results"][0]["result"]
    parameters, data = json.dumps(result["parameters"]), json.dumps(result["data"])
    short = {name: UUID(name).hex for name in (RESULT, REQUEST, TENANT)}
    asked, posted, quantity = short[REQUEST], short[RESULT], UUID(int=7).hex
    other = UUID(int=8).hex
    rows = [
        ("quantity", quantity, "conductivity", "two_electrode", "{}", "{}", 1, "2024-01-01 00:00:00"),
        ("quantity", other, "density", "vibrating_tube_densimetry", "{}", "{}", 1, "2024-01-01 00:00:00"),
        ("tenant", short[TENANT], "ASAB", "[]", "Josiah", 1, "2024-01-01 00:00:00"),
        ("request", asked, parameters, short[TENANT], ASKED_AT[0], "", "resolved", POSTED_AT[1]),
        ("result", posted, asked, parameters, data, short[TENANT], "", "deleted", POSTED_AT[0], DELETED_AT),
        ("link_quantity_request", UUID(int=1).hex, quantity, asked, ASKED_AT[1]),
        ("link_quantity_result", UUID(int=2).hex, quantity, posted, POSTED_AT[1]),
        ("status_log_request", UUID(int=3).hex, asked, "pending", "created", ASKED_AT[1]),
        ("status_log_request", UUID(int=4).hex, asked, "resolved", "answered", POSTED_AT[1]),
        ("status_log_result", UUID(int=5).hex, posted, "original", "posted", POSTED_AT[1]),
        ("status_log_result", UUID(int=6).hex, posted, "deleted", "a leak", DELETED_AT),
    ]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(TABLES)
        for table, *values in rows:
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)
    return path


def change(database, statement):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)
    return database


class TestDatabase:
    """A database as the published server itself writes it."""

    def test_quantity_and_method_are_those_of_the_linked_row(self, database):
        (result,) = read_dump(database.read_bytes(), "db").results
        assert (result.quantity, result.method) == ("conductivity", "two_electrode")
        assert (result.request["quantity"], result.request["methods"]) == ("conductivity", ["two_electrode"])

    def test_a_result_without_link_is_named(self, database):
        change(database, "DELETE FROM link_quantity_result")
        change(database, "DELETE FROM link_quantity_request")
        with pytest.raises(InputError, match=f"result {RESULT}: no row of link_quantity_result leads to"):
            read_dump(database.read_bytes(), "db")

    def test_local_times_are_read_by_the_utc_times_beside_them(self, database):
        dump = read_dump(database.read_bytes(), "db")
        (result,) = dump.results
        assert result.time == "2024-05-06T07:08:09.250000+00:00"
        assert result.request["ctime"] == "2024-05-05T00:00:00.500000+00:00"
        assert [entry.time for entry in result.history][1] == "2024-05-07T00:00:00+00:00"
        assert dump.zones == ("UTC+02:00, as the UTC times beside them show",)

    def test_the_zone_of_the_server_may_be_said(self, database):
        dump = read_dump(database.read_bytes(), "db", ServerClock("America/New_York"))
        assert dump.results[0].time == "2024-05-06T13:08:09.250000+00:00"
        assert dump.zones == ("America/New_York, as you said",)
        with pytest.raises(InputError, match="timezone is 'Mars', but accepted is a name such as Europe/Berlin"):
            ServerClock("Mars")

    def test_without_any_sign_the_zone_is_that_of_here(self, database, monkeypatch):
        for table in ("link_quantity_result", "link_quantity_request", "status_log_result", "status_log_request"):
            change(database, f"UPDATE {table} SET load_time = '2020-01-01 11:11:11'")
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        try:
            dump = read_dump(database.read_bytes(), "db")
        finally:
            monkeypatch.undo()
            time.tzset()
        assert dump.results[0].time == "2024-05-06T00:08:09.250000+00:00"
        assert dump.zones == ("JST, the zone of this computer",)

    def test_what_was_deleted_there_meanwhile_is_deleted_here(self, capabilities, database):
        change(database, "UPDATE result SET status = 'original'")
        (result,) = import_dump(database).results
        assert read_state(result.pk)["status"] == "original"
        change(database, "UPDATE result SET status = 'deleted'")
        again = import_dump(database)
        assert (again.results, again.n_known, again.n_renewed) == ([], 1, 1)
        assert read_state(result.pk)["status"] == "deleted"
        assert import_dump(database).n_renewed == 0


@pytest.fixture
def document(published, tmp_path):
    path = tmp_path / "dump.json"
    path.write_text(json.dumps(published))
    return path


@pytest.mark.parametrize("form", ["document", "database"])
def test_server_is_imported_with_identity_and_history(form, capabilities, request):
    imported = import_dump(request.getfixturevalue(form))
    (result,) = imported.results
    assert (result.uuid, result.value, result.tenant_uuid, result.request_uuid) == (RESULT, 0.93, TENANT, None)
    assert result.creator.process_label == "import_finales"
    assert result.base.attributes.get("published")["request"]["uuid"] == REQUEST
    assert read_state(result.pk)["status"] == "deleted"
    first = read_history(result.pk)[0]
    assert f"{first.time:%Y-%m-%dT%H:%M:%S}" == "2024-05-06T07:08:09"
    again = import_dump(request.getfixturevalue(form))
    assert (again.results, again.n_known) == ([], 1)


def test_reasons_are_kept(capabilities, database):
    (result,) = import_dump(database).results
    assert "a leak" in [entry.why for entry in read_history(result.pk)]


def test_unanswered_requests_are_counted(capabilities, document):
    assert import_dump(document).n_unanswered == 1


def test_other_database_is_named(tmp_path):
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE molecules (name TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(
        InputError, match=r"other.db has the tables molecules, but .* lacking: quantity, request, result"
    ):
        read_dump((tmp_path / "other.db").read_bytes(), "other.db")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x00\x01", "neither an SQLite database nor JSON"),
        (b"[]", "has no result"),
        (b'{"molecules": []}', "has the keys"),
        (b'[{"quantity": "conductivity"}]', "result 1: it has"),
    ],
)
def test_what_cannot_be_understood_is_named(content, words):
    with pytest.raises(InputError, match=words):
        read_dump(content, "file")


def test_unknown_capability_is_refused(capabilities, published, tmp_path, count_nodes):
    published["results"][0]["result"]["quantity"] = "colour"
    path = tmp_path / "dump.json"
    path.write_text(json.dumps(published))
    before = count_nodes()
    with pytest.raises(UnknownCapabilityError, match=r"colour/two_electrode \(1\).*--skip-unknown"):
        import_dump(path)
    assert count_nodes() == before
    assert import_dump(path, skip_unknown=True).unknown == {"colour/two_electrode": 1}


def test_published_examples(capabilities, shared_data):
    """All results that the project itself gives as examples come in, those that break their schema as not valid."""
    for path in sorted((shared_data / "finales" / "examples" / "results").rglob("*.json")):
        import_dump(path)
    verdicts = orm.QueryBuilder().append(ResultData, project="attributes.valid").all(flat=True)
    assert len(verdicts) == 9
    assert False in verdicts
    assert True in verdicts


MAP = """
quantity: conductivity
reference: 10.1234/x
delimiter: ";"
columns:
  temperature_K: {column: T, unit: degC}
  conductivity_S_per_m: {column: sigma, unit: mS/cm}
  x_LiPF6: salt
  x_EC: EC
constants: {x_EMC: 0.62}
"""
TABLE = "T;sigma;salt;EC\n25;9.3;0.08;0.3\n40;11.1;0.08;0.3\n"


@pytest.fixture
def mapped(tmp_path):
    (tmp_path / "map.yaml").write_text(MAP)
    (tmp_path / "table.csv").write_text(TABLE)
    return tmp_path / "table.csv", read_map(tmp_path / "map.yaml")


def test_any_columns(capabilities, mapped):
    imported = import_mapped(*mapped)
    first = imported.results[0]
    assert first.value == pytest.approx(0.93)
    assert first.base.attributes.get("temperature") == pytest.approx(298.15)
    assert sorted(first.fractions.values()) == pytest.approx([0.08, 0.3, 0.62])
    assert first.creator.inputs.settings.get_dict()["map"]["columns"]["temperature_K"]["unit"] == "degC"
    assert not import_mapped(*mapped).is_new


def test_an_interrupted_import_goes_on(capabilities, tmp_path, monkeypatch):
    """Rows that are stored stay; the others follow, none twice, whatever the size of the blocks was."""
    path = tmp_path / "table.csv"
    rows = [f"300,{0.5 + number / 100},0.08,0.3,0.62\n" for number in range(7)]
    path.write_text("temperature_K,conductivity_S_per_m,x_LiPF6,x_EC,x_EMC\n" + "".join(rows))

    def end(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "BLOCK", 2)
    with pytest.raises(KeyboardInterrupt):
        import_file(path, "conductivity", say=end)
    assert orm.QueryBuilder().append(ResultData).count() == 2
    monkeypatch.setattr(importing, "BLOCK", 3)
    told = []
    imported = import_file(path, "conductivity", say=told.append)
    assert told == ["5 of 7 rows are stored", "7 of 7 rows are stored"]
    assert [result.value for result in imported.results] == [pytest.approx(0.5 + k / 100) for k in range(7)]
    assert orm.QueryBuilder().append(ResultData).count() == 7
    assert not import_file(path, "conductivity").is_new


def test_what_is_imported_is_an_output(capabilities, mapped):
    """Results stored all at once are as those that the engine stores one by one: links, state, identity."""
    first, second = import_mapped(*mapped).results
    process = first.creator
    assert (process.is_finished_ok, process.is_sealed) == (True, True)
    links = {entry.link_label: entry.node.uuid for entry in process.base.links.get_outgoing(link_type=LinkType.CREATE)}
    assert links == {"result_00001": first.uuid, "result_00002": second.uuid}
    assert read_state(first.pk)["status"] == "original"
    assert first.user.email == orm.User.collection.get_default().email
    assert first.ctime <= first.mtime


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("unit: degC", "unit: degF", "unit of temperature_K is 'degF', but accepted are K, degC"),
        ("column: T,", "column: temp,", "no columns"),
        ("quantity: conductivity\n", "", "quantity"),
        ("reference:", "referense:", "referense"),
    ],
)
def test_bad_map_is_named(capabilities, tmp_path, before, after, words):
    (tmp_path / "map.yaml").write_text(MAP.replace(before, after))
    (tmp_path / "table.csv").write_text(TABLE)
    with pytest.raises(InputError, match=words):
        import_mapped(tmp_path / "table.csv", read_map(tmp_path / "map.yaml"))


HEADER = "temperature_K,x_LiPF6,x_EC,x_EMC,conductivity_mS_cm\n"
FIRST, SECOND = "298.15,0.06,0.45,0.49,8.1\n", "298.15,0.05,0.45,0.50,7.9\n"


@pytest.fixture
def write(tmp_path):
    def write_table(name, *rows, header=HEADER):
        path = tmp_path / name
        path.write_text(header + "".join(rows))
        return path

    return write_table


def n_results():
    return orm.QueryBuilder().append(ResultData).count()


class TestGrownFile:
    """Rows that are here are recognised by what they say; what is new is stored."""

    def test_only_new_rows_are_stored(self, capabilities, write):
        old = import_file(write("one.csv", FIRST), "conductivity")
        grown = import_file(write("two.csv", SECOND, "# a note\n", FIRST), "conductivity")
        assert (grown.n_new, grown.n_known, n_results()) == (1, 1, 2)
        assert grown.results[1].uuid == old.results[0].uuid
        assert not import_file(write("two.csv", FIRST, SECOND), "conductivity").is_new

    def test_a_value_that_was_measured_twice_stays_two(self, capabilities, write):
        assert import_file(write("one.csv", FIRST, FIRST), "conductivity").n_new == 2
        assert import_file(write("one.csv", FIRST, FIRST, FIRST), "conductivity").n_new == 1

    def test_the_same_values_of_another_source_are_another_measurement(self, capabilities, write):
        import_file(write("one.csv", FIRST), "conductivity", reference="10.1/a")
        assert import_file(write("two.csv", FIRST, SECOND), "conductivity", reference="10.1/b").n_new == 2
        assert import_file(write("three.csv", FIRST), "conductivity", reference="10.1/a").n_new == 0

    def test_a_source_that_was_not_said_is_no_other_one(self, capabilities, write):
        import_file(write("one.csv", FIRST), "conductivity")
        import_file(write("two.csv", FIRST, SECOND), "conductivity")
        named = import_file(write("two.csv", FIRST, SECOND), "conductivity", reference="10.1/a")
        assert (named.n_new, named.n_differing, n_results()) == (0, 2, 2)

    def test_a_table_with_a_map_may_grow_too(self, capabilities, mapped):
        path, table_map = mapped
        assert import_mapped(path, table_map).n_new == 2
        path.write_text(TABLE + "50;12.0;0.08;0.3\n")
        assert import_mapped(path, table_map).n_new == 1

    def test_a_better_reference_is_said_and_replaces(self, capabilities, write):
        path = write("one.csv", FIRST)
        (old,) = import_file(path, "conductivity", rating=2).results
        again = import_file(path, "conductivity", reference="10.1/a", rating=4)
        assert (again.n_new, again.n_differing, again.results[0].rating) == (0, 1, 2)
        better = import_file(path, "conductivity", reference="10.1/a", rating=4, way=Way(is_amending=True))
        assert (better.n_new, better.n_differing, better.results[0].rating) == (1, 0, 4)
        state = read_state(old.pk)
        assert (state["status"], state["replacement"]) == ("amended", better.results[0].uuid)
        assert not import_file(path, "conductivity", reference="10.1/a", rating=4, way=Way(is_amending=True)).is_new
        assert import_file(path, "conductivity").results[0].uuid == better.results[0].uuid

    def test_what_was_read_with_a_wrong_unit_is_named(self, capabilities, mapped):
        path, table_map = mapped
        wrong = table_map.model_copy(deep=True)
        wrong.columns["conductivity_S_per_m"].unit = "mS/m"
        (old, *_) = import_mapped(path, wrong, way=Way(is_sure=True)).results
        mended = import_mapped(path, table_map)
        assert (mended.n_new, len(mended.others), mended.others[0].uuid) == (2, 2, old.uuid)
        delete_result(old.pk, "me", "wrong unit")
        assert len(import_mapped(path, table_map).others) == 1

    def test_what_was_deleted_does_not_come_back(self, capabilities, write):
        path = write("one.csv", FIRST)
        delete_result(import_file(path, "conductivity").results[0].pk, "me", "a bubble")
        assert not import_file(path, "conductivity").is_new


@pytest.mark.parametrize(
    ("quantity", "column", "text", "value"),
    [("density", "density_g_cm3", "1.21;1.23", 1.22), ("viscosity", "viscosity_mPa_s", "3.1", 3.1)],
)
def test_what_a_densimeter_measures_is_literature_too(capabilities, tmp_path, quantity, column, text, value):
    path = tmp_path / "mine.csv"
    path.write_text(f"temperature_K,x_LiPF6,x_EC,x_EMC,{column}\n298.15,0.08,0.3,0.62,{text}\n")
    (result,) = import_file(path, quantity).results
    assert (result.method, result.value) == ("literature", pytest.approx(value))
    assert result.base.attributes.get("valid")


class TestPlausible:
    def test_slips_are_refused_unless_somebody_is_sure(self, capabilities, write, count_nodes):
        path = write("cold.csv", "25,0.06,0.45,0.49,8.1\n", FIRST)
        before = count_nodes()
        with pytest.raises(InputError, match=r"1 of 2 rows have .*row 1: conductivity.temperature: 25.0 .*°C.*--yes-"):
            import_file(path, "conductivity")
        assert count_nodes() == before
        first = import_file(path, "conductivity", way=Way(is_sure=True)).results[0]
        assert (first.base.attributes.get("valid"), first.base.attributes.get("implausible")) == (True, [])
        assert not import_file(path, "conductivity").is_new

    def test_a_table_in_siemens_per_centimetre_is_named(self, capabilities, write):
        header = HEADER.replace("conductivity_mS_cm", "conductivity_S_per_m")
        assert header != HEADER
        path = write("poor.csv", "298.15,0.06,0.45,0.49,0.0081\n", "298.15,0.08,0.45,0.47,0.0096\n", header=header)
        with pytest.raises(InputError, match=r"all conductivities look like S/cm.*--yes-really"):
            import_file(path, "conductivity")
        assert import_file(path, "conductivity", way=Way(is_sure=True)).n_new == 2
        dilute = write("dilute.csv", "298.15,0.006,0.49,0.504,0.0081\n", header=header)
        assert import_file(dilute, "conductivity").is_new

    def test_percent_is_named(self, capabilities, write):
        with pytest.raises(InputError, match="sum to 100: they look like %"):
            import_file(write("percent.csv", "298.15,6,45,49,8.1\n"), "conductivity")


class TestSaid:
    """The mixture of a row as people say it; what was given is kept beside the mole fractions."""

    def test_mixtures_in_words_and_celsius(self, capabilities, write):
        header = "temperature_C,electrolyte,conductivity_mS_cm\n"
        path = write("said.csv", header + '25,"1 M LiPF6 in EC:EMC 3:7 w/w, 1.21 g/cm3",9.1\n', header="")
        (result,) = import_file(path, "conductivity").results
        assert result.base.attributes.get("temperature") == 298.15
        expected = read_mixture("1 M LiPF6 in EC:EMC 3:7 w/w, 1.21 g/cm3").fractions
        assert result.fractions == pytest.approx(expected)
        given = result.data["run_info"]["given"]
        assert given["temperature"] == {"given": "25 °C"}
        assert given["formulation"]["given"] == "1 M LiPF6 in EC:EMC 3:7 w/w, 1.21 g/cm3"
        assert given["formulation"]["density"] == {"value": 1.21, "source": "given"}
        assert not import_file(path, "conductivity").is_new

    def test_fractions_by_mass_also_in_percent(self, capabilities, write, tmp_path):
        expected = read_mixture({"mass_fractions": {"LiPF6": 0.12, "EC": 0.38, "EMC": 0.5}}).fractions
        path = write("mass.csv", "298.15,12,38,50,0.9\n", header="T,salt,EC,EMC,k\n")
        text = "quantity: conductivity\ncolumns:\n  temperature_K: T\n  conductivity_S_per_m: k\n"
        for name, column in (("LiPF6", "salt"), ("EC", "EC"), ("EMC", "EMC")):
            text += f"  w_{name}: {{column: {column}, unit: '%'}}\n"
        (tmp_path / "map.yaml").write_text(text)
        (result,) = import_mapped(path, read_map(tmp_path / "map.yaml")).results
        assert result.fractions == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ("25,298.15,1 m LiPF6 in EC,,1", "temperature_K and temperature_C are both given"),
            ("25,,1 m LiPF6 in EC,0.5,1", "say the mixture once"),
            ("25,,1 M NaPF6 in EC,,1", "row 1: .*nothing is known of the volume of NaPF6"),
            (",,1 m LiPF6 in EC,,1", "temperature_K"),
        ],
        ids=["temperature", "mixture", "density", "none"],
    )
    def test_what_is_said_twice_or_not_at_all(self, capabilities, write, row, words):
        header = "temperature_C,temperature_K,electrolyte,x_EC,conductivity_S_per_m\n"
        with pytest.raises(InputError, match=words):
            import_file(write("odd.csv", row + "\n", header=header), "conductivity")


class TestWritten:
    def test_excel_of_germany(self, capabilities, tmp_path):
        text = (HEADER + FIRST).replace(",", ";").replace(".", ",")
        for name, encoding in (("utf8", "utf-8-sig"), ("utf16", "utf-16")):
            (tmp_path / name).write_bytes(text.encode(encoding))
            (result,) = import_file(tmp_path / name, "conductivity").results
            assert result.value == pytest.approx(0.81)
            assert result.base.attributes.get("temperature") == 298.15
        assert n_results() == 1

    def test_the_map_says_how_the_table_is_written(self, capabilities, tmp_path):
        (tmp_path / "map.yaml").write_text(MAP + 'decimal: ","\nencoding: cp1252\n')
        (tmp_path / "table.csv").write_bytes("T;sigma;salt;EC;°\n25,0;9,3;0,08;0,3;x\n".encode("cp1252"))
        (result,) = import_mapped(tmp_path / "table.csv", read_map(tmp_path / "map.yaml")).results
        assert (result.value, result.base.attributes.get("temperature")) == (pytest.approx(0.93), 298.15)

    def test_repeated_values_have_the_unit_of_the_map(self, capabilities, mapped):
        path, table_map = mapped
        path.write_text('T;sigma;salt;EC\n25;"9.3;9.5";0.08;0.3\n')
        assert import_mapped(path, table_map).results[0].value == pytest.approx(0.94)

    def test_a_comma_in_a_number_shifts_nothing(self, capabilities, write, count_nodes):
        before = count_nodes()
        with pytest.raises(InputError, match="row 1 has 6 cells, but the header names 5"):
            import_file(write("shift.csv", "303,15,0.45,0.47,0.08,\n"), "conductivity")
        assert count_nodes() == before
