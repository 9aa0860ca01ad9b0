"""The page of a package that says what one must know before using the data."""

from __future__ import annotations

from pathlib import Path

import yaml

from aiida_finales.fair.package.archive import TYPES, Archive, Node
from aiida_finales.fair.package.datasheet import count_things, write_datasheet
from aiida_finales.fair.package.metadata import metadata_template, parse_metadata


def write(*models: dict) -> str:
    nodes = tuple(
        Node(str(number), TYPES["lifetime_model"], "", "", "2026-01-01", "2026-01-01", attributes, {}, {})
        for number, attributes in enumerate(models)
    )
    archive = Archive(Path("campaign.aiida"), {}, nodes, (), (), ())
    metadata = parse_metadata(yaml.safe_load(metadata_template("lives")))
    return write_datasheet("lives", metadata, archive, count_things(archive), is_open=False)


def test_whose_cells_a_model_learned_from_is_named_once():
    matr = "matr, CC-BY-4.0, 10.1038/s41560-019-0356-8"
    models = [{"training": {"data": {"licences": [matr]}}}, {"training": {"data": {"licences": [matr, "hust, MIT"]}}}]
    lines = write(*models).splitlines()
    start = lines.index("Models of lifetimes learned from cells of others:")
    assert lines[start + 1 :] == ["", "- hust, MIT", f"- {matr}"]


def test_cells_of_ones_own_are_of_nobody_else():
    assert "cells of others" not in write({"training": {"data": {"description": "own"}}}, {})
