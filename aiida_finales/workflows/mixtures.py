"""Several mixtures that one potential learns: how their steps are named, and what they must have in common."""

from __future__ import annotations

import re
from typing import Any

from aiida import orm
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_finales.calculations.potential import check_others
from aiida_finales.potential.input import check_input

#: stands in the name of a step before the name of the mixture that it is about; that of the inputs has none
OF = "_of_"
#: of the mixture of the inputs ``parameters``, ``data`` and ``validation``
FIRST = ""
#: what two mixtures must have in common to be learned together
COMMON = ("cutoff_nm", "ion_charge_scale", "model", "reference")


def define_others(spec: WorkChainSpec) -> None:
    """Declare the inputs of a work chain for mixtures beside the first one."""
    spec.input_namespace(
        "others",
        valid_type=orm.Dict,
        dynamic=True,
        required=False,
        validator=check_others,
        help="inputs of the program for other mixtures that the same potential learns, each by a name",
    )
    for name, words in (("data", "to learn and to start from"), ("validation", "to test with")):
        spec.input_namespace(
            f"others_{name}",
            valid_type=orm.SinglefileData,
            dynamic=True,
            required=False,
            help=f"labelled frames of these mixtures {words}, by the same names",
        )


def name_step(step: str, mixture: str) -> str:
    """Return the name of a step about a mixture."""
    return f"{step}{OF}{mixture}" if mixture else step


def mixture_of(name: str) -> str:
    """Return the mixture that a step of this name is about."""
    return name.partition(OF)[2]


def share_out(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what steps found by mixture, then by their names."""
    shared: dict[str, dict[str, Any]] = {}
    for name, item in found.items():
        shared.setdefault(mixture_of(name), {})[name] = item
    return shared


def check_mixtures(inputs: Any) -> str | None:
    """Return why several mixtures cannot be learned together, or ``None``."""
    others = dict(inputs.get("others") or {})
    for name in others:
        if re.fullmatch(r"[a-z][a-z0-9]*", name) is None:
            return f"others has the name {name!r}, but accepted are small letters and digits, a letter first"
    for kind in ("others_data", "others_validation"):
        given = set(inputs.get(kind) or {})
        if given != set(others):
            words, wanted = (", ".join(sorted(names)) or "none" for names in (given, others))
            return f"{kind} has {words}, but accepted are the names of others: {wanted}"
    if "parameters" not in inputs:
        return None  # which is said elsewhere
    first = check_input(inputs["parameters"].get_dict())
    for name, node in others.items():
        other = check_input(node.get_dict())
        for key in COMMON:
            if getattr(other, key) != getattr(first, key):
                return f"others.{name} has another {key} than parameters, but accepted is the same for all mixtures"
    return None
