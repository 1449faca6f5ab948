"""The folder of lung-nodule: a detector, and graphs that look at its boxes again. An export keeps what others made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
from torch import nn

from models.training.counting import parameters
from models.training.detection import froc
from models.training.export import write_graph, write_manifest
from models.training.lung_evaluate import crop_scans
from models.training.nodules import F32, Crops
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.manifest import read

LOOKS = ("contour", "verify")


@dataclass(frozen=True, eq=False)
class Part:
    """A graph that looks at boxes again: what model.toml says of it, its parameters and its self-test."""

    name: str
    table: Mapping[str, Any]
    parameters: int
    probes: Mapping[str, F32]


def parts(folder: Path) -> list[Part]:
    """What there is in a folder beside the detector; nothing where there is no folder yet."""
    if not (folder / "model.toml").exists():
        return []
    table = _table(folder)
    with np.load(folder / "selftest.npz") as stored:
        return [
            Part(
                name,
                table[name],
                int(table["results"]["parameters"][name]),
                {key: stored[key] for key in (f"{name}_input", f"{name}_output")},
            )
            for name in LOOKS
            if name in table
        ]


def made(folder: Path, name: str, table: Mapping[str, Any], shipped: nn.Module, crops: F32) -> Part:
    """Write the graph of a part, which maps crops (n, 1, rows, columns) to its one output.

    ValueError where ONNX Runtime and torch disagree.
    """
    file = folder / str(table["file"])
    (answer,) = write_graph(file, shipped, crops, str(table["input"]), [str(table["output"])]).values()
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    probes = {f"{name}_input": crops, f"{name}_output": answer}
    return Part(name, {**table, "sha256": sha256}, parameters(shipped), probes)


def add(folder: Path, some: Sequence[Part]) -> None:
    """Put parts into the folder of a detector, in the place of those with their names."""
    table = _table(folder)
    counted = {**table["results"]["parameters"], **{part.name: part.parameters for part in some}}
    table |= {part.name: dict(part.table) for part in some}
    table["results"] = {**table["results"], "parameters": counted}
    with np.load(folder / "selftest.npz") as stored:
        probes = {name: stored[name] for name in stored.files}
    for part in some:
        probes |= part.probes
    np.savez_compressed(folder / "selftest.npz", allow_pickle=False, **probes)
    write_manifest(folder, table)


def settle(folder: Path, crops: Crops) -> None:
    """Choose the threshold on crops of the validation patients, whose nodules are all marked by enough readers.

    It is the lowest that makes so many false marks a crop as the results' `false_marks_chosen` says: for the boxes as
    they are scored in the end, and for the report, for the detector alone. ValueError where no threshold makes so few.
    """
    spec, table = read(folder), _table(folder)
    served, rate = Chain((REFERENCE,)).serve(spec), float(table["results"]["false_marks_chosen"])
    chosen = []
    for one in (spec, replace(spec, verify=None)):
        curve = froc(crop_scans(one, served, crops)[0])
        allowed = curve.thresholds[(curve.false_positives <= rate) & np.isfinite(curve.thresholds)]
        if not len(allowed):
            raise ValueError(f"no threshold makes as few as {rate:g} false marks a crop")
        chosen.append(max(0.001, round(float(allowed.min()), 3)))
    (output,) = table["outputs"]
    output["threshold"], table["results"]["threshold_detector"] = chosen
    write_manifest(folder, table)


def _table(folder: Path) -> dict[str, Any]:
    return tomlkit.parse((folder / "model.toml").read_text("utf-8")).unwrap()
