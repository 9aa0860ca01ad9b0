"""Write the table of a BioLogic .mpr file to a .npy file: ``python galvani_table.py FILE.mpr OUTPUT.npy``.

Run by the Python of an environment of its own, which has galvani; needs nothing else, nor this package. Prints the
version of galvani.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import version


def write_table(source: str, target: str) -> str:
    """Write the table, and return the name and version of what read it."""
    numpy, galvani = importlib.import_module("numpy"), importlib.import_module("galvani")
    numpy.save(target, galvani.BioLogic.MPRfile(source).data, allow_pickle=False)
    return f"galvani {version('galvani')}"


if __name__ == "__main__":
    print(write_table(*sys.argv[1:3]))
