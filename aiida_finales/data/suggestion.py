"""A suggestion: what the optimiser proposes next, with the reasons."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_finales.data.nodes import Stored


class SuggestionData(orm.Data):
    """The next composition to ask for and everything that led to it; immutable.

    :param document: the optimiser's suggestion as JSON: point, prediction, acquisition, training data, model, versions.
    :param question: what the optimiser was asked, as JSON: enough to ask it again.
    """

    document = Stored(dict, "The optimiser's suggestion.")
    question = Stored(dict, "What the optimiser was asked.")
    source_name = Stored(str, "The source that is to be asked.")
    step = Stored(int, "Number of the suggestion within its campaign, from 0.")

    def __init__(self, document: dict[str, Any], question: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.base.attributes.set_many(
            {
                "source_name": document["source"],
                "step": int(document["step"]),
                "document": document,
                "question": question,
            }
        )

    def _validate(self) -> bool:
        super()._validate()
        if not isinstance(self.base.attributes.get("document", None), dict):
            raise ValidationError("a suggestion is made by SuggestionData(document, question)")
        return True
