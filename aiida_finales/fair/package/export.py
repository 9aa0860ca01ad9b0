"""From a campaign to a package that can be cited: one folder and the same as a zip.

Everything but the figures is made of the archive in the package, so that it can be made again from it and compared. A
package is made in a hidden folder and renamed at the end: an interrupted export leaves nothing that looks finished, and
the next one goes on where it was.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from aiida_finales import __version__
from aiida_finales.data.campaign import CampaignGroup, find_campaign_process
from aiida_finales.data.lookup import find_node
from aiida_finales.exceptions import CampaignFileError, InputError, MissingExtraError, StatusError
from aiida_finales.fair.graph.selection import campaign_pks
from aiida_finales.fair.package import checksums, chemicals, crate, datasheet
from aiida_finales.fair.package.archive import Archive, read_archive
from aiida_finales.fair.package.confidential import find_withheld, fingerprints, numbers_in
from aiida_finales.fair.package.copy import copy_nodes
from aiida_finales.fair.package.draft import Draft, describe_group, find_ended, fingerprint_of, open_draft, tell_state
from aiida_finales.fair.package.files import (
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
from aiida_finales.fair.package.metadata import Metadata
from aiida_finales.fair.package.openness import find_closed, find_own, has_marks
from aiida_finales.fair.package.privacy import Finding, demand_privacy, look_for_private
from aiida_finales.fair.package.raw_files import write_raw_files
from aiida_finales.fair.package.rewrite import Changes, rewrite_archive
from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.campaign.reading import read_overview
from aiida_finales.operations.campaign.report import write_report
from aiida_finales.schemas import Json
from aiida_finales.schemas.access import Openness
from aiida_finales.schemas.names import file_stem
from aiida_finales.schemas.words import count

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
    counts: Json
    findings: list[Finding] = field(default_factory=list)


def export_campaign(
    name: str, metadata: Metadata, output: Path, wishes: Wishes | None = None, say: Say = lambda _: None
) -> Package:
    """Write the package of a campaign as ``<output>/<name>`` and ``<output>/<name>.zip``.

    :param output: folder; it is created where it is absent.
    :param say: told which step begins.
    :raises InputError: when something private would leave, the campaign is less open than the package, or a package of
        that name is there already.
    :raises UnknownNodeError: when there is no such campaign.
    """
    group, wishes = CampaignGroup.find(name), wishes or Wishes()
    wishes = _withhold_closed(group, metadata, wishes)
    say("looks for the nodes of the campaign")
    pks = find_ended(campaign_pks(group))
    stem = file_stem(name)
    folder, bundle = output / stem, output / f"{stem}.zip"
    about = (__version__, metadata.to_dict(), asdict(wishes), describe_group(group), tell_state(pks))
    with open_draft(output / f".{stem}.part", fingerprint_of(*about)) as draft:
        present = [path for path in (folder, bundle) if path.exists()]
        if present and not draft.is_placing:
            raise InputError(f"{present[0]} is there already: remove it, or choose another folder with --output")
        if draft.steps:
            say(f"goes on with what an interrupted export has made: {', '.join(draft.steps)}")
        told = draft.once("package", lambda: _Export(group, metadata, wishes, say, draft).write(pks))
        draft.place(bundle, folder)
    return Package(folder, bundle, told["counts"], [Finding(**item) for item in told["findings"]])


def _withhold_closed(group: CampaignGroup, metadata: Metadata, wishes: Wishes) -> Wishes:
    """Return wishes by which nothing of campaigns leaves that are less open than the package.

    :raises InputError: when the campaign itself is.
    """
    closed = find_closed(metadata.openness, metadata.embargo_until)
    if group.pk in closed:
        access = group.access
        until = f" until {access.embargo}" if access.embargo and access.openness is Openness.PUBLIC else ""
        raise InputError(
            f"campaign {group.label!r} is {access.openness_on()}{until}, but the package would be {metadata.openness}: "
            "set 'openness' or 'embargo_until' in the metadata, or change who may read it with "
            f"'aiida-finales campaign access {group.label}'"
        )
    return replace(wishes, confidential=wishes.confidential | find_own(closed))


class _Export:
    """One export; its steps in order."""

    def __init__(self, group: CampaignGroup, metadata: Metadata, wishes: Wishes, say: Say, draft: Draft) -> None:
        self.group, self.metadata, self.wishes, self.say, self.draft = group, metadata, wishes, say, draft
        self.folder = draft.folder / file_stem(group.label)
        self.folder.mkdir(exist_ok=True)

    def write(self, pks: set[int]) -> Json:
        """Write folder and zip into the draft; return counts and what was private."""
        whole, bundle = self.draft.folder / "whole.aiida", self.draft.folder / f"{self.folder.name}.zip"
        self._once("copy", f"copies {count(len(pks), 'node')}", lambda: copy_nodes(pks, whole))
        found = self._once("archive", "writes the archive", lambda: self._write_archive(whole))
        whole.unlink(missing_ok=True)
        archive = read_archive(self.folder / ARCHIVE)
        self._once("derived", "writes tables, graph and FINALES files", lambda: self._write_derived(archive))
        owners = self._once("raw", "writes raw data", lambda: write_raw_files(archive, self.folder))
        self._once("figures", "draws figures", lambda: self._write_figures(archive))
        counts = self._once(
            "pages", "describes the files", lambda: self._describe(archive, owners, set(found["secrets"]))
        )
        self._once("zip", "writes the zip", lambda: write_zip(self.folder, bundle))
        return {"counts": counts, "findings": found["findings"]}

    def _once(self, step: str, words: str, function: Callable[[], Any]) -> Any:
        if step not in self.draft.steps:
            self.say(words)
        return self.draft.once(step, function)

    def _write_archive(self, whole: Path) -> Json:
        """Write the archive without what must not leave; refuse where something private is found."""
        group, secrets, source = describe_group(self.group), set[str](), whole
        with tempfile.TemporaryDirectory(dir=self.draft.folder) as place:
            if self.wishes.confidential or has_marks():
                everything = read_archive(whole)
                withheld = find_withheld(everything, self.metadata.openness, self.wishes.confidential)
                secrets, source = fingerprints(everything, withheld), Path(place) / ARCHIVE
                rewrite_archive(whole, source, Changes(withheld=frozenset(withheld), is_final=False))
            privacy = look_for_private(source)
            privacy.look(json.dumps(group), "the campaign's group")
            findings = privacy.findings
            demand_privacy(findings, is_accepted=self.wishes.accept_privacy, is_scrubbed=self.wishes.scrub)
            changes = Changes(privacy.scrub if self.wishes.scrub else None, group=group)
            rewrite_archive(source, self.folder / ARCHIVE, changes)
        return {"secrets": sorted(secrets), "findings": [asdict(item) for item in findings]}

    def _write_derived(self, archive: Archive) -> None:
        write_file(self.folder, chemicals.FILE, to_json(chemicals.describe_chemicals(archive)))
        with chemicals.know_chemicals(self.folder):
            for path, text in derived_files(archive, self.metadata.people).items():
                write_file(self.folder, path, text)

    def _write_figures(self, archive: Archive) -> None:
        try:
            overview = read_overview(self.group)
        except CampaignFileError:
            return  # a campaign whose process has not begun has nothing to show
        try:
            draw_figures(_without_withheld(overview, archive), self.folder / PLOTS, self.wishes.picture)
        except (StatusError, MissingExtraError) as error:
            self.say(f"draws no figures: {error}")

    def _describe(self, archive: Archive, owners: dict[str, str], secrets: set[str]) -> Json:
        """Write what tells of the other files, from the data sheet to the checksums; return the counts."""
        for name in (crate.FILE, checksums.FILE):  # of an interrupted attempt: neither describes itself
            (self.folder / name).unlink(missing_ok=True)
        counts = datasheet.count_things(archive)
        with chemicals.know_chemicals(self.folder):
            self._write_pages(archive, counts, is_open=not is_ended(self.group))
            crate.write_crate(crate.Contents(self.folder, self.group.label, self.metadata, archive, owners))
        self._demand_secrecy(archive, secrets)
        checksums.write_checksums(self.folder)
        return counts

    def _write_pages(self, archive: Archive, counts: Json, *, is_open: bool) -> None:
        name = self.group.label
        counted = {"campaign": name, "snapshot": is_open, "counts": counts, "written_by": __version__}
        document = {**self.metadata.to_dict(), **counted}
        write_file(self.folder, METADATA, to_json(document))
        write_file(self.folder, CITATION, datasheet.write_citation(self.metadata))
        sheet = datasheet.write_datasheet(name, self.metadata, archive, counts, is_open=is_open)
        write_file(self.folder, DATASHEET, sheet)
        present = {path.name for path in self.folder.iterdir()} | {README, crate.FILE, checksums.FILE}
        write_file(self.folder, README, datasheet.write_readme(name, self.metadata, counts, present))

    def _demand_secrecy(self, archive: Archive, secrets: set[str]) -> None:
        """Refuse when the number of a withheld result is found anywhere."""
        for place, text in all_texts(self.folder, archive) if secrets else ():
            told = numbers_in(text) & secrets
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
    return replace(overview, evaluations=kept, forecasts=(), recommendation=None, front=None)


def find_uuids(identifiers: Iterable[str]) -> frozenset[str]:
    """Return the UUIDs of nodes given by pk, UUID or the beginning of a UUID.

    :raises UnknownNodeError: when there is no such node.
    """
    return frozenset(find_node(identifier).uuid for identifier in identifiers)
