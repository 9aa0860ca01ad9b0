"""Dynamics by a stored potential as a tenant: offered within its domain, refused outside, rated by its true error."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.broker.registration import add_tenant
from aiida_finales.calculations.learned_dynamics import AB_INITIO, LEARNED, describe_forces, finish_data
from aiida_finales.calculations.potential import make_frames_trajectory
from aiida_finales.data.potential import PotentialData
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import tell_forces
from aiida_finales.exceptions import FinalesError, ForceFieldError, InputError, SimulationInputError, UnknownNodeError
from aiida_finales.md.species import Library, digest_terms
from aiida_finales.operations.platform.learned_dynamics import Dynamics, open_frames, setup_learned_dynamics
from aiida_finales.operations.potential.records import describe_potential, list_potentials
from aiida_finales.potential.frames import fingerprint, read_frames, write_frames
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.schemas.limitations.offer import Offer, check
from aiida_finales.workflows.learned_dynamics import LearnedDynamicsWorkChain, prepare_learned_dynamics
from tests.potential.conftest import HELD_OUT, MISSING, exchange_cation, make_document

SMALL = Path(__file__).parents[1] / "potential" / "small"
SHARES = {"EC": 0.33333, "EMC": 0.55556, "NaPF6": 0.11111}
#: ps; two cells of some hundred steps
SHORT = {"ps": 0.1, "npt_ps": 0.02, "frame_ps": 0.01, "timestep_fs": 1.0, "n_checked": 1}
NEEDS_MLP = pytest.mark.skipif(bool(MISSING), reason=f"the extra mlp is not installed: {', '.join(MISSING)}")
OFFERED = ["conductivity", "density", "self_diffusion_coefficient", "coordination_number", "radial_density_function"]


@pytest.fixture
def offer(desk, aiida_localhost, tmp_path):
    """Return a function that registers dynamics of the stored potential, or of its reference, as a tenant."""
    aiida_localhost.set_minimum_job_poll_interval(0.0)
    script = tmp_path / "finales-mlp"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m aiida_finales.potential.command "$@" --threads 1\n')
    script.chmod(0o755)
    usual = tmp_path / "start.xyz"
    usual.write_bytes(gzip.decompress(HELD_OUT.read_bytes()))

    def register(potential: str | None = str(SMALL), changes=None, start=usual, **overrides):
        given = tmp_path / "given.json"
        given.write_text(json.dumps(make_document(**(changes or {}))))
        offered = Dynamics(given, start, potential)
        return setup_learned_dynamics(aiida_localhost.label, offered, program=str(script), overrides=overrides)

    return register


def make_parameters(shares=SHARES, temperature=330.0):
    return {"formulation": make_formulation(shares), "temperature": temperature}


def test_a_potential_is_offered_for_what_it_learned_and_nothing_else(offer):
    tenant = offer()
    assert [item["quantity"] for item in tenant.offers] == OFFERED
    for document in tenant.offers:
        within = Offer.from_dict(document)
        assert check(within, make_parameters()) == []
        assert check(within, make_parameters(temperature=345.0)) == []
        assert check(within, make_parameters(temperature=360.0)) != []
        assert check(within, make_parameters({"EC": 0.3, "EMC": 0.5, "NaPF6": 0.2})) != []
        assert check(within, make_parameters({"EC": 0.33333, "EMC": 0.55556, "LiPF6": 0.11111})) != []
    assert isinstance(prepare(tenant, "density")[1]["potential"], PotentialData)


def test_the_reference_method_is_offered_for_structure_only(offer):
    tenant = offer(None)
    assert [(item["quantity"], item["method"]) for item in tenant.offers] == [
        ("coordination_number", AB_INITIO),
        ("radial_density_function", AB_INITIO),
    ]
    assert "potential" not in prepare(tenant, "coordination_number", AB_INITIO)[1]


def test_without_dynamics_at_constant_pressure_no_density_is_offered(offer):
    tenant = offer(protocol={"npt_ps": 0.0})
    assert "density" not in [item["quantity"] for item in tenant.offers]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"potential": "nowhere"}, "a folder with potential.json, or the PK or UUID"),
        ({"n_cells": 7}, "holds 6 frames, but n_cells is 7"),
        ({"n_walks": 7}, "settings n_walks are unknown"),
        ({"protocol": {"timestep_fs": 7}}, "run.timestep_fs: 7 was given, accepted is a number from 0.1 to 1"),
        ({"protocol": {"timestepfs": 1}}, "run.timestepfs: 1 was given, accepted is one of the keys ps, timestep_fs"),
        ({"protocol": {"ps": 0.5}}, "5 frames are too few for a fit window of 0.1 to 0.5: needed are 14; a longer run"),
        ({"potential": None, "protocol": {"ps": 0.5}}, "ps 0.5, dropped_ps 1' was given, accepted is ps above"),
    ],
)
def test_what_does_not_belong_together_is_refused(offer, given, words):
    with pytest.raises(FinalesError, match=words):
        offer(**given)


def loosen(frame):
    other = frame.copy()
    other.set_cell(other.cell * 1.05)
    return other


@NEEDS_MLP
@pytest.mark.parametrize(
    ("change", "potential", "words"),
    [
        (exchange_cation, str(SMALL), "frame 0: C29H52F6LiO24P was given; accepted are the 113 atoms of the input"),
        (exchange_cation, None, "frame 0: C29H52F6LiO24P was given"),
        (loosen, str(SMALL), "frame 0: a density of 1.00. g/cm³ was given, the potential's domain is 1.102 to 1.236"),
    ],
    ids=["of another salt", "of another salt, for the reference", "too thin"],
)
def test_frames_to_start_from_are_of_the_liquid(offer, tmp_path, change, potential, words):
    write_frames(tmp_path / "others.xyz", [change(frame) for frame in read_frames(HELD_OUT)])
    with pytest.raises(SimulationInputError, match=f"others.xyz, {words}"):
        offer(potential, start=tmp_path / "others.xyz")


def test_frames_may_be_compressed_and_must_be_text(offer, tmp_path):
    assert offer(start=HELD_OUT).is_active
    for name, accepted in (("frames.xyz", "extended XYZ"), ("frames.xyz.gz", "extended XYZ, compressed by gzip")):
        (tmp_path / name).write_bytes(b"\xff\xfe113")
        with pytest.raises(InputError, match=f"{name} cannot be read: .* accepted is {accepted}$"):
            offer(start=tmp_path / name)


@NEEDS_MLP
def test_structures_and_trajectories_are_frames_to_start_from(offer, tmp_path):
    frames = read_frames(HELD_OUT)
    single = orm.StructureData(ase=frames[0]).store()
    write_frames(tmp_path / "some.xyz", frames[1:4])
    trajectory = make_frames_trajectory(orm.SinglefileData(tmp_path / "some.xyz"))
    assert trajectory.get_step_structure(2).get_pymatgen().composition.formula == "Na1 P1 H52 C29 O24 F6"
    with open_frames([str(single.pk), trajectory.uuid]) as path:
        read = read_frames(path)
        assert [fingerprint(frame) for frame in read] == [fingerprint(frame) for frame in frames[:4]]
        assert offer(start=path, n_cells=4).is_active
    with open_frames([str(HELD_OUT)]) as path:
        assert path == HELD_OUT


def test_frames_that_are_none_are_refused(desk):
    number = orm.Int(3).store()
    with (
        pytest.raises(UnknownNodeError, match=r"no frames 'none.xyz': accepted is a file in extended XYZ"),
        open_frames(["none.xyz"]),
    ):
        pass
    with pytest.raises(SimulationInputError, match=r"Int <[0-9]+> was given"), open_frames([str(number.pk)]):
        pass
    loose = orm.TrajectoryData()
    loose.set_trajectory(symbols=["Na"], positions=np.zeros((1, 1, 3)), pbc=(False, False, False))
    with pytest.raises(SimulationInputError, match="has no cells"), open_frames([str(loose.store().pk)]):
        pass


@NEEDS_MLP
def test_what_would_end_each_run_is_told_at_once(offer, tmp_path):
    with pytest.raises(SimulationInputError, match="temperature_K: 400 was given, the potential's domain is 310"):
        offer(changes={"temperature_K": 400.0})
    words = json.loads((SMALL / "potential.json").read_text())
    words["baseline"]["species_sha256"]["EC"] = "0" * 64
    shutil.copytree(SMALL, tmp_path / "other")
    (tmp_path / "other" / "potential.json").write_text(json.dumps(words))
    with pytest.raises(ForceFieldError, match=r"EC .*: the potential learned what is missing in the force fields of"):
        offer(str(tmp_path / "other"))


def test_another_reference_than_the_potential_learned_is_refused_where_it_would_label(offer, tmp_path):
    other = {"reference": {"method": "GFN2-xTB"}}
    with pytest.raises(InputError, match="GFN2-xTB was given, but the potential learned GFN1-xTB"):
        offer(changes=other)
    assert offer(changes=other, protocol={"n_checked": 0}).is_active
    name = "ase.calculators.lj.LennardJones"
    shutil.copytree(SMALL, tmp_path / "other")
    words = json.loads((SMALL / "potential.json").read_text()) | {"reference": f"{name}(sigma=3.0)"}
    (tmp_path / "other" / "potential.json").write_text(json.dumps(words))
    for sigma, is_same in ((3.0, True), (2.0, False)):
        changes = {"reference": {"method": "ase", "calculator": name, "options": {"sigma": sigma}}}
        expected = nullcontext() if is_same else pytest.raises(InputError, match=r"sigma=2.0\) was given, but the pot")
        with expected:
            offer(str(tmp_path / "other"), changes=changes)


def test_a_potential_is_not_offered_as_the_reference_itself(offer):
    with pytest.raises(InputError, match="teacher was given, a potential itself: offer it by --potential here"):
        offer(None, changes={"reference": {"method": "teacher", "path": "here"}})


def test_two_mixtures_of_the_same_chemicals_are_two_tenants(offer, tmp_path):
    shutil.copytree(SMALL, tmp_path / "both")
    words = json.loads((SMALL / "potential.json").read_text())
    shares = zip(words["domain"]["formulation"], (0.3, 0.6, 0.1), strict=True)
    thin = [part | {"mole_fraction": share} for part, share in shares]
    words["domain"]["others"] = [thin]
    (tmp_path / "both" / "potential.json").write_text(json.dumps(words))
    first, second = (offer(str(tmp_path / "both"), changes) for changes in ({}, {"formulation": thin}))
    assert second.name == f"{first.name}-2"
    again = offer(n_cells=2)
    assert (again.name, again.tenant_uuid, again.version) == (first.name, first.tenant_uuid, 2)
    assert second.is_active


def test_another_mixture_than_the_potential_learned_is_refused(offer):
    with pytest.raises(InputError, match="holds for that only"):
        offer(changes={"salt": "LiPF6"})


@NEEDS_MLP
def test_a_potential_of_several_mixtures_is_offered_for_each(offer, tmp_path):
    folder = tmp_path / "both"
    shutil.copytree(SMALL, folder)
    words = json.loads((folder / "potential.json").read_text())
    words["domain"]["others"] = [make_document("LiPF6")["formulation"]]
    own = {key: words["domain"][key] for key in ("temperature_K", "density_g_cm3")}
    words["domain"]["states"] = [own, own | {"temperature_K": [390.0, 390.0]}]
    words["domain"]["temperature_K"] = [330.0, 390.0]
    words["elements"].append("Li")
    words["baseline"]["species_sha256"]["Li"] = digest_terms([Library().get("Li")])
    (folder / "potential.json").write_text(json.dumps(words))
    write_frames(tmp_path / "lithium.xyz", [exchange_cation(frame) for frame in read_frames(HELD_OUT)])
    tenants = [
        offer(str(folder), {"salt": salt, "temperature_K": heat}, start)
        for salt, heat, start in (("NaPF6", 330, HELD_OUT), ("LiPF6", 390, tmp_path / "lithium.xyz"))
    ]
    assert [tenant.name.split("-")[3] for tenant in tenants] == ["NaPF6", "LiPF6"]
    lithium = Offer.from_dict(tenants[1].offers[0])
    shares = {"EC": 0.33333, "EMC": 0.55556, "LiPF6": 0.11111}
    assert check(lithium, make_parameters(shares, temperature=390.0)) == []
    # where only the other one was learned
    assert check(lithium, make_parameters(shares)) != []
    assert check(lithium, make_parameters()) != []
    (row,) = (describe_potential(node) for node in list_potentials())
    assert row["mixture"] == "EC 0.3333, EMC 0.5556, NaPF6 0.1111; EC 0.3333, EMC 0.5556, LiPF6 0.1111"


def test_what_is_outside_is_refused_whatever_the_limitations_of_the_tenant(offer):
    settings = offer().find_offer("density", LEARNED)["settings"]
    document = {"quantity": "density", "method": LEARNED, "limitations": {}, "settings": settings}
    tenant = add_tenant("generous", [document], kind="internal")
    request = RequestData("density", {LEARNED: make_parameters(temperature=400.0)}, "tester").store()
    with pytest.raises(InputError, match=r"temperature is 400 K, but machine_learned_dynamics accepts"):
        prepare_learned_dynamics(LEARNED, request, tenant, settings)


def test_settings_that_cannot_work_are_refused(desk):
    offer = {"quantity": "density", "method": LEARNED, "limitations": {}, "settings": {"code": "finales-mlp@cluster"}}
    with pytest.raises(InputError, match="parameters, start, potential is missing; 'aiida-finales tenant"):
        add_tenant("half", [offer], kind="internal")


def prepare(tenant, quantity, method=LEARNED):
    request = RequestData(quantity, {method: make_parameters()}, "tester").store()
    return prepare_learned_dynamics(method, request, tenant, tenant.find_offer(quantity, method)["settings"])


def test_what_was_distrusted_at_once_is_no_cell(offer, tmp_path):
    tenant = offer(n_cells=1)
    document = {"exit_status": 50, "message": "npt ended after 3 fs by spread"}
    leave = f"mkdir -p work && echo '{json.dumps(document)}' > work/error.json"
    (tmp_path / "finales-mlp").write_text(f"#!/bin/sh\n{leave}\nexit 50\n")
    process, inputs = prepare(tenant, "density")
    _, node = run_get_node(process, **inputs)
    assert node.exit_status == LearnedDynamicsWorkChain.exit_codes.ERROR_TOO_FEW_CELLS.status
    assert "not to be trusted: npt ended after 3 fs by spread" in node.exit_message


def forces(**changes):
    told = {"statement": "GFN1-xTB, not DFT", "ps": 5.0, "ended_by": "end", "distrust": None, "has_density": True}
    return told | {"held_out": {"forces_meV_A": 80.0}, "true_error": {"forces_meV_A": 90.0}} | changes


@pytest.mark.parametrize(
    ("changes", "largest", "words"),
    [
        ({}, 5, "90 meV/Å"),
        ({"held_out": {"forces_meV_A": 150.0}}, 3, "150 meV/Å"),
        ({"true_error": {"forces_meV_A": 400.0}}, 2, "400 meV/Å"),
        ({"true_error": {}}, 2, "nobody knows: protocol.n_checked is 0"),
        ({"true_error": {"forces_meV_A": 90.0, "failed": 2}}, 2, "nobody knows: the reference had no answer for 4 "),
        ({"distrust": "trusted for 1 of 5 ps"}, 1, "trusted for 1 of 5 ps"),
    ],
    ids=["good", "held-out frames", "visited frames", "not labelled again", "not all labelled again", "distrusted"],
)
def test_a_result_is_rated_no_better_than_its_forces(changes, largest, words):
    found = describe_forces([forces(**changes)] * 2, LEARNED)
    assert found["largest_rating"] == largest
    assert words in found["rated_for"]
    data = {"conductivity": {"meta": {"rating": 4}}, "density": {"meta": {"rating": 5}}, "viscosity": {}}
    finish_data(data, [{"forces": forces(**changes)}], LEARNED, "conductivity")
    assert (data["conductivity"]["meta"]["rating"], data["density"]["meta"]["rating"]) == (min(4, largest), largest)
    assert "viscosity" not in data
    assert tell_forces(data) == f"GFN1-xTB, not DFT: {data['forces']['rated_for']}"


def test_results_of_others_say_nothing_of_forces():
    assert not tell_forces({"conductivity": {"values": [1.0]}})


def test_a_density_of_the_start_is_no_density(registered):
    with pytest.raises(InputError, match="volume was that of the start"):
        finish_data({"density": {}}, [{"forces": forces(has_density=False)}], LEARNED, "density")


@pytest.mark.potential
@pytest.mark.timeout(900)
@NEEDS_MLP
def test_one_run_of_the_real_program_answers_several_requests(offer):
    """Two cells of the stored potential, whose last frames GFN1-xTB labels; the second request simulates nothing."""
    tenant = offer(n_cells=2, protocol=SHORT, fit_window=[0.1, 0.9])
    process, inputs = prepare(tenant, "coordination_number")
    outputs, node = run_get_node(process, **inputs)
    assert node.exit_status == 0, node.exit_message
    result = outputs["result"]
    assert result.data["forces"]["statement"] == "GFN1-xTB (tblite 0.8.0), not DFT"
    assert [item["n_frames"] for item in result.data["forces"]["true_error"]] == [1, 1]
    assert result.rating <= result.data["forces"]["largest_rating"] <= 2
    partners = result.data["coordination_number"]["by_partner"]
    assert {"Na-O(EC)", "Na-O(EMC)"} & set(partners)

    process, inputs = prepare(tenant, "density")
    outputs, other = run_get_node(process, **inputs)
    assert other.exit_status == 0, other.exit_message
    density = outputs["result"].data["density"]["values"]
    assert len(density) == 2
    assert all(1.1 < value < 1.3 for value in density)
    assert outputs["result"].data["simulation"]["run"] == result.data["simulation"]["run"]
    assert not [child for child in other.called if "cell" in child.process_type]
