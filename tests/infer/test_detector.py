"""A model on a volume: slice by slice as the reader scrolls or all at once, the answer is the same, in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from overread.domain.errors import Cancelled, UserError
from overread.domain.finding import Mask
from overread.domain.geometry import Grid
from overread.domain.ports import Cancel, Proposal
from overread.domain.volume import Volume
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.backends.serving import Served
from overread.infer.detector import ModelRun, OnnxDetector
from overread.infer.manifest import read
from overread.infer.results import SliceResult
from overread.infer.scheduler import SliceQueue
from support.engines import served_by
from support.models import bright_model
from support.values import box_grid, volume

CPU = Chain((REFERENCE,))
SLICES = 30


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> OnnxDetector:
    return OnnxDetector(read(bright_model(tmp_path_factory.mktemp("models"))), CPU)


def head(shape: tuple[int, int, int], spots: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A grey body on black with bright balls in it off centre, and which voxels are bright."""
    k, j, i = (axis / n for axis, n in zip(np.indices(shape), shape, strict=True))
    body = ((k - 0.5) ** 2 + (j - 0.5) ** 2 + (i - 0.5) ** 2) < 0.2
    bright = ((k - 0.4) ** 2 + (j - 0.65) ** 2 + (i - 0.35) ** 2) < 0.012
    if spots > 1:
        bright |= ((k - 0.6) ** 2 + (j - 0.3) ** 2 + (i - 0.6) ** 2) < 0.006
    noise = np.random.default_rng(1).normal(0, 15, shape)
    return (body * 300 + bright * 600 + noise).astype(np.int16), bright


@pytest.fixture(scope="module")
def two_spots() -> Volume:
    return volume(head((SLICES, 90, 100), spots=2)[0], box_grid((SLICES, 90, 100), (3.0, 1.8, 1.6)))


def same(one: list[Proposal], other: list[Proposal]) -> bool:
    return [(p.label, p.mask, p.score) for p in one] == [(p.label, p.mask, p.score) for p in other]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
def test_whichever_way_the_voxels_lie_the_mask_lies_on_what_is_bright(
    detector: OnnxDetector, order: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    voxels, bright = head((40, 44, 48))
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3)[:, order] * signs) * (3.0, 3.5, 4.0)
    (proposal,) = detector(volume(voxels, Grid(voxels.shape, affine)), lambda fraction: None)
    seen = proposal.mask.voxels
    assert np.abs(np.argwhere(seen).mean(axis=0) - np.argwhere(bright).mean(axis=0)).max() < 0.3
    assert 2 * (seen & bright).sum() / (seen.sum() + bright.sum()) > 0.75
    assert proposal.score is not None
    assert 0.5 <= proposal.score <= 1


def test_the_parts_are_those_that_scipy_finds(detector: OnnxDetector, two_spots: Volume) -> None:
    proposals = detector(two_spots, lambda fraction: None)
    assert len(proposals) == 2
    together = np.logical_or.reduce([p.mask.voxels for p in proposals])
    labels, count = ndimage.label(together, np.ones((3, 3, 3)))
    assert count == 2
    assert {Mask.of(labels == n) for n in (1, 2)} == {p.mask for p in proposals}
    assert proposals[0].mask.count > proposals[1].mask.count
    least = detector.spec.outputs[0].min_volume_ml
    assert all(p.mask.count * two_spots.grid.voxel_mm3 / 1000 >= least for p in proposals)


def test_slice_by_slice_in_any_order_is_what_a_whole_run_says(detector: OnnxDetector, two_spots: Volume) -> None:
    """The reader jumps about, pauses, goes on; slices come in another order, some on a second thread's request."""
    whole = list(detector(two_spots, lambda fraction: None))
    run = detector.start(two_spots)
    queue = SliceQueue(run.count)
    queue.read_rest(wanted=False)
    results: dict[int, SliceResult] = {}
    for at, direction in ((9, -1), (20, 1), (2, -1)):
        queue.look_at(at, direction)
        results.update((result.index, result) for result in run.slices(queue))
    assert 0 < len(results) < run.count
    assert not same(run.proposals(results), whole)
    late = detector.start(two_spots)
    results.update((result.index, result) for result in late.slices(SliceQueue(run.count, frozenset(results))))
    assert list(results) != sorted(results)
    assert same(late.proposals(results), whole)
    assert same(run.proposals(dict(sorted(results.items(), reverse=True))), whole)


def test_per_slice_rescale_changes_nothing_in_the_answer(detector: OnnxDetector, two_spots: Volume) -> None:
    slope = np.resize([0.5, 1.0, 0.25], SLICES)
    stored = (two_spots.voxels / slope[:, None, None]).astype(np.int16)
    exact = volume((stored * slope[:, None, None] * 4).astype(np.int16), two_spots.grid)
    scaled = volume(stored, two_spots.grid, slope=list(slope * 4))
    assert same(
        list(detector(scaled, lambda fraction: None)),
        list(detector(exact, lambda fraction: None)),
    )


def test_progress_is_told_and_can_call_the_run_off(detector: OnnxDetector, two_spots: Volume) -> None:
    told: list[float] = []
    detector(two_spots, told.append)
    assert told == [pytest.approx((n + 1) / SLICES) for n in range(SLICES)]

    def stop(fraction: float) -> None:
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        detector(two_spots, stop)


def test_nothing_bright_is_nothing_found(detector: OnnxDetector) -> None:
    dull = volume(np.random.default_rng(2).integers(90, 110, (4, 60, 60)).astype(np.int16))
    spec = replace(detector.spec, outputs=(replace(detector.spec.outputs[0], threshold=1.0),))
    assert list(OnnxDetector(spec, CPU)(dull, lambda fraction: None)) == []


def test_the_gate_speaks_for_the_detector(detector: OnnxDetector, two_spots: Volume) -> None:
    assert detector.refuse(replace(two_spots.stack, role="FLAIR")) == ""
    assert detector.refuse(two_spots.stack).startswith("Bright does not read this series: ")


class Steered:
    """The real backend, but that the run of a given number is disturbed."""

    name, precision = "steered", "fp32"

    def __init__(self, served: Served) -> None:
        self._served, self._runs = served, 0
        self.before: dict[int, Callable[[], object]] = {}
        self.without_numbers: set[int] = set()

    def run(self, tensor: np.ndarray, cancel: Cancel) -> Mapping[str, np.ndarray]:
        self._runs += 1
        self.before.get(self._runs, lambda: None)()
        answer = self._served.backend.run(tensor, cancel)
        void = self._runs in self.without_numbers
        return {name: np.full_like(output, np.nan) if void else output for name, output in answer.items()}


@pytest.fixture
def steered(detector: OnnxDetector, two_spots: Volume) -> tuple[ModelRun, Steered]:
    backend = Steered(detector.start(two_spots).served)
    return ModelRun(detector.spec, served_by(backend), two_spots), backend


def test_a_slice_that_was_called_off_is_not_lost(steered: tuple[ModelRun, Steered]) -> None:
    run, backend = steered
    queue = SliceQueue(run.count)
    queue.read_rest(wanted=False)
    queue.look_at(0, -1)
    backend.before[2] = lambda: queue.look_at(28, 1)  # slice 1 is about to run when the reader scrolls away
    assert [result.index for result in run.slices(queue)] == [0, 28, 29, 27, 26, 25]
    queue.read_rest(wanted=True)
    assert sorted(result.index for result in run.slices(queue)) == list(range(1, 25))


def test_an_answer_without_numbers_is_no_clean_slice(steered: tuple[ModelRun, Steered]) -> None:
    run, backend = steered
    backend.without_numbers.add(5)
    read_so_far: list[int] = []
    with pytest.raises(UserError, match=r"^Bright gave no numbers for slice 5, so nothing was read\."):
        read_so_far.extend(result.index for result in run.slices(SliceQueue(run.count)))
    assert read_so_far == [0, 1, 2, 3]
