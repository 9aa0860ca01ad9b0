"""Results after they were published."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.common import LinkType

from aiida_finales.broker.results import (
    DOUBTFUL,
    amend_result,
    delete_result,
    find_result,
    is_usable,
    list_results,
)
from aiida_finales.broker.state import read_history, read_state
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.exceptions import InputError, UnknownNodeError

DOCUMENT = {"source": "robot", "step": 0, "x": [0.1, 0.9]}


def calculate(inputs, outputs):
    """Store a calculation that made outputs of inputs."""
    node = orm.CalculationNode()
    for number, item in enumerate(inputs):
        node.base.links.add_incoming(item, LinkType.INPUT_CALC, f"input_{number}")
    node.store()
    for number, item in enumerate(outputs):
        item.base.links.add_incoming(node, LinkType.CREATE, f"output_{number}")
        item.store()
    return outputs


def doubt(node):
    return orm.load_node(node.pk).base.extras.get(DOUBTFUL, None)


@pytest.fixture
def lineage(registered, make_result, make_request):
    """A result, the suggestion that learned from it, the request made of that, and the measurement of that."""
    first = make_result().store()
    suggestion, request = calculate([first], [SuggestionData(DOCUMENT, {}), make_request()])
    (measured,) = calculate([request], [make_result(request_uuid=request.uuid)])
    (derived,) = calculate([first], [make_result(value=0.5)])
    (further,) = calculate([derived], [make_result(value=0.25)])
    return first, suggestion, measured, derived, further


def test_deleting_marks_what_was_derived_but_not_what_was_merely_suggested(lineage):
    first, suggestion, measured, derived, further = lineage
    delete_result(first.pk, "alice", "the bottle was mixed up")
    for node in (suggestion, derived, further):
        assert "became deleted: the bottle was mixed up" in doubt(node)
    assert doubt(measured) is None
    assert doubt(first) is None
    state = read_state(first.pk)
    assert (state["status"], state["reason"]) == ("deleted", "the bottle was mixed up")
    assert not is_usable(state)


def test_replacing_marks_and_a_remark_does_not(lineage, make_result):
    first, suggestion, *_ = lineage
    amend_result(first.pk, "alice", "the bottle was number 3")
    assert is_usable(read_state(first.pk))
    assert doubt(suggestion) is None
    better = make_result(value=0.91).store()
    amend_result(first.pk, "alice", "calibrated again", replacement=better)
    assert read_state(first.pk)["replacement"] == better.uuid
    assert not is_usable(read_state(first.pk))
    assert "calibrated again" in doubt(suggestion)
    assert [entry.after for entry in read_history(first.pk)] == ["amended", "amended"]


@pytest.mark.parametrize("why", ["", "  "])
def test_a_reason_is_demanded(registered, make_result, why):
    result = make_result().store()
    with pytest.raises(InputError, match="becomes deleted for a reason: none was given"):
        delete_result(result.pk, "alice", why)
    assert read_state(result.pk)["status"] == "original"


def test_listing_and_finding(registered, make_result):
    robot, model = make_result().store(), make_result("empirical_model").store()
    found = list_results("conductivity", ("empirical_model",))
    assert found[-1][0].uuid == model.uuid
    assert found[-1][1] == {"serial": 0, "status": "original"}
    assert [node.uuid for node, _ in list_results(limit=2)] == [robot.uuid, model.uuid]
    assert list_results("viscosity") == []
    assert find_result(str(robot.pk)).uuid == find_result(robot.uuid[:13]).uuid == robot.uuid
    with pytest.raises(UnknownNodeError, match="no result 'nonsense'"):
        find_result("nonsense")
