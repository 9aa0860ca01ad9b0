"""What a suggestion learned from is found again, whether it has links to all of it or to what is new."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.common import LinkType

from aiida_finales.broker.results import DOUBTFUL, delete_result
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.training_set import (
    TrainingSetData,
    count_results,
    digest_of,
    find_learners,
    find_training,
    follow,
    load_members,
    read_members,
)

DOCUMENT = {"source": "robot", "step": 0, "x": [0.1, 0.9]}


def learn(*results, previous=None, removed=(), told_nothing=(), has_set=True):
    """Store a suggestion and return its calculation; without a set it has links to all, as it once was."""
    node = orm.CalculationNode()
    if previous is not None:
        node.base.links.add_incoming(find_training(previous), LinkType.INPUT_CALC, "previous")
    for item in results:
        node.base.links.add_incoming(item, LinkType.INPUT_CALC, f"results__result_{item.pk}")
    for item in told_nothing:
        node.base.links.add_incoming(item, LinkType.INPUT_CALC, f"told_nothing__request_{item.pk}")
    node.store()
    known = set(read_members(previous)) if previous is not None else set()
    members = (known - {item.uuid for item in removed}) | {item.uuid for item in (*results, *told_nothing)}
    suggestion = SuggestionData(DOCUMENT, {})
    suggestion.base.links.add_incoming(node, LinkType.CREATE, "suggestion")
    suggestion.store()
    if has_set:
        n_results = len(members) - len(told_nothing)
        training = TrainingSetData(
            [{"uuid": item.uuid} for item in results], [item.uuid for item in removed], members, n_results
        )
        training.base.links.add_incoming(node, LinkType.CREATE, "training")
        training.store()
    return node


def uuids(*nodes):
    return {node.uuid for node in nodes}


@pytest.fixture
def results(registered, make_result):
    return [make_result(value=0.1 * number + 0.5).store() for number in range(5)]


def test_a_set_has_what_those_before_it_added(results):
    first = learn(*results[:2])
    second = learn(results[2], previous=first)
    third = learn(previous=second)
    assert set(read_members(first)) == uuids(*results[:2])
    assert set(read_members(second)) == set(read_members(third)) == uuids(*results[:3])
    assert [count_results(node) for node in (first, second, third)] == [2, 3, 3]
    assert find_training(third).digest == digest_of(read_members(third))
    assert third.base.links.get_incoming().all_link_labels() == ["previous"]


def test_what_was_taken_out_is_out_until_it_is_added_again(results):
    first = learn(*results[:2])
    second = learn(results[2], previous=first, removed=results[:1])
    third = learn(results[0], previous=second)
    assert set(read_members(second)) == uuids(*results[1:3])
    assert set(read_members(third)) == uuids(*results[:3])
    assert find_learners(results[0].pk, results[0].uuid) == [first.pk, third.pk]
    assert find_learners(results[1].pk, results[1].uuid) == [first.pk, second.pk, third.pk]


def test_two_may_go_on_from_one_set(results):
    first = learn(results[0])
    one, other = learn(results[1], previous=first), learn(results[2], previous=first, removed=[results[0]])
    last = learn(results[3], previous=one)
    told = {calculation: set(members) for calculation, members in follow([last.pk, other.pk])}
    pks = [node.pk for node in results]
    assert told == {
        first.pk: {pks[0]},
        one.pk: {pks[0], pks[1]},
        other.pk: {pks[2]},
        last.pk: {pks[0], pks[1], pks[3]},
    }


def test_a_suggestion_with_links_to_all_is_read_as_before(results):
    node = learn(*results[:3], has_set=False)
    assert find_training(node) is None
    assert set(read_members(node)) == uuids(*results[:3])
    assert count_results(node) == 3
    assert find_learners(results[0].pk, results[0].uuid) == [node.pk]


def test_requests_that_told_nothing_are_members_and_no_results(results, make_request):
    request = make_request().store()
    first = learn(*results[:2], told_nothing=[request])
    second = learn(results[2], previous=first)
    found, asked = load_members(read_members(second).values())
    assert (uuids(*found), uuids(*asked)) == (uuids(*results[:3]), {request.uuid})
    assert find_training(first).n_results == 2


def test_a_deleted_result_makes_doubtful_what_learned_from_it_by_a_set(results):
    first = learn(*results[:2])
    second = learn(results[2], previous=first)
    third = learn(results[3], previous=second, removed=[results[0]])
    delete_result(results[0].pk, "alice", "the bottle was mixed up")
    doubts = [
        orm.load_node(node.outputs.suggestion.pk).base.extras.get(DOUBTFUL, "") for node in (first, second, third)
    ]
    assert ["mixed up" in words for words in doubts] == [True, True, False]


def test_a_chain_is_followed_to_its_beginning(results):
    first = node = learn(results[0])
    for _ in range(20):
        node = learn(previous=node)
    assert set(read_members(first)) == set(read_members(node)) == {results[0].uuid}
    assert len(find_learners(results[0].pk, results[0].uuid)) == len(list(follow([node.pk]))) == 21


def test_a_set_is_made_of_rows():
    node = TrainingSetData.__new__(TrainingSetData)
    super(TrainingSetData, node).__init__()
    with pytest.raises(Exception, match="a training set is made by TrainingSetData"):
        node.store()
