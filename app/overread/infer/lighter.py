"""Lighter forms of a network: weights and sums in int8, or in half precision. Made from the graph alone."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
from numpy.typing import NDArray

from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.infer.backends.candidate import Engine
from overread.infer.backends.chain import REFERENCE
from overread.infer.backends.onnx import OnnxRuntime
from overread.infer.graphs import Graph
from overread.infer.manifest import ModelSpec, read
from overread.infer.selftest import SelfTest

F32 = NDArray[np.float32]
FORMS = ("int8", "fp16")


def int8(source: Path, target: Path, images: Sequence[F32]) -> None:
    """Static int8 in QDQ form (Jacob et al., CVPR 2018), weights by channel.

    Ranges are the least and greatest values that ``images``, each (n, channels, rows, columns), bring about. Weights
    have 7 bits, since with 8 the sums of processors without VNNI overflow.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self._feeds: Iterator[dict[str, F32]] = iter([{name: image} for image in images])

        def get_next(self) -> dict[str, F32] | None:
            return next(self._feeds, None)

    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            target,
            Reader(onnx.load(source).graph.input[0].name),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "ConvTranspose", "MatMul", "Gemm"],  # where the work is
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )


def fp16(source: Path, target: Path) -> None:
    """Weights and calculation in half precision; input and outputs stay float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


@dataclass(frozen=True)
class Lighter:
    """A model folder in another form, and what it is worth: sizes in bytes, the greatest deviation of any output.

    The deviation is that of the self-test, measured as backends are: beyond ±1 by the greatest of their output.
    """

    folder: Path
    bytes_before: int
    bytes_after: int
    off: float


def lighten(spec: ModelSpec, form: str, images: Sequence[F32], folder: Path) -> Lighter:
    """Write a model of its own, ID-FORM, in which the network of ``spec`` has another form; the rest is the same.

    Its self-test holds what the new graph gives, so that it is reproduced where it runs; what was measured of the
    model it came from is not said of it. ``images`` (1, channels, rows, columns) are for int8. UserError where the
    folder is there already, the tools are not, or the graph cannot be brought to that form; nothing is left then.
    """
    if folder.exists():
        raise UserError(f"{folder} is there already.", "Choose another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".overread-", dir=folder.parent) as scratch:
        part = Path(scratch) / "model"
        shutil.copytree(spec.folder, part, ignore=shutil.ignore_patterns("figures", "*.csv"))
        graph = part / spec.graph.path.name
        made = Path(scratch) / "graph.onnx"
        try:
            if form == "int8":
                int8(graph, made, images)
            else:
                fp16(graph, made)
        except ImportError as error:
            raise UserError(
                f"{error.name} is not installed, which makes other forms of a network.",
                'Type: pip install "overread[train]"',
            ) from error
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise UserError(f"{spec.name} cannot be brought to {form}: {error}.") from error
        before = graph.stat().st_size
        made.replace(graph)
        off = _tested_anew(spec, graph, part)
        _described_anew(spec, form, graph, part)
        read(part)
        part.replace(folder)
    return Lighter(folder, before, (folder / spec.graph.path.name).stat().st_size, off)


def _tested_anew(spec: ModelSpec, graph: Path, part: Path) -> float:
    """Put what the new graph gives into the self-test; how far that is from what was there."""
    probe = SelfTest(spec).probes[0]
    engine: Engine = OnnxRuntime()
    form = Graph(graph, hashlib.sha256(graph.read_bytes()).hexdigest(), spec.graph.input, spec.graph.outputs)
    given = engine.start(form, REFERENCE, None).run(probe.input, Cancel())
    with np.load(part / spec.selftest.name) as stored:
        kept = dict(stored)
    for name, value in given.items():
        kept[name if name in kept else "output"] = np.asarray(value, np.float32)
    np.savez_compressed(part / spec.selftest.name, allow_pickle=False, **kept)
    return probe.error(given, spec.tolerance.get("fp32", 0.0))


def _described_anew(spec: ModelSpec, form: str, graph: Path, part: Path) -> None:
    """Give it a name and a sum of its own; what was measured before is taken out."""
    file = part / "model.toml"
    table: dict[str, Any] = tomlkit.parse(file.read_text("utf-8")).unwrap()
    table |= {"id": f"{spec.id}-{form}", "name": f"{spec.name} ({form})"}
    table["sha256"] = hashlib.sha256(graph.read_bytes()).hexdigest()
    if "file" in table.get("explain", {}):  # that graph repeats the weights of the original
        (part / table.pop("explain")["file"]).unlink()
    table["results"] = {"headline": f"{form} of {spec.id} {spec.version}, not measured on patients"}
    # sums of integers and halves round differently from one library to the next
    table["tolerance"] = {"fp32": max(float(table["tolerance"]["fp32"]), 2e-2)}
    file.write_text(tomlkit.dumps(table), encoding="utf-8")
    card = part / "CARD.md"
    text = card.read_text("utf-8") if card.exists() else ""
    said = f"**This is the {form} form of `{spec.id}` {spec.version}.** What follows was measured on the original.\n\n"
    card.write_text(said + text, encoding="utf-8")
