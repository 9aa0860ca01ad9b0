"""From a campaign to a package that can be cited: one folder and the same as a zip.

Everything but the figures is made of the archive in the package, so that it can be made again from it and compared. A
package is written into a folder of its own and renamed at the end: what is interrupted leaves nothing half done.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.exceptions import MultipleObjectsError, NotExistent

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.exceptions import CampaignFileError, InputError, MissingExtraError, StatusError, UnknownNodeError
from aiida_finales.fair import checksums, crate, datasheet
from aiida_finales.fair.confidential import find_withheld, fingerprints, numbers_in
from aiida_finales.fair.metadata import Metadata
from aiida_finales.fair.openness import has_marks
from aiida_finales.fair.package_archive import Archive, read_archive
from aiida_finales.fair.package_files import (
    ARCHIVE,
    CITATION,
    DATASHEET,
    METADATA,
    PLOTS,
    README,
    all_texts,
    derived_files,
    to_json,
    write_file,
    write_zip,
)
from aiida_finales.fair.package_rewrite import Changes, rewrite_archive
from aiida_finales.fair.package_snapshot import describe_group, write_snapshot
from aiida_finales.fair.privacy import Finding
from aiida_finales.fair.privacy_check import demand_privacy, look_for_private
from aiida_finales.fair.raw_files import write_raw_files
from aiida_finales.fair.selection import campaign_pks
from aiida_finales.operations.overview import Overview, read_overview
from aiida_finales.operations.report import write_report
from aiida_finales.workflows.campaign import find_campaign_process

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wishes:
    """How a package is to be made.

    :param scrub: replace what is private.
    :param accept_privacy: leave what is private as it is.
    :param confidential: UUIDs of nodes that count as confidential for this package.
    :param picture: ``png`` or ``svg``.
    """

    scrub: bool = False
    accept_privacy: bool = False
    confidential: frozenset[str] = frozenset()
    picture: str = "png"


@dataclass(frozen=True)
class Package:
    """A finished package.

    :param counts: as in ``metadata.json``.
    :param findings: what was private, and has been replaced or accepted.
    """

    folder: Path
    zip: Path
    counts: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)


def export_campaign(
    name: str, metadata: Metadata, output: Path, wishes: Wishes | None = None, say: Say = lambda _: None
) -> Package:
    """Write the package of a campaign as ``<output>/<name>`` and ``<output>/<name>.zip``.

    :param output: folder; it is created where it is absent.
    :param say: told which step begins.
    :raises InputError: when something private would leave, or a package of that name is there already.
    :raises UnknownNodeError: when there is no such campaign.
    """
    group = CampaignGroup.find(name)
    folder, bundle = output / name, output / f"{name}.zip"
    present = [path for path in (folder, bundle) if path.exists()]
    if present:
        raise InputError(f"{present[0]} is there already: remove it, or choose another folder with --output")
    is_new = not output.exists()
    draft = output / f".{name}.part"
    shutil.rmtree(draft, ignore_errors=True)  # what an interrupted export left
    (draft / name).mkdir(parents=True)
    try:
        counts, findings = _Export(group, metadata, wishes or Wishes(), say, draft / name).write()
        say("writes the zip")
        write_zip(draft / name, draft / bundle.name)
        (draft / bundle.name).replace(bundle)
        (draft / name).replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if is_new and not any(output.iterdir()):
            output.rmdir()
    return Package(folder, bundle, counts, findings)


class _Export:
    """One export; its steps in order."""

    def __init__(self, group: CampaignGroup, metadata: Metadata, wishes: Wishes, say: Say, folder: Path) -> None:
        self.group, self.metadata, self.wishes, self.say, self.folder = group, metadata, wishes, say, folder
        self.secrets: set[str] = set()
        self.findings: list[Finding] = []

    def write(self) -> tuple[dict[str, Any], list[Finding]]:
        """Write everything into the folder; return counts and what was private."""
        self.say("looks for the nodes of the campaign")
        pks = campaign_pks(self.group)
        self.say(f"writes the archive of {len(pks)} nodes and what they were made from")
        archive = self._write_archive(pks)
        self.say("writes tables, graph and FINALES files")
        for path, text in derived_files(archive, self.metadata.people).items():
            write_file(self.folder, path, text)
        self.say("writes raw data")
        owners = write_raw_files(archive, self.folder)
        self.say("draws figures")
        self._write_figures(archive)
        self.say("describes the files")
        counts = datasheet.count_things(archive)
        self._write_pages(archive, counts, is_open=not is_ended(self.group))
        crate.write_crate(crate.Contents(self.folder, self.group.label, self.metadata, archive, owners))
        self._demand_secrecy(archive)
        checksums.write_checksums(self.folder)
        return counts, self.findings

    def _write_archive(self, pks: set[int]) -> Archive:
        """Write the archive without what must not leave; refuse where something private is found."""
        whole, path = self.folder.parent / "whole.aiida", self.folder / ARCHIVE
        write_snapshot(pks, whole)
        group = describe_group(self.group)
        if self.wishes.confidential or has_marks():
            known = self.folder.parent / "known.aiida"
            rewrite_archive(whole, known, Changes(withheld=self._withhold(whole), is_final=False))
            known.replace(whole)
        privacy = look_for_private(whole)
        privacy.look(json.dumps(group), "the campaign's group")
        self.findings = privacy.findings
        demand_privacy(self.findings, is_accepted=self.wishes.accept_privacy, is_scrubbed=self.wishes.scrub)
        rewrite_archive(whole, path, Changes(privacy.scrub if self.wishes.scrub else None, group=group))
        whole.unlink()
        return read_archive(path)

    def _withhold(self, whole: Path) -> frozenset[str]:
        """Return what must not leave; keep the numbers that would give it away."""
        archive = read_archive(whole)
        withheld = find_withheld(archive, self.metadata.openness, self.wishes.confidential)
        self.secrets = fingerprints(archive, withheld)
        return frozenset(withheld)

    def _write_figures(self, archive: Archive) -> None:
        try:
            overview = read_overview(self.group)
        except CampaignFileError:
            return  # a campaign whose process has not begun has nothing to show
        try:
            draw_figures(_without_withheld(overview, archive), self.folder / PLOTS, self.wishes.picture)
        except (StatusError, MissingExtraError) as error:
            self.say(f"draws no figures: {error}")

    def _write_pages(self, archive: Archive, counts: dict[str, Any], *, is_open: bool) -> None:
        name = self.group.label
        document = {**self.metadata.to_dict(), "campaign": name, "snapshot": is_open, "counts": counts}
        write_file(self.folder, METADATA, to_json(document))
        write_file(self.folder, CITATION, datasheet.write_citation(self.metadata))
        sheet = datasheet.write_datasheet(name, self.metadata, archive, counts, is_open=is_open)
        write_file(self.folder, DATASHEET, sheet)
        present = {path.name for path in self.folder.iterdir()} | {README, crate.FILE, checksums.FILE}
        write_file(self.folder, README, datasheet.write_readme(name, self.metadata, counts, present))

    def _demand_secrecy(self, archive: Archive) -> None:
        """Refuse when the number of a withheld result is found anywhere."""
        for place, text in all_texts(self.folder, archive) if self.secrets else ():
            told = numbers_in(text) & self.secrets
            if told:
                raise InputError(
                    f"{place} has {min(told)}, a number of a confidential result: nothing was written. Mark what tells "
                    "it as confidential, too (extra finales_openness), or choose another openness"
                )


def is_ended(group: CampaignGroup) -> bool:
    """Return whether the process of a campaign has ended; one without process cannot go on."""
    try:
        return bool(find_campaign_process(group).is_terminated)
    except CampaignFileError:
        return True


def draw_figures(overview: Overview, folder: Path, picture: str) -> None:
    """Write the figures of a campaign, without dates.

    :raises MissingExtraError: when matplotlib is not installed.
    :raises StatusError: when there is no result that counts.
    """
    if not any(item.is_used and item.value is not None for item in overview.evaluations):
        raise StatusError("there is no result that counts")
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")  # matplotlib writes no other date into an SVG
    for path in write_report(overview, folder, picture):
        if path.suffix == ".csv":
            path.unlink()  # the same numbers are in the tables, with their units


def _without_withheld(overview: Overview, archive: Archive) -> Overview:
    """Return an overview without the results that are withheld, and without what was learned from them."""
    shown = {node.uuid for node in archive.nodes if not node.is_withheld}
    kept = tuple(item for item in overview.evaluations if item.uuid in shown)
    if len(kept) == len(overview.evaluations):
        return overview
    kept = tuple(replace(item, expected=None) for item in kept)
    return replace(overview, evaluations=kept, forecasts=(), recommendation=None)


def find_uuids(identifiers: Iterable[str]) -> frozenset[str]:
    """Return the UUIDs of nodes given by pk, UUID or the beginning of a UUID.

    :raises UnknownNodeError: when there is no such node.
    """
    found = set()
    for identifier in identifiers:
        try:
            found.add(orm.load_node(identifier=identifier).uuid)
        except (NotExistent, MultipleObjectsError, ValueError) as error:
            raise UnknownNodeError(f"no node {identifier!r}: {error}") from error
    return frozenset(found)
