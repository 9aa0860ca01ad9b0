"""The node of a trained model."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.common.exceptions import ValidationError
from aiida.plugins import DataFactory

from aiida_finales.data.lifetime_model import LifetimeModelData
from aiida_finales.science.lifetime.gp import train_gp
from aiida_finales.science.lifetime.model import CellRecord, EndOfLifeRule, Task, predict

TASK = Task(EndOfLifeRule(0.8, 2.0, 1), window=20, inputs=("slope",), covariates=(), first_cycle=2)


@pytest.fixture(scope="module")
def model():
    curves = [2.0 - rate * np.arange(120) for rate in np.linspace(0.004, 0.012, 12)]
    return train_gp([CellRecord(str(i), curve, {}, TASK.rule.find(curve, 2)) for i, curve in enumerate(curves)], TASK)


def test_entry_point() -> None:
    assert DataFactory("finales.lifetime_model") is LifetimeModelData


def test_through_the_database(registered, model) -> None:
    node = LifetimeModelData(model, {"data": {"description": "lines"}}, simulated=True).store()
    loaded = orm.load_node(node.pk)
    assert (loaded.method, loaded.is_simulated) == ("gp", True)
    assert loaded.end_of_life_rule == {"threshold": 0.8, "reference_Ah": 2.0, "persistence": 1}
    assert [loaded.base.attributes.get(key) for key in ("first_cycle", "window", "needs")] == [2, 20, []]
    assert loaded.training == {"data": {"description": "lines"}}
    assert loaded.validation == pytest.approx(dict(model.validation))
    capacities = 2.0 - 0.006 * np.arange(19)
    assert predict(loaded.load(), capacities) == predict(model, capacities)
    # the fade is exactly straight: 1.6 Ah is passed after 66.7 steps from cycle 2
    assert predict(loaded.load(), capacities).end_of_life == pytest.approx(69, abs=2)


def test_only_with_a_model(registered) -> None:
    node = orm.SinglefileData.from_string("x")
    node.__class__ = LifetimeModelData
    with pytest.raises(ValidationError, match=r"is made by LifetimeModelData\(model"):
        node._validate()
