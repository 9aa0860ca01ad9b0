"""A trained model of the lifetime of battery cells, with what it was trained on and how good it is."""

from __future__ import annotations

import io
from typing import Any

from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_finales.data.nodes import Stored
from aiida_finales.science.lifetime.methods import load_model
from aiida_finales.science.lifetime.model import Describable
from aiida_finales.science.lifetime.score import is_skilled

FILENAME = "lifetime_model.npz"


class LifetimeModelData(orm.SinglefileData):
    """A model as an ``.npz`` archive; immutable.

    :param model: the trained model.
    :param training: ``data`` (uuid, description, sha256, group, number of cells), ``settings``, ``seed``,
        ``versions`` of the packages, ``hardware`` (processor, threads), ``seconds``.
    :param simulated: whether it was trained on simulated cells.
    """

    method = Stored(str, "``gp``, ``lstm``, ``lifetime_generator`` or ``capacity_fade``.")
    is_simulated = Stored(bool, "Whether it was trained on simulated cells.", key="simulated")
    training = Stored(dict, "What it was trained on, with what.")
    validation = Stored(
        dict, "How good it is on protocols left out of training: number of cells, MAPE (%), RMSE (cycles)."
    )
    end_of_life_rule = Stored(
        dict, "When life ends: threshold, reference (Ah; ``None``: the first cycle), persistence."
    )

    def __init__(self, model: Describable, training: dict[str, Any], *, simulated: bool, **kwargs: Any) -> None:
        super().__init__(io.BytesIO(model.to_bytes()), FILENAME, **kwargs)
        self.base.attributes.set_many({**model.describe(), "training": training, "simulated": simulated})

    def _validate(self) -> bool:
        super()._validate()
        if not self.base.attributes.get("method", None):
            raise ValidationError(
                "a model of the lifetime is made by LifetimeModelData(model, training, simulated=...)"
            )
        return True

    def load(self) -> Any:
        """Return the model, ready to predict."""
        return load_model(self.get_content("rb"))

    @property
    def is_skilled(self) -> bool:
        """Whether it tells more than a constant does."""
        return is_skilled(self.validation)
