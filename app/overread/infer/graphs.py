"""The networks of a model folder beside and within `model.toml`, and what a detector does with its boxes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overread.infer import fields

# What makes a map of a layer's features alone.
EIGEN_CAM, SCORE_CAM = "Eigen-CAM", "Score-CAM"


@dataclass(frozen=True)
class Graph:
    """An ONNX file with the names of its input and outputs."""

    path: Path
    sha256: str
    input: str
    outputs: tuple[str, ...]

    def onnx(self) -> bytes:
        """The file's bytes. ValueError where they are not the ones that the manifest speaks of."""
        read = self.path.read_bytes()
        if hashlib.sha256(read).hexdigest() != self.sha256:
            raise ValueError(f"{self.path.name} is not the file whose sha256 the manifest gives")
        return read


@dataclass(frozen=True)
class Explain:
    """How a model says where it looked: the method ("CAM") and the layer.

    A classification gives its maps as an output of its own. Else `graph` computes the map of a region, which is the
    last channels of its input, one for each output of the model; or `features` names the output with the layer's
    features, of which "Eigen-CAM" and "Score-CAM" make a map.
    """

    method: str
    layer: str
    graph: Graph | None = None
    features: str = ""


@dataclass(frozen=True)
class Merge:
    """When boxes of two slices are one thing: they overlap so much (IoU) and are at most so far apart."""

    overlap: float
    gap_mm: float


@dataclass(frozen=True)
class Look:
    """A further graph that sees a crop of `size` (rows, columns) at `spacing_mm` (down, across), centred on a box."""

    graph: Graph
    size: tuple[int, int]
    spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class Contour(Look):
    """Outlines what lies in a box: the chance of each pixel of the crop, which counts from `threshold`."""

    threshold: float


@dataclass(frozen=True)
class Verify(Look):
    """Judges a box anew: the chance that what the model looks for lies in the middle of the crop.

    The crop has the grey values that the detector sees. Boxes that the detector scores below `floor` are left out.
    With `again` a crop whose chance is at least that is looked at upside down as well.
    """

    floor: float
    again: float | None = None


def explain(folder: Path, table: Mapping[str, Any]) -> Explain:
    """Read `[explain]` of a segmentation. KeyError or ValueError where it is not one."""
    method, layer = fields.text(table, "method"), fields.text(table, "layer")
    if "file" in table:
        return Explain(method, layer, graph=_graph(folder, table))
    if method not in (EIGEN_CAM, SCORE_CAM):
        raise ValueError(f"“explain” by {method} needs a “file”")
    return Explain(method, layer, features=fields.text(table, "features"))


def merge(table: Mapping[str, Any]) -> Merge:
    """Read `[merge]`. KeyError or ValueError where it is not one."""
    gap = fields.number(table["gap_mm"], "gap_mm")
    if gap < 0:
        raise ValueError("“gap_mm” is below 0")
    return Merge(fields.fraction(table["overlap"], "overlap"), gap)


def contour(folder: Path, table: Mapping[str, Any]) -> Contour:
    """Read `[contour]`. KeyError or ValueError where it is not one."""
    return Contour(**_look(folder, table), threshold=fields.fraction(table["threshold"], "threshold"))


def verify(folder: Path, table: Mapping[str, Any]) -> Verify:
    """Read `[verify]`. KeyError or ValueError where it is not one."""
    again = fields.fraction(table["again"], "again") if "again" in table else None
    return Verify(**_look(folder, table), floor=fields.fraction(table["floor"], "floor"), again=again)


def _graph(folder: Path, table: Mapping[str, Any]) -> Graph:
    file = fields.text(table, "file")
    if Path(file).name != file:
        raise ValueError("“file” is no file of the model's folder")
    names = fields.text(table, "input"), (fields.text(table, "output"),)
    return Graph(folder / file, fields.text(table, "sha256"), *names)


def _look(folder: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    spacing = table["spacing_mm"]
    return {
        "graph": _graph(folder, table),
        "size": fields.pixels(table["size"], "size"),
        "spacing_mm": fields.sizes(spacing if isinstance(spacing, (list, tuple)) else [spacing] * 2, "spacing_mm"),
    }
