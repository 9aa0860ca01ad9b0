"""Draw conductivity against molality from a package, with nothing but json, csv and matplotlib.

python read_crate.py <folder of the package> [picture.png]
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

folder = Path(sys.argv[1])
picture = Path([*sys.argv, "molality.png"][2])
crate = {item["@id"]: item for item in json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]}
root = crate["./"]
table = next(part["@id"] for part in root["hasPart"] if part["@id"].endswith("tables/conductivity.csv"))
with (folder / table).open(newline="", encoding="utf-8") as stream:
    rows = [row for row in csv.DictReader(stream) if row["status"] == "original" and row["success"] == "true"]
for method in sorted({row["method"] for row in rows}):
    mine = [row for row in rows if row["method"] == method and row["molality / mol/kg"]]
    label = f"{method} (simulated)" if any(row["simulated"] == "true" for row in mine) else method
    x = [float(row["molality / mol/kg"]) for row in mine]
    plt.plot(x, [float(row["conductivity / S/m"]) for row in mine], "o", label=label)
plt.xlabel("molality / mol/kg")
plt.ylabel("conductivity / S/m")
plt.title(root["name"])
plt.legend()
plt.savefig(picture, dpi=150)
