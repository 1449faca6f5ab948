"""A model's self-test: a small input with the outputs that the weights gave where they were made."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import UserError
from overread.infer.manifest import ModelSpec

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Probe:
    """The self-test of one network. `boxes` names the output that holds boxes, on a canvas of `size` pixels."""

    input: F32
    outputs: Mapping[str, F32]
    boxes: str = ""
    size: tuple[int, int] = (1, 1)

    def error(self, outputs: Mapping[str, F32], tolerance: float) -> float:
        """The greatest deviation of any number in any output; infinite where a shape differs.

        Numbers beyond ±1 are measured by the greatest of their output, edges of boxes by the canvas.
        """
        greatest = 0.0
        for name, expected in self.outputs.items():
            given = outputs[name]
            if given.shape != expected.shape:
                return float("inf")
            off = np.abs(given - expected)
            if name == self.boxes:
                off[..., :4] /= max(self.size)
                off[..., :4][~_settled(expected[..., 4], tolerance)] = 0.0
            else:
                off /= max(1.0, float(np.abs(expected).max(initial=0.0)))
            greatest = float(np.maximum(greatest, off.max(initial=0.0)))  # not a number where one of them is
        return greatest


def _settled(scores: F32, tolerance: float) -> NDArray[np.bool_]:
    """Which of the boxes, sorted by score, shape (n, K), keep their place though scores move by the tolerance.

    The last one may give way to one that is not among them.
    """
    apart = -np.diff(scores, axis=1) > 2 * tolerance
    first = np.ones((len(scores), 1), np.bool_)
    before, after = np.concatenate([first, apart], axis=1), np.concatenate([apart, ~first], axis=1)
    return np.asarray(before & after)


class SelfTest:
    """The self-tests of a model's networks, in the order of `ModelSpec.graphs`."""

    def __init__(self, spec: ModelSpec) -> None:
        """UserError where the file is missing, damaged or made for another model."""
        try:
            with spec.selftest.open("rb") as file, np.load(file) as stored:
                self.probes = tuple(_probes(spec, stored))
        except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile, zlib.error) as error:
            raise UserError(
                f"The self-test of {spec.id} cannot be read.", "Install the model again: nothing runs unverified."
            ) from error


def _probes(spec: ModelSpec, stored: Any) -> list[Probe]:
    if spec.task == "explain":
        return [_explaining(spec, stored)]
    boxes = spec.output_name if spec.task == "detect" else ""
    names = {name: name if name in stored else "output" for name in spec.graph.outputs}
    if len(names) > 1 and "output" in names.values():
        raise KeyError("output")
    probes = [Probe(stored["input"], {name: stored[key] for name, key in names.items()}, boxes, spec.prepare.size)]
    channels = 3 if spec.prepare.channels == "rgb" else (2 * spec.prepare.neighbours + 1) * max(1, len(spec.inputs))
    fits = [_shaped(probes[0].input, (channels, *_extent(spec)))]
    fits += [_shaped(probes[0].outputs[name], wanted) for name, wanted in _wanted(spec).items()]
    for name, look in spec.looks.items():
        (output,) = look.graph.outputs
        probes.append(Probe(stored[f"{name}_input"], {output: stored[f"{name}_output"]}))
        canvas = (1, *look.size)
        answer = canvas if name == "contour" else (1,)
        fits += [_shaped(probes[-1].input, canvas), _shaped(probes[-1].outputs[output], answer)]
    if spec.task == "segment":
        fits.append(probes[0].outputs[spec.output_name].shape[1] > max(output.channel for output in spec.outputs))
    if not all(fits) or any(len(out) != len(probe.input) for probe in probes for out in probe.outputs.values()):
        raise ValueError("the self-test is not of the size that the manifest gives")
    return probes


def _extent(spec: ModelSpec) -> tuple[int, ...]:
    """Rows and columns of what the network gets, or k, j and i."""
    return spec.prepare.size if spec.patches is None else spec.patches.size


def _explaining(spec: ModelSpec, stored: Any) -> Probe:
    region, answer = stored["explain_region"], stored["explain_output"]
    image = stored["input"][: len(region)]
    fits = _shaped(region, (len(spec.outputs), *spec.prepare.size)) and _shaped(answer, (1, None, None))
    if not fits or not len(image) == len(region) == len(answer):
        raise ValueError("the self-test of the explanation is not of the size that the manifest gives")
    return Probe(np.concatenate([image, region.astype(np.float32)], axis=1), {spec.output_name: answer})


def _wanted(spec: ModelSpec) -> dict[str, tuple[int | None, ...]]:
    """The shape of each output but for its first axis; None where any size will do."""
    count = len(spec.outputs)
    if spec.task == "detect":
        return {spec.output_name: (None, 5)}
    if spec.task == "classify":
        return {spec.output_name: (count,), spec.activation_output: (count, None, None)}
    shapes: dict[str, tuple[int | None, ...]] = {spec.output_name: (None, *_extent(spec))}
    if spec.class_output:
        shapes[spec.class_output] = (len(spec.classes),)
    if spec.explain is not None and spec.explain.features:
        shapes[spec.explain.features] = (None, None, None)
    return shapes


def _shaped(array: NDArray[Any], wanted: tuple[int | None, ...]) -> bool:
    """Whether an array holds something and its axes after the first are as wanted."""
    return (
        array.size > 0
        and array.ndim == len(wanted) + 1
        and all(want in (None, size) for want, size in zip(wanted, array.shape[1:], strict=True))
    )
