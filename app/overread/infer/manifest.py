"""`model.toml` → `ModelSpec`: all that the engine needs to know, so that a new model needs no code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from overread.domain.errors import UserError
from overread.domain.finding import Code
from overread.domain.geometry import Plane
from overread.imaging.intensity import IntensityRule
from overread.infer import fields, graphs, inputs
from overread.infer.graphs import Contour, Explain, Graph, Look, Merge, Verify
from overread.infer.inputs import Input, Patches

SCHEMA = 1
TASKS = ("segment", "detect", "classify")
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
_ANYTHING = (0.0, 1e9)


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

    @property
    def asks_mm(self) -> bool:
        """Whether it asks for distances or directions, which an image without a place in the patient has not."""
        return self.in_plane_mm != _ANYTHING or self.between_slices_mm != _ANYTHING or self.tilt_deg < 90


@dataclass(frozen=True)
class Named:
    """What something is called: its label, its codes and its colour."""

    label: str
    concept: Code
    category: Code
    anatomy: Code | None
    colour: str


@dataclass(frozen=True)
class Output(Named):
    """One thing that the model draws, finds or tells: the channel, its names and when it counts.

    A connected part that is smaller than `min_volume_ml`, or than the fraction `keep` of the largest, is dropped.
    What remains is a finding each, or one finding `together`: vessels, say. The threshold is 0 where the greatest of
    all channels wins.
    """

    channel: int
    threshold: float
    min_volume_ml: float = 0.0
    keep: float = 0.0
    together: bool = False


@dataclass(frozen=True)
class Prepare:
    """How slices are brought to the model.

    `fit` lays them on a canvas of `size` (rows, columns): "spacing" centre on centre at `spacing_mm` (down, across),
    "stretch" the whole image onto the whole canvas, "inside" the whole image as large as it fits, its aspect kept.
    `neighbours` slices before and after are further channels. `channels` is "grey", or "rgb" with values 0 to 255.
    Of a 3-D model it says how the slices of a patch lie.
    """

    plane: Plane
    spacing_mm: tuple[float, float] | None
    size: tuple[int, int]
    intensity: IntensityRule
    fit: str = "spacing"
    channels: str = "grey"
    neighbours: int = 0


@dataclass(frozen=True)
class Refine:
    """How slices that showed something are read again for the findings: mirrored too, blended across slices."""

    mirror: bool
    across: float


@dataclass(frozen=True)
class ModelSpec:
    """A model folder, read and checked. `classes` are the columns of `class_output`, where a model has one.

    `inputs` are the series that it reads together, none where it reads one; `patches` is what only a 3-D model has.
    """

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
    class_output: str = ""
    classes: tuple[Named, ...] = ()
    activation_output: str = ""
    explain: Explain | None = None
    merge: Merge | None = None
    contour: Contour | None = None
    verify: Verify | None = None
    refine: Refine | None = None
    inputs: tuple[Input, ...] = ()
    patches: Patches | None = None
    file: str = "model.onnx"

    @property
    def graph(self) -> Graph:
        """The network itself."""
        features = self.explain.features if self.explain is not None else ""
        names = (self.output_name, self.class_output, self.activation_output, features)
        return Graph(self.weights, self.sha256, self.input_name, tuple(name for name in names if name))

    @property
    def looks(self) -> dict[str, Look]:
        """What looks at a detector's boxes again, by the name of its table."""
        named = {"contour": self.contour, "verify": self.verify}
        return {name: look for name, look in named.items() if look is not None}

    @property
    def graphs(self) -> tuple[Graph, ...]:
        """All networks of the folder, in the order of `looks` after the first."""
        return (self.graph, *(look.graph for look in self.looks.values()))

    @property
    def explaining(self) -> ModelSpec | None:
        """The graph that explains a region, where there is one, as a model of its own.

        It is not one of `graphs`: it is started, and tested, when a reader first asks. It runs in full precision alone:
        what a lower one may do was judged by what the model draws.
        """
        if self.explain is None or self.explain.graph is None:
            return None
        graph = self.explain.graph
        return replace(
            self,
            id=f"{self.id}-explain",
            task="explain",
            file=graph.path.name,
            sha256=graph.sha256,
            input_name=graph.input,
            output_name=graph.outputs[0],
            tolerance={name: value for name, value in self.tolerance.items() if name == "fp32"},
            class_output="",
            explain=None,
            refine=None,
        )

    @property
    def asks_mm(self) -> bool:
        """Whether the model needs to know how large things are and where slices lie."""
        return (
            self.prepare.fit == "spacing"
            or self.prepare.neighbours > 0
            or self.task == "detect"
            or self.gate.asks_mm
            or any(output.min_volume_ml > 0 for output in self.outputs)
        )

    @property
    def weights(self) -> Path:
        """The ONNX file."""
        return self.folder / self.file

    @property
    def selftest(self) -> Path:
        """A small input and the reference output."""
        return self.folder / "selftest.npz"

    @property
    def headline(self) -> str:
        """What was measured, in a line: the `headline` of the results, or those of its tables; "" where none is."""
        tables = (self.results, *(table for table in self.results.values() if isinstance(table, Mapping)))
        lines = [str(table["headline"]) for table in tables if table.get("headline")]
        return lines[0] if "headline" in self.results else "; ".join(lines)


def _named(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "label": fields.text(entry, "label"),
        "concept": fields.code(entry, "concept"),
        "category": fields.code(entry, "category"),
        "anatomy": fields.code(entry, "anatomy") if "anatomy" in entry else None,
        "colour": fields.colour(entry, "colour"),
    }


def _output(channel: int, entry: Mapping[str, Any], patches: Patches | None) -> Output:
    greatest = patches is not None and patches.labels == "softmax"
    if greatest and "threshold" in entry:
        raise ValueError("“threshold” says nothing where the greatest channel wins")
    keep = fields.number(entry.get("keep", 0.0), "keep")
    if not 0 <= keep <= 1:
        raise ValueError("“keep” is not between 0 and 1")
    return Output(
        channel=channel + 1 if greatest else channel,
        threshold=0.0 if greatest else fields.fraction(entry["threshold"], "threshold"),
        min_volume_ml=fields.number(entry.get("min_volume_ml", 0.0), "min_volume_ml"),
        keep=keep,
        together=fields.flag(entry, "together"),
        **_named(entry),
    )


def _prepare(table: Mapping[str, Any], dimensions: str, patches: Patches | None) -> Prepare:
    if patches is not None:
        intensity = inputs.intensity(table["intensity"])
        return Prepare(patches.plane, patches.spacing_mm[1:], patches.size[1:], intensity)
    fit = fields.one_of(table, "fit", ("spacing", "stretch", "inside"), "spacing")
    channels = fields.one_of(table, "channels", ("grey", "rgb"), "grey")
    neighbours = fields.number(table.get("neighbours", 0), "neighbours")
    if (neighbours > 0) != (dimensions == "2.5d") or neighbours != int(neighbours) or neighbours < 0:
        raise ValueError("“neighbours” is a number of slices with “2.5d”, and nothing else")
    if neighbours and channels == "rgb":
        raise ValueError("“2.5d” and “rgb” do not go together")
    return Prepare(
        plane=Plane(fields.one_of(table, "plane", tuple(plane.value for plane in Plane))),
        spacing_mm=fields.sizes(table["spacing_mm"], "spacing_mm") if fit == "spacing" else None,
        size=fields.pixels(table["size"], "size"),
        intensity=inputs.intensity(table["intensity"]),
        fit=fit,
        channels=channels,
        neighbours=int(neighbours),
    )


def _gate(table: Mapping[str, Any]) -> Gate:
    few, many = fields.numbers(table.get("slices", [1, 100_000]), "slices")
    return Gate(
        modality=fields.names(table.get("modality", []), "modality"),
        role=fields.names(table.get("role", []), "role"),
        body_part=fields.names(table.get("body_part", []), "body_part"),
        slices=(int(few), int(many)),
        in_plane_mm=fields.interval(table.get("in_plane_mm", _ANYTHING), "in_plane_mm"),
        between_slices_mm=fields.interval(table.get("between_slices_mm", _ANYTHING), "between_slices_mm"),
        tilt_deg=fields.number(table.get("tilt_deg", 90.0), "tilt_deg"),
    )


def _refine(table: Mapping[str, Any]) -> Refine:
    across = fields.number(table.get("across", 0.0), "across")
    if not 0 <= across < 0.5:
        raise ValueError("“across” is not between 0 and 0.5")
    return Refine(fields.flag(table, "mirror"), across)


def _tolerance(table: Mapping[str, Any]) -> dict[str, float]:
    """What a self-test may be off by, for each precision that may serve at all."""
    unknown = [name for name in table if name not in PRECISIONS]
    if unknown:
        raise ValueError(f"“tolerance” has no precision {unknown[0]}, but {', '.join(PRECISIONS)}")
    return {name: fields.number(value, "tolerance") for name, value in table.items()}


def _of_task(folder: Path, task: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """What only one of the tasks has."""
    if task == "detect":
        if len(table["outputs"]) != 1:
            raise ValueError("a detector has one of “outputs”")
        return {
            "merge": graphs.merge(table["merge"]),
            "contour": graphs.contour(folder, table["contour"]) if "contour" in table else None,
            "verify": graphs.verify(folder, table["verify"]) if "verify" in table else None,
        }
    if task == "classify":
        explain = Explain(fields.text(table["explain"], "method"), fields.text(table["explain"], "layer"))
        return {"activation_output": fields.text(table, "activation_output"), "explain": explain}
    known: dict[str, Any] = {"refine": _refine(table["refine"])} if "refine" in table else {}
    if "explain" in table:
        known["explain"] = graphs.explain(folder, table["explain"])
    if "class_output" not in table:
        return known
    if not table["classes"]:
        raise ValueError("it has no “classes”")
    return {
        **known,
        "class_output": fields.text(table, "class_output"),
        "classes": tuple(Named(**_named(entry)) for entry in table["classes"]),
    }


def parse(folder: Path, table: Mapping[str, Any]) -> ModelSpec:
    """Build a spec from the parsed manifest.

    Raises KeyError, ValueError, TypeError or AttributeError where the manifest is not what it should be.
    """
    if table["schema"] != SCHEMA:
        raise ValueError(f"schema {table['schema']} is not {SCHEMA}")
    task, dimensions = fields.one_of(table, "task", TASKS), fields.one_of(table, "dimensions", ("2d", "2.5d", "3d"))
    if not table["outputs"]:
        raise ValueError("it has no “outputs”")
    gate, patches = _gate(table["gate"]), None
    if dimensions == "3d":
        if task != "segment" or "class_output" in table or "refine" in table:
            raise ValueError("“3d” is for a model that draws and does nothing else")
        patches = inputs.patches(table["prepare"], table["labels"])
    prepare = _prepare(table["prepare"], dimensions, patches)
    series = inputs.inputs(table["inputs"], table["prepare"], gate.role) if "inputs" in table else ()
    if series and prepare.channels == "rgb":
        raise ValueError("“inputs” and “rgb” do not go together")
    return ModelSpec(
        folder=folder,
        id=fields.text(table, "id"),
        name=fields.text(table, "name"),
        version=fields.text(table, "version"),
        summary=fields.text(table, "summary"),
        task=task,
        dimensions=dimensions,
        sha256=fields.text(table, "sha256"),
        input_name=fields.text(table, "input"),
        output_name=fields.text(table, "output"),
        prepare=prepare,
        outputs=tuple(_output(channel, entry, patches) for channel, entry in enumerate(table["outputs"])),
        gate=gate,
        tolerance=_tolerance(table["tolerance"]),
        use=fields.text(table, "use"),
        licence={str(name): str(value) for name, value in table["licence"].items()},
        results=dict(table.get("results", {})),
        inputs=series,
        patches=patches,
        **_of_task(folder, task, table),
    )


def read(folder: Path) -> ModelSpec:
    """Read a model folder. UserError where something is missing, malformed or not the file it claims to be."""
    try:
        spec = parse(folder, tomllib.loads((folder / "model.toml").read_text("utf-8")))
        for graph in (*spec.graphs, *(spec.explaining.graphs if spec.explaining else ())):
            graph.onnx()
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
