"""A 3-D model at work on one volume: all of it in one pass, and its answer on the volume's own grid."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Mask
from overread.domain.geometry import Floats, Grid
from overread.domain.ports import Cancel, Proposal
from overread.domain.probability import Probabilities
from overread.domain.volume import Volume
from overread.imaging.resample import lone_axis, moved, refitted, respaced, stretched, turned
from overread.infer.backends.far import Serving
from overread.infer.channels import Channels, normalised
from overread.infer.inputs import Patches
from overread.infer.manifest import ModelSpec, Output
from overread.infer.results import Timing, require_numbers
from overread.infer.segment import parts
from overread.infer.windows import Windows

F32 = NDArray[np.float32]


@dataclass(eq=False)
class Answer:
    """What a 3-D model says about a volume, while it is put together plane by plane.

    `labels` (k, j, i) on the volume's own grid hold 0 for nothing and n + 1 for output n, `score` the probability of
    that label in 255ths. `backend` is what ran: "ONNX Runtime CPU fp32", or several. It counts for nothing until it is
    `whole`.
    """

    labels: NDArray[np.uint16]
    score: NDArray[np.uint8]
    whole: bool = False
    backend: str = ""
    timing: Timing = field(default_factory=lambda: Timing(0.0, 0.0, 0.0))


class VolumeRun:
    """One 3-D model on one volume, with the other series that it reads. For one worker thread."""

    def __init__(self, spec: ModelSpec, patches: Patches, served: Serving, volume: Volume, others: Channels) -> None:
        self.spec, self.served, self._patches = spec, served, patches
        self._volume, self._others = volume, others
        self._turn = turned(volume.grid, patches.orientation)
        self._native = self._turn.grid(volume.grid)
        self._grid = respaced(self._native, patches.spacing_mm)

    def tensor(self, cancel: Cancel) -> tuple[F32, tuple[float, ...]]:
        """The volume as the model sees it, shape (channels, k, j, i), and the value of nothing in each channel.

        Values are brought to the model's scale where they were stored, and then interpolated. Cancelled where the
        work was called off.
        """
        spec, own = self.spec, self._volume.stack.role
        rules = {each.role: each.intensity for each in spec.inputs} or {own: spec.prepare.intensity}
        out = np.empty((len(rules), *self._grid.shape), np.float32)
        fill = []
        for channel, (role, rule) in enumerate(rules.items()):
            if role == own:
                values, scale = normalised(self._volume, rule, cancel)
                lone = lone_axis(self._native.spacing, self._grid.spacing) if self._patches.apart else None
                cubic, turned_values = self._patches.cubic, self._turn.view(values)
                there = refitted(turned_values, self._grid.shape, cancel, cubic=cubic, nearest=lone)
            else:
                other = self._others[role]
                values, scale = normalised(other.volume, rule, cancel)
                there = moved(values, other.volume.grid, self._grid, other.motion, cancel, scale.background)
            out[channel] = there
            fill.append(scale.background)
        return out, tuple(fill)

    def blank(self) -> Answer:
        """An answer to be put together by `read`."""
        shape = self._volume.grid.shape
        return Answer(np.zeros(shape, np.uint16), np.zeros(shape, np.uint8))

    def read(self, answer: Answer, cancel: Cancel) -> Iterator[tuple[int, int]]:
        """Read the whole volume into a blank answer; how many patches are read, and of how many.

        Cancelled where the work was called off, within a patch too. UserError where the network gives no numbers.
        """
        patches, name = self._patches, self.spec.output_name
        began = time.perf_counter()
        values, fill = self.tensor(cancel)
        windows = Windows(values, patches.size, patches.overlap, patches.mirror, fill)
        sheets = _Sheets(self.spec.outputs, patches, self._grid, self._native)
        labels, score = self._turn.view(answer.labels), self._turn.view(answer.score)
        ready = time.perf_counter()
        inside, backend, ran = 0.0, self.served.backend, dict[str, None]()

        def predict(tensor: F32) -> F32:
            nonlocal inside
            start = time.perf_counter()
            given: F32 = backend.run(tensor, cancel)[name]
            inside += time.perf_counter() - start
            ran[f"{backend.name} {backend.precision}"] = None
            require_numbers([given], f"{self.spec.name} gave no numbers for a part of the series")
            return np.asarray(given[0])

        for step in windows.steps(predict):
            if step.planes is None:
                yield step.done, windows.count
                continue
            for k, drawn, sure in sheets.drawn(step.first, np.asarray(step.planes, np.float32)):
                labels[k], score[k] = drawn, sure
        end = time.perf_counter()
        answer.timing = Timing((ready - began) * 1e3, inside * 1e3, (end - ready - inside) * 1e3)
        answer.backend, answer.whole = ", ".join(ran), True

    def proposals(self, answer: Answer) -> list[Proposal]:
        """One proposal for each connected part of each label, largest first; none from an answer that is not whole."""
        if not answer.whole:
            return []
        return [
            Proposal(
                output.label,
                output.concept,
                output.category,
                mask,
                mean,
                output.anatomy,
                output.colour,
                probabilities=_drawn_alone(mask, answer.score),
            )
            for label, output in enumerate(self.spec.outputs, start=1)
            for mask, mean in parts(output, answer.labels == label, answer.score, self._volume.grid)
        ]


def _drawn_alone(mask: Mask, score: NDArray[np.uint8]) -> Probabilities | None:
    """How sure the label was of the voxels that it won, in its box; of others nothing is known, and 0 is kept."""
    return Probabilities.of(np.where(mask.inner, score[mask.box], np.uint8(0)), mask.start, mask.shape)


class _Sheets:
    """Planes on the model's grid → labelled planes on the volume's, as soon as both neighbours of each are there.

    Classes are interpolated linearly, along a lone axis taken from the nearest, and compared afterwards. Where no
    pixel of two neighbouring planes shows anything, nothing between them does: interpolated values lie between theirs.
    """

    def __init__(self, outputs: tuple[Output, ...], patches: Patches, grid: Grid, native: Grid) -> None:
        self._outputs, self._patches = outputs, patches
        self._size = native.shape[1:]
        self._lone = lone_axis(grid.spacing, native.spacing) if patches.apart else None
        scale, last = grid.shape[0] / native.shape[0], grid.shape[0] - 1
        self._at: Floats = np.clip((np.arange(native.shape[0]) + 0.5) * scale - 0.5, 0, last)
        if self._lone == 0:
            self._at = np.clip(np.floor(self._at + 0.5), 0, last)
        self._next = 0
        self._before: tuple[F32, bool] | None = None

    def drawn(self, first: int, planes: F32) -> Iterator[tuple[int, NDArray[np.uint16], NDArray[np.uint8]]]:
        """The planes of the volume that are settled by planes (classes, n, j, i) from `first` on: k, labels, scores."""
        held = {first + n: planes[:, n] for n in range(planes.shape[1])}
        shows = {k: self._shows(plane) for k, plane in held.items()}
        if self._before is not None:
            held[first - 1], shows[first - 1] = self._before
        last = first + planes.shape[1] - 1
        while self._next < len(self._at) and np.ceil(self._at[self._next]) <= last:
            at = float(self._at[self._next])
            low, high = int(np.floor(at)), int(np.ceil(at))
            if shows[low] or shows[high]:
                share = np.float32(at - low)
                mixed = held[low] if low == high else (1 - share) * held[low] + share * held[high]
                within = self._lone - 1 if self._lone else None
                fitted = np.stack([stretched(plane, self._size, nearest=within) for plane in mixed])
                yield self._next, *self._decided(fitted)
            self._next += 1
        self._before = held[last].copy(), shows[last]

    def _limits(self) -> Floats:
        """The thresholds of regions, as the network counts."""
        limits = np.array([output.threshold for output in self._outputs])
        if self._patches.logits:
            with np.errstate(divide="ignore"):
                limits = np.log(limits) - np.log1p(-limits)
        return limits

    def _shows(self, plane: F32) -> bool:
        """Whether any pixel of a plane (classes, j, i) is more than background."""
        if self._patches.labels == "softmax":
            return bool((plane[1:] > plane[0]).any())
        limits = self._limits()
        return any(bool((plane[o.channel] >= limit).any()) for o, limit in zip(self._outputs, limits, strict=True))

    def _decided(self, values: F32) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """Labels and scores of a plane (classes, j, i)."""
        labels = np.zeros(values.shape[1:], np.uint16)
        if self._patches.labels == "softmax":
            labels[...] = values.argmax(axis=0)
            best = values.max(axis=0)
            sure = 1 / np.exp(values - best).sum(axis=0) if self._patches.logits else best
        else:
            best = np.zeros(labels.shape, np.float32)
            for number, (output, limit) in enumerate(zip(self._outputs, self._limits(), strict=True), start=1):
                above = values[output.channel] >= limit
                labels[above] = number
                best[above] = values[output.channel][above]
            sure = 1 / (1 + np.exp(-best)) if self._patches.logits else best
        return labels, np.rint(sure * 255).clip(0, 255).astype(np.uint8)
