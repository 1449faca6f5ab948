"""`model.toml` → `ModelSpec`: all that the engine needs to know, so that a new model needs no code."""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overread.domain.errors import UserError
from overread.domain.finding import Code
from overread.domain.geometry import Plane
from overread.imaging.intensity import IntensityRule

SCHEMA = 1


@dataclass(frozen=True)
class Gate:
    """What a series has to be for the model to read it; empty or None asks nothing."""

    modality: tuple[str, ...]
    role: tuple[str, ...]
    body_part: tuple[str, ...]
    slices: tuple[int, int]
    in_plane_mm: tuple[float, float]
    between_slices_mm: tuple[float, float]
    tilt_deg: float


@dataclass(frozen=True)
class Output:
    """One thing that the model draws: the channel, its names, its colour and when a voxel counts."""

    channel: int
    label: str
    concept: Code
    category: Code
    anatomy: Code | None
    colour: str
    threshold: float
    min_volume_ml: float


@dataclass(frozen=True)
class Prepare:
    """How slices are brought to the model: plane, spacing (down, across) in mm, size (rows, columns), grey values."""

    plane: Plane
    spacing_mm: tuple[float, float]
    size: tuple[int, int]
    intensity: IntensityRule


@dataclass(frozen=True)
class ModelSpec:
    """A model folder, read and checked."""

    folder: Path
    id: str
    name: str
    version: str
    summary: str
    task: str
    dimensions: str
    sha256: str
    input_name: str
    output_name: str
    prepare: Prepare
    outputs: tuple[Output, ...]
    gate: Gate
    tolerance: Mapping[str, float]
    use: str
    licence: Mapping[str, str]
    results: Mapping[str, Any]

    @property
    def weights(self) -> Path:
        """The ONNX file."""
        return self.folder / "model.onnx"

    @property
    def selftest(self) -> Path:
        """A small input and the reference output."""
        return self.folder / "selftest.npz"

    def onnx(self) -> bytes:
        """The ONNX file's bytes. ValueError where they are not the ones that the manifest speaks of."""
        read = self.weights.read_bytes()
        if hashlib.sha256(read).hexdigest() != self.sha256:
            raise ValueError("model.onnx is not the file whose sha256 the manifest gives")
        return read


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"“{key}” is no text")
    return value


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"“{what}” is no number")
    return float(value)


def _numbers(values: Any, what: str) -> tuple[float, float]:
    if not isinstance(values, (list, tuple)) or len(values) != 2:
        raise ValueError(f"“{what}” is not two numbers")
    return _number(values[0], what), _number(values[1], what)


def _sizes(values: Any, what: str) -> tuple[float, float]:
    sizes = _numbers(values, what)
    if min(sizes) <= 0:
        raise ValueError(f"“{what}” is not above 0")
    return sizes


def _range(values: Any, what: str) -> tuple[float, float]:
    low, high = _numbers(values, what)
    if low >= high:
        raise ValueError(f"“{what}” does not run from low to high")
    return low, high


def _names(values: Any, what: str) -> tuple[str, ...]:
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"“{what}” is no list of names")
    return tuple(values)


def _code(table: Mapping[str, Any], key: str) -> Code:
    """A coded concept, written 52988006|SCT|Lesion in a manifest."""
    parts = [part.strip() for part in _text(table, key).split("|")]
    if len(parts) != 3 or not all(parts):
        raise ValueError(f"“{key}” is no code: write value|scheme|meaning")
    return Code(*parts)


def _output(channel: int, entry: Mapping[str, Any]) -> Output:
    threshold, colour = _number(entry["threshold"], "threshold"), _text(entry, "colour")
    if not 0 < threshold <= 1:
        raise ValueError("“threshold” is not above 0 and at most 1")
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", colour):
        raise ValueError("“colour” is not like #F5B83D")
    return Output(
        channel=channel,
        label=_text(entry, "label"),
        concept=_code(entry, "concept"),
        category=_code(entry, "category"),
        anatomy=_code(entry, "anatomy") if "anatomy" in entry else None,
        colour=colour,
        threshold=threshold,
        min_volume_ml=_number(entry.get("min_volume_ml", 0.0), "min_volume_ml"),
    )


def _prepare(table: Mapping[str, Any]) -> Prepare:
    intensity, plane = table["intensity"], _text(table, "plane")
    rows, columns = _sizes(table["size"], "size")
    rule = _text(intensity, "rule")
    if plane not in {known.value for known in Plane}:
        raise ValueError("“plane” is not axial, coronal or sagittal")
    if rule not in ("window", "median-spread"):
        raise ValueError("“rule” is not window or median-spread")
    low, high = _range([intensity.get("low", 0.0), intensity.get("high", 1.0)], "low” to “high")
    return Prepare(
        plane=Plane(plane),
        spacing_mm=_sizes(table["spacing_mm"], "spacing_mm"),
        size=(int(rows), int(columns)),
        intensity=IntensityRule(rule, _range(intensity["clip"], "clip"), low, high),
    )


def _gate(table: Mapping[str, Any]) -> Gate:
    few, many = _numbers(table.get("slices", [1, 100_000]), "slices")
    return Gate(
        modality=_names(table.get("modality", []), "modality"),
        role=_names(table.get("role", []), "role"),
        body_part=_names(table.get("body_part", []), "body_part"),
        slices=(int(few), int(many)),
        in_plane_mm=_range(table.get("in_plane_mm", [0.0, 1e9]), "in_plane_mm"),
        between_slices_mm=_range(table.get("between_slices_mm", [0.0, 1e9]), "between_slices_mm"),
        tilt_deg=_number(table.get("tilt_deg", 90.0), "tilt_deg"),
    )


def parse(folder: Path, table: Mapping[str, Any]) -> ModelSpec:
    """Build a spec from the parsed manifest.

    Raises KeyError, ValueError, TypeError or AttributeError where the manifest is not what it should be.
    """
    if table["schema"] != SCHEMA:
        raise ValueError(f"schema {table['schema']} is not {SCHEMA}")
    if table["task"] != "segment" or table["dimensions"] != "2d":
        raise ValueError(
            f"this engine runs task “segment”, dimensions “2d”, not {table['task']}, {table['dimensions']}"
        )
    if not table["outputs"]:
        raise ValueError("it has no “outputs”")
    return ModelSpec(
        folder=folder,
        id=_text(table, "id"),
        name=_text(table, "name"),
        version=_text(table, "version"),
        summary=_text(table, "summary"),
        task=table["task"],
        dimensions=table["dimensions"],
        sha256=_text(table, "sha256"),
        input_name=_text(table, "input"),
        output_name=_text(table, "output"),
        prepare=_prepare(table["prepare"]),
        outputs=tuple(_output(channel, entry) for channel, entry in enumerate(table["outputs"])),
        gate=_gate(table["gate"]),
        tolerance={str(name): _number(value, "tolerance") for name, value in table["tolerance"].items()},
        use=_text(table, "use"),
        licence={str(name): str(value) for name, value in table["licence"].items()},
        results=dict(table.get("results", {})),
    )


def read(folder: Path) -> ModelSpec:
    """Read a model folder. UserError where something is missing, malformed or not the file it claims to be."""
    try:
        spec = parse(folder, tomllib.loads((folder / "model.toml").read_text("utf-8")))
        spec.onnx()
    except OSError as error:
        raise UserError(
            f"The model in {folder.name} cannot be read: {Path(error.filename or '').name}: {error.strerror}.",
            "A model folder holds model.onnx, model.toml, CARD.md and selftest.npz.",
        ) from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"The model in {folder.name} cannot be used: {_fault(error)}.",
            "Correct its model.toml, or remove the folder.",
        ) from error
    return spec


def _fault(error: Exception) -> str:
    """What is wrong with a manifest, in plain words."""
    if isinstance(error, KeyError):
        return f"“{error.args[0]}” is missing"
    if isinstance(error, UnicodeDecodeError):
        return "model.toml is no UTF-8 text"
    if isinstance(error, tomllib.TOMLDecodeError):
        return f"model.toml is no TOML ({error})"
    return str(error) if isinstance(error, ValueError) else "a table stands where a value should, or the other way"


def find_models(folders: tuple[Path, ...]) -> tuple[tuple[ModelSpec, ...], tuple[UserError, ...]]:
    """All models in the folders, by id (the first folder wins), and what could not be used."""
    found: dict[str, ModelSpec] = {}
    broken: list[UserError] = []
    for parent in folders:
        for manifest in sorted(parent.glob("*/model.toml")):
            try:
                spec = read(manifest.parent)
            except UserError as error:
                broken.append(error)
            else:
                found.setdefault(spec.id, spec)
    return tuple(found.values()), tuple(broken)
