"""Bodies that are broken in all sorts of ways: each is refused with a reason, and nothing of it is stored."""

from __future__ import annotations

import copy
import json
import random

import pytest

OF_NO_FIELD = [None, 3, True, 2.5, [], {}, [[]], {"a": 1}]
WRONG_WORDS = ["", "zzz", "'; DROP TABLE db_dbnode; --", "../../etc/passwd", "x" * 5000, "\x00", "\ud800"]
#: numbers that JSON has not, or that no database keeps
WRONG_NUMBERS = [float("nan"), float("inf"), 10**30]


def lose_a_field(chance, body):
    del body[chance.choice(list(body))]
    return json.dumps(body)


def give_another_kind(chance, body):
    name = chance.choice(list(body))
    kinds = [value for value in OF_NO_FIELD if type(value) is not type(body[name])]
    body[name] = chance.choice(kinds)
    return json.dumps(body)


def ask_for_what_is_not_known(chance, body):
    body["quantity"] = chance.choice(WRONG_WORDS)
    return json.dumps(body)


def break_the_parameters(chance, body):
    parameters = body["parameters"]["two_electrode"]
    component = chance.choice(parameters["formulation"])
    chance.choice(
        [
            lambda: parameters.pop("formulation"),
            lambda: parameters.update(formulation=chance.choice([None, [], {}, "EC", 1])),
            lambda: parameters.update(temperature=chance.choice(["hot", [], {}, -1.0, 0.0])),
            lambda: component.pop(chance.choice(["chemical", "fraction", "fraction_type"])),
            lambda: component.update(fraction=chance.choice(["much", None, -0.1, 1.1, []])),
            lambda: component.update(chemical=chance.choice([None, "EC", {}, {"SMILES": 3}])),
            lambda: parameters.update(more=chance.choice(WRONG_NUMBERS)),
        ]
    )()
    return json.dumps(body)


def nest_deeply(chance, body):
    body["parameters"]["two_electrode"]["more"] = json.loads("[" * 200 + "]" * 200)
    return json.dumps(body)


def cut_off(chance, body):
    text = json.dumps(body)
    return text[: chance.randrange(len(text))]


def change_bytes(chance, _):
    return bytes(chance.randrange(128, 256) for _ in range(chance.randrange(1, 200)))


def give_no_document(chance, body):
    return json.dumps(chance.choice([None, [], [body], 3, "text", True, {}]))


def rename_the_method(chance, body):
    name = chance.choice(WRONG_WORDS)
    body["parameters"] = {name: body["parameters"]["two_electrode"]}
    return json.dumps(body)


FAULTS = [
    lose_a_field,
    give_another_kind,
    ask_for_what_is_not_known,
    break_the_parameters,
    nest_deeply,
    cut_off,
    change_bytes,
    give_no_document,
    rename_the_method,
]


@pytest.mark.parametrize("number", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_malformed_bodies_leave_nothing(sovereign, posted, request_body, result_body, count_nodes, number):
    chance = random.Random(number)
    bodies = [
        ("/requests/", request_body()),
        ("/results/", result_body(posted)),
        ("/results/post_unsolicited_result", result_body(posted)),
    ]

    def look():
        return count_nodes(), sovereign.get("/all_requests/").text, sovereign.get("/results_requested/").text

    before = look()
    for _ in range(number):
        path, body = chance.choice(bodies)
        fault = chance.choice(FAULTS)
        content = fault(chance, copy.deepcopy(body))
        reply = sovereign.post(path, content=content, headers={"Content-Type": "application/json"})
        assert 400 <= reply.status_code < 500, (path, fault.__name__, content, reply.text)
        assert reply.json()["detail"], (path, fault.__name__)
    assert look() == before
