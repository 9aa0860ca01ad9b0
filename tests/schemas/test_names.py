"""What people call things is a file name everywhere."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.names import LONGEST_NAME, canonical_fraction_type, check_name, file_stem


@pytest.mark.parametrize(
    "name", ["ocond", "ocond-2", "EC EMC 28 °C", "run_1.b", "Läufer", "電解液", "_x", "a" * LONGEST_NAME]
)
def test_names_in_any_alphabet(name):
    assert check_name(name) == name
    assert file_stem(name) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("EC/EMC", "it has '/'"),
        ("a\\b", "it has '\\\\'"),
        ("a\tb", "it has '\\t'"),
        ("a\nb", "it has '\\n'"),
        ("a\0b", "it has '\\x00'"),
        ("a\u202eb", "it has '\\u202e'"),
        ("a:b", "it has ':'"),
        ("", "it is empty"),
        ("   ", "it is empty"),
        ("..", "it begins with '.'"),
        (".hidden", "it begins with '.'"),
        ("-dash", "it begins with '-'"),
        (" x", "it begins with ' '"),
        ("x ", "it ends with ' '"),
        ("x.", "it ends with '.'"),
        ("a" * 300, "it has 300 characters"),
        ("nul", "is a device on some systems"),
        ("COM1.txt", "is a device on some systems"),
        (None, "it is no text"),
        (7, "it is no text"),
    ],
)
def test_other_names_are_refused_with_the_reason(name, words):
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        check_name(name, "name of a campaign")
    assert len(str(caught.value)) < 300


@given(st.text())
def test_the_stem_of_any_name_is_a_name(name):
    assert check_name(file_stem(name)) == file_stem(name)
    assert "/" not in file_stem(name)


@pytest.mark.parametrize(
    "word", ["molPerMol", "molar fraction", "mol/mol", "MolPerMol", "molar_fraction", " mole fraction"]
)
def test_every_word_for_a_mole_fraction_is_understood(word):
    assert canonical_fraction_type(word) == "molPerMol"


@pytest.mark.parametrize("word", ["massPerMass", "volume fraction", "", "%"])
def test_other_fractions_are_not_taken_for_mole_fractions(word):
    assert canonical_fraction_type(word) is None
