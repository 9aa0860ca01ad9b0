"""Documents that people write in an editor: YAML or JSON, in whatever encoding, of which nothing is lost in silence.

A key that is there twice is refused: YAML and JSON themselves would keep the last one and say nothing.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from aiida_finales.exceptions import InputError, explain_os_error, explain_syntax_error
from aiida_finales.schemas import Json
from aiida_finales.schemas.table import decode

#: how names of files end that hold JSON
_JSON = ".json"
_MERGE = "tag:yaml.org,2002:merge"


def read_document(path: Path, *, what: str = "", is_json: bool | None = None) -> Any:
    """Return the document in a file.

    :param what: the file is, for messages, as ``campaign file``.
    :param is_json: rather than YAML; default: by the end of its name.
    :raises InputError: when it cannot be read, or is none, with line and column.
    """
    name = f"{what} {path}".lstrip()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{name.removesuffix(str(path))}{explain_os_error(error, path)}") from error
    text = decode(content, name, cure="save it as UTF-8")
    return parse_document(text, name, is_json=path.suffix.lower() == _JSON if is_json is None else is_json)


def parse_document(text: str, name: str, *, is_json: bool = False, has_aliases: bool = True) -> Any:
    """Return the document that a text is.

    :param name: of the text, for messages.
    :param has_aliases: whether YAML's aliases are accepted: one could stand for a billion of others.
    :raises InputError: when it is none, with line and column, or a key is there twice.
    """
    try:
        if is_json:
            return json.loads(text, object_pairs_hook=_make_object)
        return yaml.load(text, Loader=_Loader if has_aliases else _LoaderWithoutAliases)  # noqa: S506 - safe loaders
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{name}: {error}") from error
        kind = "JSON" if is_json else "YAML"
        raise InputError(f"{name} is no {kind}: {explain_syntax_error(error)}") from error


def demand_keys(document: Any, name: str, example: str) -> Json:
    """Return a document that has keys with values.

    :param name: of it, for messages.
    :param example: of a line.
    :raises InputError: when it is something else.
    """
    if isinstance(document, dict):
        return document
    held = "is empty" if document is None else f"holds {_tell_kind(document)}"
    raise InputError(f"{name} {held}, but accepted are lines with key and value, such as {example!r}")


def _tell_kind(document: Any) -> str:
    if isinstance(document, list):
        return "a list"
    return f"only {document!r}" if isinstance(document, (bool, int, float)) else "only a text, without ': ' in it"


def _make_object(pairs: list[tuple[str, Any]]) -> Json:
    found: Json = {}
    for key, value in pairs:
        if key in found:
            raise InputError(_tell_twice(key))
        found[key] = value
    return found


def _tell_twice(key: str) -> str:
    return f"key {key!r} is there twice, and only one of them would count: leave one out"


class _Loader(yaml.SafeLoader):
    """Reads YAML; a key that is there twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping whose keys differ."""
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.tag == _MERGE or not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, _tell_twice(key.value), key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _LoaderWithoutAliases(_Loader):
    """Reads YAML without aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not accepted: write it out")
        return super().compose_node(parent, index)
