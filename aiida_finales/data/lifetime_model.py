"""A trained model of the lifetime of battery cells, with what it was trained on and how good it is."""

from __future__ import annotations

import io
from typing import Any

from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_finales.science.lifetime.methods import load_model
from aiida_finales.science.lifetime.model import LifetimeModel
from aiida_finales.science.lifetime.score import is_skilled

FILENAME = "lifetime_model.npz"


class LifetimeModelData(orm.SinglefileData):
    """A model as an ``.npz`` archive; immutable.

    :param model: the trained model.
    :param training: ``data`` (uuid, description, sha256, group, number of cells), ``settings``, ``seed``,
        ``versions`` of the packages, ``hardware`` (processor, threads), ``seconds``.
    :param simulated: whether it was trained on simulated cells.
    """

    def __init__(self, model: LifetimeModel, training: dict[str, Any], *, simulated: bool, **kwargs: Any) -> None:
        super().__init__(io.BytesIO(model.to_bytes()), FILENAME, **kwargs)
        rule = model.task.rule
        self.base.attributes.set_many(
            {
                "method": model.method,
                "end_of_life_rule": {
                    "threshold": rule.threshold,
                    "reference_Ah": rule.reference,
                    "persistence": rule.persistence,
                },
                "first_cycle": model.task.first_cycle,
                "window": model.task.window,
                "horizon": model.horizon,
                "needs": list(model.needs),
                "domain": model.domain.ranges(),
                "validation": dict(model.validation),
                "training": training,
                "simulated": simulated,
            }
        )

    def _validate(self) -> bool:
        super()._validate()
        if not self.base.attributes.get("method", None):
            raise ValidationError(
                "a model of the lifetime is made by LifetimeModelData(model, training, simulated=...)"
            )
        return True

    def load(self) -> LifetimeModel:
        """Return the model, ready to predict."""
        return load_model(self.get_content("rb"))

    @property
    def method(self) -> str:
        """``gp`` or ``lstm``."""
        return str(self.base.attributes.get("method"))

    @property
    def is_simulated(self) -> bool:
        """Whether it was trained on simulated cells."""
        return bool(self.base.attributes.get("simulated"))

    @property
    def training(self) -> dict[str, Any]:
        """What it was trained on, with what."""
        return dict(self.base.attributes.get("training"))

    @property
    def validation(self) -> dict[str, float]:
        """How good it is on protocols left out of the training: number of cells, MAPE (%), RMSE (cycles)."""
        return dict(self.base.attributes.get("validation"))

    @property
    def is_skilled(self) -> bool:
        """Whether it tells more than a constant does."""
        return is_skilled(self.validation)

    @property
    def end_of_life_rule(self) -> dict[str, Any]:
        """What counts as the end of life: threshold, reference (Ah; ``None``: the first cycle), persistence."""
        return dict(self.base.attributes.get("end_of_life_rule"))
