"""The parsers of drivers, by the name of their entry point."""

from __future__ import annotations

from aiida.plugins import ParserFactory

from aiida_finales.lab.driver.evaluation import EVALUATIONS

PARSERS = {
    "finales.two_electrode": "two_electrode",
    "finales.density": "vibrating_tube_densimetry",
    "finales.viscosity": "rolling_ball_viscometry",
    "finales.electrolyte": "flow",
    "finales.transport": "transport_service",
    "finales.cell_assembly": "autobass_assembly",
    "finales.cycling_channel": "service",
    "finales.cycling": "cycling",
}


def test_every_parser_has_its_row():
    assert {name: ParserFactory(name).method for name in PARSERS} == PARSERS
    assert {method for _, method in EVALUATIONS} == set(PARSERS.values())
