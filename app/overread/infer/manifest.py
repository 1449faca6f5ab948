"""`model.toml` → `ModelSpec`: all that the engine needs to know, so that a new model needs no code."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
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

    @cached_property
    def intact(self) -> bool:
        """Whether the weights are the ones that the manifest speaks of."""
        return hashlib.sha256(self.weights.read_bytes()).hexdigest() == self.sha256


def _code(text: str) -> Code:
    """A coded concept, written 52988006|SCT|Lesion in a manifest."""
    value, scheme, meaning = (part.strip() for part in text.split("|"))
    return Code(value, scheme, meaning)


def _output(channel: int, entry: Mapping[str, Any]) -> Output:
    return Output(
        channel=channel,
        label=entry["label"],
        concept=_code(entry["concept"]),
        category=_code(entry["category"]),
        anatomy=_code(entry["anatomy"]) if "anatomy" in entry else None,
        colour=entry["colour"],
        threshold=float(entry["threshold"]),
        min_volume_ml=float(entry.get("min_volume_ml", 0.0)),
    )


def _pair(values: Any) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)


def parse(folder: Path, table: Mapping[str, Any]) -> ModelSpec:
    """Build a spec from the parsed manifest.

    Raises KeyError, ValueError or TypeError where the manifest is not what it should be.
    """
    if table["schema"] != SCHEMA:
        raise ValueError(f"schema {table['schema']} is not {SCHEMA}")
    if table["task"] != "segment" or table["dimensions"] != "2d":
        raise ValueError(
            f"this engine runs task “segment”, dimensions “2d”, not {table['task']}, {table['dimensions']}"
        )
    prepare, gate = table["prepare"], table["gate"]
    intensity = prepare["intensity"]
    rows, columns = prepare["size"]
    few, many = gate.get("slices", (1, 100_000))
    return ModelSpec(
        folder=folder,
        id=table["id"],
        name=table["name"],
        version=table["version"],
        summary=table["summary"],
        task=table["task"],
        dimensions=table["dimensions"],
        sha256=table["sha256"],
        input_name=table["input"],
        output_name=table["output"],
        prepare=Prepare(
            plane=Plane(prepare["plane"]),
            spacing_mm=_pair(prepare["spacing_mm"]),
            size=(int(rows), int(columns)),
            intensity=IntensityRule(
                intensity["rule"],
                _pair(intensity["clip"]),
                float(intensity.get("low", 0.0)),
                float(intensity.get("high", 1.0)),
            ),
        ),
        outputs=tuple(_output(channel, entry) for channel, entry in enumerate(table["outputs"])),
        gate=Gate(
            modality=tuple(gate.get("modality", ())),
            role=tuple(gate.get("role", ())),
            body_part=tuple(gate.get("body_part", ())),
            slices=(int(few), int(many)),
            in_plane_mm=_pair(gate.get("in_plane_mm", (0.0, 1e9))),
            between_slices_mm=_pair(gate.get("between_slices_mm", (0.0, 1e9))),
            tilt_deg=float(gate.get("tilt_deg", 90.0)),
        ),
        tolerance={str(name): float(value) for name, value in table["tolerance"].items()},
        use=table["use"],
        licence={str(name): str(value) for name, value in table["licence"].items()},
        results=dict(table.get("results", {})),
    )


def read(folder: Path) -> ModelSpec:
    """Read a model folder. UserError where something is missing, malformed or not the file it claims to be."""
    manifest = folder / "model.toml"
    try:
        spec = parse(folder, tomllib.loads(manifest.read_text("utf-8")))
        if not spec.intact:
            raise ValueError("model.onnx is not the file whose sha256 the manifest gives")
    except OSError as error:
        raise UserError(
            f"The model in {folder.name} cannot be read: {error.strerror or error}.",
            "A model folder holds model.onnx, model.toml, CARD.md and selftest.npz.",
        ) from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"The model in {folder.name} cannot be used: {what}.", "Correct its model.toml, or remove the folder."
        ) from error
    return spec


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
