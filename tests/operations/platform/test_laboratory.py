"""A simulated laboratory beside a real one, and what its devices know."""

from __future__ import annotations

import subprocess
import sys

from aiida_finales.broker.registration import switch_tenant
from aiida_finales.data.cells import PROFILE, add_parts, check_parts
from aiida_finales.data.chemicals import ADDED_CHEMICALS, check_chemicals
from aiida_finales.lab.simulated.laboratory import FILE_NAME, read_laboratory
from aiida_finales.operations.platform.laboratory import _complete, tell_twins

#: what a simulated device is handed, and no real one
SIMULATED = {"settings": {"code": "finales-asab@here", "driver": {"inventory": "/somewhere"}}}


def test_a_simulated_twin_of_a_real_tenant_is_named(desk, add_offer):
    add_offer("asab-simulated", kind="internal", **SIMULATED)
    assert tell_twins() == []
    add_offer("book", "literature")
    assert tell_twins() == []
    add_offer("robot")
    (words,) = tell_twins()
    assert words.startswith("asab-simulated, which is simulated, offers conductivity/two_electrode as robot does")
    assert "aiida-finales tenant deactivate asab-simulated" in words
    assert (tell_twins("robot"), tell_twins("asab-simulated"), tell_twins("book")) == ([words], [words], [])
    switch_tenant("asab-simulated", is_active=False)
    assert tell_twins() == []


FILE = """
name: ours
stock_solutions:
  FB: {fractions}
offers: {{electrolyte: {{}}}}
cells: {{positive: [NFPP], negative: [hard carbon], separators: [our felt], formats: [our flange]}}
"""
#: what a device does with the file, which knows no profile
LOOK = """
import sys
from aiida_finales.lab.simulated.laboratory import find_laboratory
from aiida_finales.schemas.cells import find_electrode, find_format, find_separator
found = find_laboratory(sys.argv[1])
print(found.cells.positive, found.cells.separators, found.cells.formats, find_electrode("NFPP").known)
print(find_electrode("hard carbon").known["practical_capacity"], *(each.name for each in found.chemicals))
assert "aiida" not in sys.modules
"""


def test_devices_know_what_the_profile_knows(own_parts, own_chemicals, tmp_path):
    said = {"source": "a bench", "status": "measured"}
    nfpp = {
        "name": "NFPP",
        "polarity": "positive",
        "working_ions": ["Na"],
        "practical_capacity": {"value": 110, **said},
    }
    hard = {"name": "hard carbon", "practical_capacity": {"value": 321, **said}}
    formats = [{"name": "our flange", "design": "coin"}]
    sections = {"electrodes": [nfpp, hard], "separators": [{"name": "our felt"}], "cell_formats": formats}
    add_parts(check_parts(sections, PROFILE))
    fluorobenzene = {"name": "FB", "smiles": "Fc1ccccc1", "inchikey": "PYLWMHQQBFSUBP-UHFFFAOYSA-N", "formula": "C6H5F"}
    ADDED_CHEMICALS.add(check_chemicals([fluorobenzene], PROFILE))
    file = tmp_path / "ours.yaml"
    file.write_text(FILE.format(fractions="{mol_per_L: {FB: 4.0, DME: 5.5}, density: 0.9}"))
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / FILE_NAME).write_text(_complete(read_laboratory(file)).text)
    command = [sys.executable, "-c", LOOK, str(tmp_path / "inventory")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.stdout.splitlines() == [
        "('NFPP',) ('our felt',) ('our flange',) {'practical_capacity': 110.0}",
        "321.0 FB",
    ], told.stderr
