"""The house in figures, and the map of its rooms: ``make house``.

Prints how many modules and lines the package has, its largest file and function, its fullest folder, and its circles of
imports; with ``--map`` it writes the table of rooms, made from their own opening lines, into the architecture page.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "aiida_finales"
PAGE = ROOT / "docs" / "explanations" / "architecture.md"
#: the table stands between these lines
BEGIN, END = "<!-- rooms: made by `make house` -->", "<!-- end of rooms -->"


def find_circle() -> list[str]:
    """Return modules that import each other in a circle, the first one again at the end; empty when there is none."""
    graph = grimp.build_graph(PACKAGE.name, exclude_type_checking_imports=True)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def count() -> dict[str, str]:
    """Return the figures by name."""
    files = sorted(PACKAGE.rglob("*.py"))
    modules = [path for path in files if path.name != "__init__.py"]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    largest = max(files, key=lines.__getitem__)
    functions = sorted(size for path in files for size in _function_sizes(path))
    folder, n_in_folder = Counter(path.parent for path in modules).most_common(1)[0]
    circle = find_circle()
    return {
        "modules": f"{len(modules)} (and {len(files) - len(modules)} folders)",
        "lines of the package": f"{sum(lines.values())}",
        "lines of the tests": f"{sum(len(path.read_text().splitlines()) for path in (ROOT / 'tests').rglob('*.py'))}",
        "largest file": f"{largest.relative_to(ROOT)}, {lines[largest]} lines",
        "functions": f"{len(functions)}, median {functions[len(functions) // 2]} lines, longest {functions[-1]}",
        "most modules in one folder": f"{n_in_folder} in {folder.relative_to(ROOT)}",
        "circles of imports": " -> ".join(circle) if circle else "0",
    }


def _function_sizes(path: Path) -> Iterator[int]:
    """Yield the lines of each function of a file, those of its docstring included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def draw_map() -> str:
    """Return the table of the rooms: each folder with the first sentence about it."""
    rows = ["| room | what is in it |", "|---|---|"]
    for path in sorted(PACKAGE.rglob("__init__.py"))[1:]:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        text = " ".join(docstring.split("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")
        rows.append(f"| `{path.parent.relative_to(PACKAGE)}` | {text} |")
    return "\n".join(rows)


def read_map() -> str:
    """Return the table that stands in the architecture page."""
    return PAGE.read_text(encoding="utf-8").partition(f"{BEGIN}\n")[2].partition(f"\n{END}")[0]


def write_map() -> None:
    """Bring the table in the architecture page up to date."""
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(f"{BEGIN}\n")[0], page.partition(f"\n{END}")[2]
    PAGE.write_text(f"{before}{BEGIN}\n{draw_map()}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Print the figures, or write the map."""
    if "--map" in sys.argv[1:]:
        write_map()
        return
    for name, value in count().items():
        print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
