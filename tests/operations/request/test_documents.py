"""What is said of documents that people hand in."""

from __future__ import annotations

import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.operations.request.documents import read_answer, read_request, tell_unused


def test_settings_that_nobody_reads_are_named() -> None:
    """A model in the settings of a client says nothing: the client answers by itself."""
    offers = [{"quantity": "lifetimeCurve", "method": "lifetime_generator", "settings": {"model": "x", "lease_s": 60}}]
    (words,) = tell_unused("external", offers)
    assert words.startswith("model in the settings of lifetimeCurve/lifetime_generator is read for no tenant that is")
    assert "--kind internal" in words
    assert not tell_unused("internal", offers)
    assert not tell_unused("external", [{**offers[0], "settings": {"lease_s": 60}}])


@pytest.mark.usefixtures("capabilities")
@pytest.mark.parametrize(
    ("key", "words"),
    [("simulate", "did you mean simulated"), ("measured_at", "is in 'data'"), ("parameter", "did you mean parameters")],
)
def test_keys_of_an_answer_that_nobody_reads_are_refused(key: str, words: str) -> None:
    """A simulated number whose label is misspelt would stand there as a measured one."""
    parameters = {"formulation": {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}, "temperature": 298.15}
    request = read_request({"quantity": "conductivity", "parameters": {"two_electrode": parameters}})
    answer = {"method": "two_electrode", "parameters": parameters, "data": {}}
    published = {"result": {**answer, "method": ["two_electrode"], "quantity": "conductivity", "tenant_uuid": "x"}}
    assert read_answer({**answer, "simulated": True}, request)["simulated"]
    assert not read_answer({"uuid": "1", "ctime": "", "status": "original", **published}, request)["simulated"]
    with pytest.raises(InputError, match=words):
        read_answer({**answer, key: True}, request)
