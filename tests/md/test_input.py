"""What the input file may say."""

from __future__ import annotations

import pytest

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.input import check_input, read_input


def test_what_is_not_said_has_the_published_protocol(document):
    for name in ("protocol", "engine", "platform", "n_molecules"):
        del document[name]
    given = check_input(document)
    protocol = given.protocol
    assert (protocol.nvt_ps, protocol.npt_ps, protocol.production_ps) == (200, 200, 2500)
    assert (protocol.timestep_fs, protocol.frame_ps, given.ion_charge_scale) == (2, 1, 0.8)
    assert (given.engine, given.platform, given.cell_index) == ("auto", "auto", 0)


def test_an_input_survives_being_written_and_read(document):
    given = check_input(document)
    assert check_input(given.model_dump(mode="json", by_alias=True)) == given


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature_K": 3000}, r"temperature_K: 3000 was given, accepted is a number from 150 to 800"),
        ({"temperature_K": None}, r"temperature_K"),
        ({"schema": "finales-md/2"}, r"schema: 'finales-md/2' was given, accepted is 'finales-md/1'"),
        ({"formulation": []}, r"formulation"),
        ({"engine": "lammps"}, r"engine: 'lammps' was given, accepted is 'auto' or 'openmm' or 'gromacs'"),
        ({"engine": "gromacs", "platform": "CUDA"}, "engine gromacs, platform CUDA.* accepted is platform auto or CPU"),
        ({"platform": "cuda"}, r"platform: 'cuda' was given, accepted is 'auto' or 'CPU' or 'CUDA'"),
        ({"ion_charge_scale": 1.5}, r"ion_charge_scale: 1.5 was given"),
        ({"n_molecules": 0}, r"n_molecules: 0 was given"),
        ({"protocol": {"timestep_fs": 4}}, r"protocol.timestep_fs: 4 was given, accepted is a number from 0.1 to 2"),
        ({"protocol": {"friction_per_ps": 1}}, r"protocol.friction_per_ps: 1 was given"),
        ({"protocol": {"production_ps": 1}}, "accepted is a production of at least two frames"),
        ({"protocol": {"steps": 5}}, r"protocol.steps"),
        (
            {"formulation": [{"smiles": "C1COC(=O)O1", "mole_fraction": 0.5}]},
            "that sum to 0.5.* accepted is mole fractions that sum to 1",
        ),
        ({"formulation": [{"smiles": "C1COC(=O)O1"}]}, r"formulation\[0\].mole_fraction"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_is_wrong_is_named_with_what_is_accepted(document, change, message):
    with pytest.raises(SimulationInputError, match=message):
        check_input(document | change, "given.json")


def test_a_file_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "given.json").write_text("{")
    with pytest.raises(SimulationInputError, match="cannot be read as JSON"):
        read_input(tmp_path / "given.json")
