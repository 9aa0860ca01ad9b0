"""Print datasets of a NetCDF 4 file as JSON: ``python extract.py FILE DATASET...``.

Run by the Python of tomato's environment, which has h5py; needs nothing else, nor this package.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from typing import Any


def extract(path: str, names: list[str]) -> dict[str, Any]:
    """Return the values of datasets by name; what is not a finite number becomes ``None``.

    :raises KeyError: when the file has no such dataset; says which it has.
    """
    h5py = importlib.import_module("h5py")
    with h5py.File(path, "r") as file:
        known: list[str] = []
        file.visititems(lambda name, item: known.append(f"/{name}") if isinstance(item, h5py.Dataset) else None)
        missing = [name for name in names if name not in known]
        if missing:
            message = f"{missing[0]} was asked for, the file has {', '.join(known)}"
            raise KeyError(message)
        return {name: _plain(file[name][()].tolist()) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    print(json.dumps(extract(sys.argv[1], sys.argv[2:])))
