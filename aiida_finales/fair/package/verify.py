"""Find what is missing, changed or cut off in a package; needs the package alone, no profile.

The archive is taken at its word and everything else is made of it again: each number of the tables is compared with the
archive, the graph, the FINALES files and the crate. The archive itself is held by the checksums, by the keys of its
files, which are their SHA-256, and by what every result must be linked to.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

from aiida_finales import __version__
from aiida_finales.exceptions import InputError
from aiida_finales.fair.package import checksums, crate, datasheet
from aiida_finales.fair.package.archive import REPOSITORY, TYPES, Archive, read_archive
from aiida_finales.fair.package.chemicals import know_chemicals
from aiida_finales.fair.package.container import DAMAGES, copy_member, file_names, open_zip, unpack
from aiida_finales.fair.package.files import ARCHIVE, CITATION, DATASHEET, GRAPH, METADATA, README, derived_files
from aiida_finales.fair.package.graph import CAMPAIGN
from aiida_finales.fair.package.metadata import Metadata, parse_metadata
from aiida_finales.fair.package.raw_files import list_raw_files

#: keys of metadata.json that are not the author's
_COUNTED = ("campaign", "snapshot", "counts", "written_by")
#: what no package is without
_NEEDED = (ARCHIVE, GRAPH, METADATA, README, DATASHEET, CITATION, crate.FILE, checksums.FILE)
#: defects of one file that are told; the rest is counted
_SHOWN = 5
_ACCEPTED = "which is a folder or a zip"


def verify_package(path: Path) -> list[str]:
    """Return in words what is wrong with a package, a folder or a zip; nothing when it is whole.

    :raises InputError: when it is no package at all.
    """
    foreign = [] if path.is_dir() else _find_foreign(path)
    if foreign:
        shown = [f"{name} is there, but not listed in {checksums.FILE}" for name in foreign[:_SHOWN]]
        rest = [f"{len(foreign) - _SHOWN} more files are not listed"] if len(foreign) > _SHOWN else []
        return [*shown, *rest, "nothing was unpacked: what else is wrong is not known"]
    with open_package(path) as folder:
        try:
            with know_chemicals(folder):
                return list(dict.fromkeys(_verify_folder(folder)))
        except InputError as error:
            return [str(error)]


def _verify_folder(folder: Path) -> list[str]:
    found = [f"{name} is missing" for name in _NEEDED if not (folder / name).is_file()]
    found += checksums.compare(folder)
    document = _read_json(folder / METADATA, found)
    archive = _try(lambda: read_archive(folder / ARCHIVE), found)
    metadata = _try(lambda: _metadata(document), found) if document is not None else None
    if archive is not None:
        found += _check_archive(archive)
        found += _check_chain(archive)
        found += _try(lambda: list(_check_raw(archive, folder)), found) or []
    made_again = []
    if archive is not None and metadata is not None:
        made_again = [*_check_derived(archive, metadata, folder), *_check_counts(archive, document)]
    described = _read_json(folder / crate.FILE, found)
    if described is not None:
        words = list(_check_crate(described, folder))
        if not words and archive is not None and metadata is not None:
            made_again += _check_entities(described, folder, archive, metadata)
        found += words
    if made_again and (writer := (document or {}).get("written_by")) and writer != __version__:
        found.append(
            f"what follows is compared with what aiida-finales {__version__} makes of {ARCHIVE}, but version {writer} "
            f"wrote the package: after 'pip install aiida-finales=={writer}', what was changed remains"
        )
    return found + made_again


@contextmanager
def open_package(path: Path, only: Collection[str] = ()) -> Iterator[Path]:
    """Give the folder of a package; a zip is unpacked for the time being.

    :param only: files of the package that are wanted; all of them when empty.
    :raises InputError: when it is neither, or a zip that is not unpacked: see
        :func:`~aiida_finales.fair.package.container.open_zip`.
    """
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="finales-package-") as place:
        with open_zip(path, f"package, {_ACCEPTED}") as bundle:
            top = _find_top(bundle, path)
            names = file_names(bundle)
            unpack(bundle, [f"{top}{name}" for name in only if f"{top}{name}" in names] if only else names, Path(place))
        yield Path(place) / top


def _find_top(bundle: zipfile.ZipFile, path: Path) -> str:
    """Return the folder in a zip that is the package, with its slash, from the list of names."""
    names = set(file_names(bundle))
    tops = ["", *sorted({f"{name.split('/')[0]}/" for name in names if "/" in name})]
    found = [top for top in tops if names & {f"{top}{ARCHIVE}", f"{top}{METADATA}"}]
    if not found:
        raise InputError(f"{path} is no package: it has neither {ARCHIVE} nor {METADATA}")
    return found[0]


def _find_foreign(path: Path) -> list[str]:
    """Return the files in a zip that its list of checksums does not name; nothing where there is no list."""
    with open_zip(path, f"package, {_ACCEPTED}") as bundle, tempfile.TemporaryDirectory() as place:
        top = _find_top(bundle, path)
        if f"{top}{checksums.FILE}" not in (names := file_names(bundle)):
            return []
        copy_member(bundle, f"{top}{checksums.FILE}", Path(place) / checksums.FILE)
        try:
            listed = {f"{top}{name}" for name in checksums.read_checksums(Path(place))}
        except InputError:
            return []  # told with everything else that is wrong
        return [name for name in names if name not in listed | {f"{top}{checksums.FILE}"}]


def _try(function: Callable[[], Any], found: list[str]) -> Any:
    try:
        return function()
    except InputError as error:
        found.append(str(error))
        return None


def _read_json(path: Path, found: list[str]) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        found.append(f"{path.name} cannot be read: {error}")
        return None


def _metadata(document: Any) -> Metadata:
    if not isinstance(document, dict):
        raise InputError(f"{METADATA} is no object")
    return parse_metadata({key: value for key, value in document.items() if key not in _COUNTED}, METADATA)


def _check_archive(archive: Archive) -> Iterator[str]:
    """Compare the files of an archive with the keys by which nodes know them."""
    used = {key for node in archive.nodes for key in node.files.values()}
    with zipfile.ZipFile(archive.path) as bundle:
        present = {name.removeprefix(REPOSITORY) for name in bundle.namelist() if name.startswith(REPOSITORY)} - {""}
        yield from (f"{ARCHIVE}: file {key} of a node is missing" for key in sorted(used - present))
        yield from (f"{ARCHIVE}: file {key} belongs to no node" for key in sorted(present - used))
        for key in sorted(used & present):
            if not _is_whole(bundle, key):
                yield f"{ARCHIVE}: file {key} was changed"


def _is_whole(bundle: zipfile.ZipFile, key: str) -> bool:
    """Say whether a file of an archive is what its key says; one that cannot even be unpacked is not."""
    try:
        with bundle.open(f"{REPOSITORY}{key}") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == key
    except DAMAGES:
        return False


def _check_chain(archive: Archive) -> Iterator[str]:
    """Find results, suggestions, training sets and samples of which nobody knows where they come from."""
    made = {TYPES[name] for name in ("result", "suggestion", "training_set")}
    for node in archive.nodes:
        if node.node_type in made and archive.creator_of(node) is None:
            yield f"{ARCHIVE}: {node.uuid} has no process that made it"
        request = node.attributes.get("request_uuid") if node.node_type == TYPES["result"] else None
        if request and request not in archive.by_uuid:
            yield f"{ARCHIVE}: result {node.uuid} answers request {request}, which is missing"
        if node.node_type == TYPES["result"] and node.attributes["capability"] not in archive.by_uuid:
            yield f"{ARCHIVE}: the capability of result {node.uuid} is missing"
        if node.is_process and not (archive.incoming.get(node.uuid) or archive.outgoing.get(node.uuid)):
            yield f"{ARCHIVE}: process {node.uuid} has lost its links"


def _check_raw(archive: Archive, folder: Path) -> Iterator[str]:
    for _, path, content in list_raw_files(archive):
        target = folder / path
        if not target.is_file():
            yield f"{path} is missing, but its node is in {ARCHIVE}"
        elif target.read_bytes() != content:
            yield f"{path} differs from its node in {ARCHIVE}"


def _check_derived(archive: Archive, metadata: Metadata, folder: Path) -> Iterator[str]:
    """Make again what is made of the archive, and compare."""
    for path, expected in derived_files(archive, metadata.people).items():
        target = folder / path
        if not target.is_file():
            yield f"{path} is missing"
            continue
        given = target.read_text(encoding="utf-8", errors="replace")
        if given != expected:
            words = list(_differences(path, given, expected))
            yield from words[:_SHOWN]
            if len(words) > _SHOWN:
                yield f"{path}: {len(words) - _SHOWN} more differences"


def _differences(path: str, given: str, expected: str) -> Iterator[str]:
    if path.endswith(".csv"):
        yield from _table_differences(path, given, expected)
    elif path == GRAPH:
        yield from _graph_differences(given, expected)
    else:
        pairs = zip_longest(given.splitlines(), expected.splitlines())
        number, (one, other) = next((number, pair) for number, pair in enumerate(pairs, start=1) if pair[0] != pair[1])
        yield f"{path} line {number}: has {_short(one)}, but {ARCHIVE} says {_short(other)}"


def _table_differences(path: str, given: str, expected: str) -> Iterator[str]:
    rows, right = list(csv.DictReader(io.StringIO(given))), list(csv.DictReader(io.StringIO(expected)))
    is_told = False
    for number, (row, other) in enumerate(zip_longest(rows, right), start=1):
        if row is None or other is None:
            words = "is missing" if row is None else "is too much"
            yield f"{path}: row {number} {words}: {next(iter((row or other or {}).values()), '')}"
            return
        for column in dict.fromkeys((*row, *other)):
            if row.get(column) != other.get(column):
                is_told = True
                yield (
                    f"{path} row {number}, {column}: has {_short(row.get(column))}, "
                    f"but {ARCHIVE} says {_short(other.get(column))}"
                )
    if not is_told:
        yield f"{path} is written otherwise than it was"


def _graph_differences(given: str, expected: str) -> Iterator[str]:
    try:
        mine = {item["@id"]: item for item in json.loads(given)["@graph"]}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        yield f"{GRAPH} cannot be understood: {error}"
        return
    right = {item["@id"]: item for item in json.loads(expected)["@graph"]}
    yield from (f"{GRAPH}: {iri} is missing" for iri in sorted(set(right) - set(mine)))
    yield from (f"{GRAPH}: {iri} is in no {ARCHIVE}" for iri in sorted(set(mine) - set(right)))
    for iri in sorted(set(mine) & set(right)):
        for key in dict.fromkeys((*mine[iri], *right[iri])):
            one, other = mine[iri].get(key), right[iri].get(key)
            if one != other:
                yield f"{GRAPH}: {key} of {iri} is {_short(one)}, but {ARCHIVE} says {_short(other)}"
    if mine == right:
        yield f"{GRAPH} is written otherwise than it was"


def _short(value: Any) -> str:
    words = json.dumps(value, ensure_ascii=False)
    return words if len(words) <= 80 else f"{words[:77]}..."  # noqa: PLR2004 - characters that fit a line


def _check_counts(archive: Archive, document: Any) -> Iterator[str]:
    counts, told = datasheet.count_things(archive), document.get("counts") or {}
    for key, value in counts.items():
        if told.get(key) != value:
            yield f"{METADATA}: {key} is {_short(told.get(key))}, but {ARCHIVE} has {_short(value)}"


def _check_crate(document: Any, folder: Path) -> Iterator[str]:
    """Compare the crate with the files, and find references into the void."""
    if not isinstance(document, dict) or not isinstance(document.get("@graph"), list):
        yield f"{crate.FILE} has no @graph"
        return
    entities = {str(item.get("@id")): item for item in document["@graph"]}
    files = crate.crate_files(document)
    parts = {item["@id"] for item in _references(entities.get("./", {}).get("hasPart"))}
    for path in sorted(set(checksums.list_paths(folder)) - {crate.FILE} - set(files)):
        yield f"{crate.FILE} does not describe {path}"
    for path, item in sorted(files.items()):
        if path not in parts:
            yield f"{crate.FILE}: {path} is no part of the whole"
        if not (folder / path).is_file():
            yield f"{path} is described in {crate.FILE}, but is not there"
        elif "sha256" in item and checksums.digest(folder / path) != item["sha256"]:
            yield f"{path} was changed: its SHA-256 is not that of {crate.FILE}"
    yield from _lost_references(entities)


def _lost_references(entities: dict[str, Any]) -> Iterator[str]:
    for name, item in entities.items():
        for key, value in item.items():
            for iri in (reference["@id"] for reference in _references(value)):
                if iri not in entities and not iri.startswith(("http:", "https:")):
                    yield f"{crate.FILE}: {key} of {name} is {iri}, which is missing"


def _check_entities(document: Any, folder: Path, archive: Archive, metadata: Metadata) -> Iterator[str]:
    """Make the description again and compare all but the files, which are compared by themselves."""
    owners = {path: node.uuid for node, path, _ in list_raw_files(archive)}
    name = next((group.label for group in archive.groups if group.kind == CAMPAIGN), "")
    right = _entities(crate.make_crate(crate.Contents(folder, name, metadata, archive, owners)))
    given = _entities(document)
    yield from (f"{crate.FILE}: {iri} is missing" for iri in sorted(set(right) - set(given)))
    yield from (f"{crate.FILE}: {iri} is in no {ARCHIVE}" for iri in sorted(set(given) - set(right)))
    for iri in sorted(set(given) & set(right)):
        for key in dict.fromkeys((*given[iri], *right[iri])):
            one, other = given[iri].get(key), right[iri].get(key)
            if one != other:
                yield f"{crate.FILE}: {key} of {iri} is {_short(one)}, but {ARCHIVE} says {_short(other)}"


def _entities(document: Any) -> dict[str, Any]:
    described = {"./", *crate.crate_files(document)}
    return {item["@id"]: item for item in document["@graph"] if item["@id"] not in described}


def _references(value: Any) -> list[dict[str, str]]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict) and set(item) == {"@id"}]
