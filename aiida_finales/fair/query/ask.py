"""Questions by meaning: SPARQL over the graph of a campaign or of the whole profile, by name or written by hand.

Beside the prefixes of the context a question may use its words, as ``term:IonicConductivity``: terms of EMMO have
addresses that nobody can remember. :meth:`Question.to_sparql` returns what other programs understand.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

from aiida_finales.exceptions import InputError
from aiida_finales.fair.graph.terms import expand, load_context
from aiida_finales.fair.graph.triples import PREFIXES, expand_prefixes, make_graph, write_literal
from aiida_finales.schemas import Json

if TYPE_CHECKING:
    from pyoxigraph import QueryBoolean, QuerySolutions, Store

    from aiida_finales.data.campaign import CampaignGroup

#: forms in which an answer is written, and what the library calls them
ANSWER_FORMS = {"json": "JSON", "csv": "CSV", "tsv": "TSV", "xml": "XML"}
QUERIES = Path(__file__).parent / "queries"
NODE = "urn:uuid:"
_PARAMETER = re.compile(r"# (?P<name>\w+): (?P<kind>\w+)(?: = (?P<default>\S+))? \((?P<words>.+)\)")
_WORD = re.compile(r"\bterm:(\w+)")
#: variables and local names, which may have any letters
_NAME = re.compile(r"[?$:]\w*")
_XSD = "http://www.w3.org/2001/XMLSchema#"
#: what a literal becomes, by its type; any other stays text
_NUMBERS: dict[str, Callable[[str], Any]] = {
    f"{_XSD}double": float,
    f"{_XSD}decimal": float,
    f"{_XSD}integer": int,
    f"{_XSD}boolean": lambda text: text == "true",
}


@dataclass(frozen=True)
class Parameter:
    """What a question leaves open.

    :param kind: ``number``, ``text``, ``node`` (UUID) or ``term`` (a word of the context).
    :param default: used when nothing is given; ``None`` when something must be.
    """

    name: str
    kind: str
    default: str | None
    words: str

    def to_sparql(self, given: str) -> str:
        """Return a value as it stands in a question.

        :raises InputError: when it is not of this kind.
        """
        try:
            if self.kind == "number":
                return f'"{float(given)}"^^<{_XSD}double>'
            if self.kind == "node":
                return f"<{NODE}{UUID(given.removeprefix(NODE))}>"
            if self.kind == "term":
                return f"term:{_demand_word(given)}"
        except ValueError as error:
            accepted = {"number": "a number", "node": "a whole UUID", "term": "a word of the context"}[self.kind]
            raise InputError(f"{self.name} is {given!r}, but accepted is {accepted} ({self.words})") from error
        return write_literal(given)


@dataclass(frozen=True)
class Question:
    """A question that has a name.

    :param title: the question in words.
    :param text: SPARQL with words and ``$parameters``.
    """

    name: str
    title: str
    text: str
    parameters: tuple[Parameter, ...]

    @property
    def hints(self) -> str:
        """What it leaves open, as on the command line."""
        return ", ".join(f"{item.name}={item.default or item.kind.upper()}" for item in self.parameters)

    def fill(self, given: Mapping[str, str]) -> str:
        """Return the question with values for what it leaves open.

        :raises InputError: when a value is lacking, of the wrong kind, or for something that it does not leave open.
        """
        names = [item.name for item in self.parameters]
        unknown = sorted(set(given) - set(names))
        lacking = [item.name for item in self.parameters if item.default is None and item.name not in given]
        if unknown or lacking:
            raise InputError(
                f"question {self.name!r} has the parameters {', '.join(names) or 'none'} (unknown: {unknown}, "
                f"lacking: {lacking})"
            )
        text = self.text
        values = {item.name: item.to_sparql(given.get(item.name, item.default or "")) for item in self.parameters}
        for name, value in values.items():
            text = re.sub(rf"\${name}\b", value.replace("\\", r"\\"), text)
        return text

    def to_sparql(self, given: Mapping[str, str]) -> str:
        """Return the question in plain SPARQL, for other programs and the file of the graph."""
        prefixes = [f"PREFIX {name}: <{address}>" for name, address in expand_prefixes().items()]
        return "\n".join([*prefixes, spell_out(self.fill(given))])


@dataclass(frozen=True)
class Answer:
    """What was found: one dictionary per row, in the order of the columns."""

    columns: tuple[str, ...]
    rows: list[Json]


def list_questions() -> list[Question]:
    """Return the questions that have a name."""
    return [_read(path) for path in sorted(QUERIES.glob("*.rq"))]


def find_question(name: str) -> Question:
    """Return a question by its name.

    :raises InputError: naming those that there are.
    """
    path = QUERIES / f"{name}.rq"
    names = sorted(item.stem for item in QUERIES.glob("*.rq"))
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"no question {name!r}; there are {', '.join(names)}{hint}")
    return _read(path)


def load_graph(campaign: CampaignGroup | None = None) -> Store:
    """Return the graph of a campaign, or of the whole profile, in memory.

    :raises MissingExtraError: when pyoxigraph is not installed.
    """
    from aiida_finales.fair.graph.document import describe_records
    from aiida_finales.fair.graph.records import read_records
    from aiida_finales.fair.graph.selection import campaign_pks, profile_pks

    pks = profile_pks() if campaign is None else campaign_pks(campaign)
    return make_graph(describe_records(read_records(pks)))


def ask(graph: Store, text: str) -> Answer:
    """Return the answer to a SELECT or ASK question.

    :param text: SPARQL; may use the prefixes and words of the context.
    :raises InputError: when it cannot be understood, is of another kind, or asks other computers.
    """
    from pyoxigraph import QueryBoolean

    found = _query(graph, text)
    if isinstance(found, QueryBoolean):
        return Answer(("answer",), [{"answer": bool(found)}])
    columns = tuple(variable.value for variable in found.variables)
    rows = [{name: _plain(item) for name, item in zip(columns, solution, strict=True)} for solution in found]
    return Answer(columns, rows)


def write_answer(graph: Store, text: str, form: str, output: IO[bytes]) -> None:
    """Write the answer to a SELECT or ASK question in a form of the W3C, while it is found.

    :param form: a key of :data:`ANSWER_FORMS`.
    :raises InputError: as :func:`ask`.
    """
    import pyoxigraph

    _query(graph, text).serialize(output, format=getattr(pyoxigraph.QueryResultsFormat, ANSWER_FORMS[form]))


def _query(graph: Store, text: str) -> QueryBoolean | QuerySolutions:
    from pyoxigraph import QueryTriples

    refuse_services(text)
    spelled = spell_out(text)
    with explained(spelled):
        found = graph.query(spelled, prefixes=expand_prefixes())
    if isinstance(found, QueryTriples):
        raise InputError("the question is a CONSTRUCT or DESCRIBE, but accepted are SELECT and ASK")
    return found


@contextmanager
def explained(text: str) -> Iterator[None]:
    """Say where a question cannot be understood.

    :raises InputError: instead of what the library raises.
    """
    try:
        yield
    except SyntaxError as error:
        raise InputError(f"the question is no SPARQL query {_locate(str(error), text)}") from error


def _locate(message: str, text: str) -> str:
    """Return where a question cannot be understood; the library's own message lists all letters that could follow."""
    place = re.search(r"(\d+):(\d+)", message)
    if place is None:
        return f"({message})"
    number, column = map(int, place.groups())
    line = ((text.splitlines() or [""])[:number] or [""])[-1]
    hint = f"; the prefixes are {', '.join(PREFIXES)}" if "Prefix not found" in message else ""
    return f"at line {number}, column {column}: {line.strip()}{hint}"


def refuse_services(text: str) -> None:
    """Refuse what would call another computer, which could be one that only this computer reaches.

    The library has no switch for that. A word boundary proves nothing: ``1SERVICE`` is read as two words.

    :raises InputError: when the word is in the question.
    """
    if "service" in _NAME.sub(" ", text).lower():
        raise InputError("the question has the word SERVICE, but it cannot ask other computers; nor can a text have it")


def spell_out(text: str) -> str:
    """Return a question with the words of the context replaced by their addresses.

    :raises InputError: when a word is not in the context.
    """
    return _WORD.sub(lambda match: f"<{expand(_demand_word(match.group(1)))}>", text)


def _demand_word(word: str) -> str:
    if word not in load_context():
        close = difflib.get_close_matches(word, load_context(), n=3)
        raise InputError(f"term:{word} is not a word of the context; near are {', '.join(close) or 'none'}")
    return word


def _plain(item: Any) -> Any:
    """Return a number or truth value of a literal that has such a type, and else its text or address."""
    if item is None:
        return None
    datatype = getattr(item, "datatype", None)
    return item.value if datatype is None else _NUMBERS.get(datatype.value, str)(item.value)


def _read(path: Path) -> Question:
    head, *lines = path.read_text().splitlines()
    about = [match for line in lines if (match := _PARAMETER.fullmatch(line))]
    text = "\n".join(line for line in lines if not line.startswith("#"))
    parameters = tuple(Parameter(**match.groupdict()) for match in about)
    return Question(path.stem, head.removeprefix("# "), text, parameters)
