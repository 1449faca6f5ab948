"""Kinds of lesions, classes of images and boxes: what the engine makes of a network's answers, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from overread.domain.errors import Cancelled, UserError
from overread.domain.finding import Kind, Mask, only_box
from overread.domain.geometry import Grid, Plane
from overread.domain.ports import Cancel, Proposal
from overread.domain.volume import Volume
from overread.infer import segment
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.detect import linked, pooled
from overread.infer.detector import ModelRun, OnnxDetector
from overread.infer.graphs import Merge
from overread.infer.manifest import read
from overread.infer.results import SliceBox, SliceResult
from overread.infer.scheduler import SliceQueue
from overread.infer.segment import MARGIN_MM
from support.engines import served_by
from support.tiny import answers, kinds_model, peaks_model, sides_model
from support.values import box_grid, volume

CPU = Chain((REFERENCE,))


def detector(folder: Path) -> OnnxDetector:
    return OnnxDetector(read(folder), CPU)


def read_all(made: OnnxDetector, seen: Volume) -> tuple[dict[int, SliceResult], list[Proposal]]:
    run = made.start(seen)
    results = {result.index: result for result in run.slices(SliceQueue(run.count))}
    return results, run.proposals(results)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def head() -> Volume:
    """A body on black with a bright block where it becomes wider and another where it stays as it is."""
    body = np.zeros((12, 64, 64), np.int16)
    body[:, 8:56, 8:56] = np.random.default_rng(5).integers(280, 320, (12, 48, 48))
    body[:2, :, 30:], body[2, :, 40:] = 0, 0
    body[2:4, 20:30, 20:30] = 1500
    body[8:10, 40:46, 40:46] = 1500
    body[8, 12, 12] = 1500
    return volume(body, box_grid((12, 64, 64), (3.0, 1.5, 1.5)))


class TestKinds:
    """A segmentation whose second output tells kinds of lesions apart."""

    def test_each_part_takes_the_likeliest_kind_of_its_voxels(self, folder: Path, head: Volume) -> None:
        made = detector(kinds_model(folder))
        results, proposals = read_all(made, head)
        run = made.start(head)
        kinds = {}
        for k in range(12):
            tensor = run.slicer.tensor(k)[0]
            logits = np.array([(tensor[2] - tensor[0]).mean(), 0.1])
            kinds[k] = np.exp(logits) / np.exp(logits).sum()
        for k, result in results.items():
            if result.patches[0] is None:
                assert result.classes == ()
            else:
                assert [named.label for named in result.classes] == ["Rising", "Level"]
                np.testing.assert_allclose([named.probability for named in result.classes], kinds[k], atol=1e-4)
        assert len(proposals) == 2, "the single voxel is less than a quarter of the largest part"
        for proposal in proposals:
            voxels = proposal.mask.voxels
            expected = sum(kinds[k] * voxels[k].sum() for k in range(12)) / voxels.sum()
            assert [label for label, _ in proposal.classes] == ["Rising", "Level"]
            np.testing.assert_allclose([p for _, p in proposal.classes], expected, atol=1e-4)
            assert proposal.label == ("Rising", "Level")[int(expected.argmax())]
            assert proposal.kind is Kind.SEGMENTATION
            assert proposal.score is not None
            assert 0.5 <= proposal.score <= 1
        assert [(p.label, p.colour, p.mask.start[0]) for p in proposals] == [
            ("Rising", "#112233", 2),
            ("Level", "#445566", 8),
        ]

    def test_the_probabilities_are_kept_that_the_network_gave(self, folder: Path, head: Volume) -> None:
        """On its own grid they are the network's, round what it drew too, and from the threshold on the very mask."""
        made = detector(kinds_model(folder, "kept"))
        _, proposals = read_all(made, head)
        run = made.start(head)
        given = np.stack([answers(made.spec.weights, run.slicer.tensor(k))["probability"][0, 0] for k in range(12)])
        for proposal in proposals:
            assert proposal.probabilities is not None
            kept, mask = proposal.probabilities, proposal.mask
            assert np.array_equal(kept.voxels >= round(made.spec.outputs[0].threshold * 255), mask.voxels)
            np.testing.assert_allclose(kept.inner / 255, given[kept.box], atol=0.5 / 255 + 1e-4)
            assert kept.voxels[mask.voxels].mean() / 255 == pytest.approx(proposal.score)
            wide = [1, *(math.ceil(MARGIN_MM / mm) for mm in head.grid.spacing[1:])]
            assert kept.start == tuple(max(0, at - by) for at, by in zip(mask.start, wide, strict=True))
            ends = zip(mask.start, mask.extent, wide, mask.shape, strict=True)
            until = tuple(min(size, at + n + by) for at, n, by, size in ends)
            assert tuple(np.add(kept.start, kept.extent)) == until

    def test_a_box_that_is_too_large_with_its_margin_is_kept_without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        mask = Mask.of(np.ones((4, 5, 6), np.bool_), (2, 2, 2), (9, 9, 9))
        score = np.arange(729, dtype=np.uint16).astype(np.uint8).reshape(9, 9, 9)
        for most, margin in ((8 * 7 * 6, 1), (8 * 7 * 6 - 1, 0), (4 * 5 * 6, 0)):
            monkeypatch.setattr(segment, "LARGEST", most)
            kept = segment.field(mask, score, (1, 1, 1))
            assert kept is not None
            assert kept.start == (2 - margin,) * 3
            assert kept.extent == (4 + 2 * margin, 5 + 2 * margin, 6 + 2 * margin)
            assert np.array_equal(kept.inner, score[kept.box])


class TestClasses:
    """A classification of whole images."""

    @pytest.mark.parametrize("fit", ["stretch", "inside"])
    def test_each_class_once_whatever_the_threshold(self, folder: Path, fit: str) -> None:
        picture = np.zeros((1, 128, 96), np.uint16)
        picture[0, :, 32:] = 1000
        made = detector(sides_model(folder, f"sides-{fit}", fit=fit))
        grid = box_grid((1, 128, 96), oriented=False, calibrated=False)
        results, proposals = read_all(made, volume(picture, grid))
        bright = 2 / 3 if fit == "stretch" else 0.5
        assert [(p.label, p.kind, p.threshold) for p in proposals] == [
            ("Bright", Kind.CLASSIFICATION, 0.5),
            ("Dark", Kind.CLASSIFICATION, 0.9),
        ]
        assert [p.score for p in proposals] == [pytest.approx(bright, abs=0.01), pytest.approx(1 - bright, abs=0.01)]
        assert [named.probability for named in results[0].classes] == [p.score for p in proposals]
        assert [not p.mask for p in proposals] == [True, True]
        heat = proposals[0].heatmap
        assert heat is not None
        assert (heat.shape, heat.method, heat.layer, heat.label, heat.index) == ((8, 8), "CAM", "bright", "Bright", 0)
        assert heat.plane is Plane.AXIAL
        assert heat.extent == pytest.approx((0, 0, 128, 96) if fit == "stretch" else (0, -16, 128, 112))
        assert heat == results[0].heatmaps[0]
        # A cell lies where its part of the extent lies: those right of the edge are bright, those left of it dark.
        middle = heat.extent[1] + (np.arange(8) + 0.5) * (heat.extent[3] - heat.extent[1]) / 8
        cells = (middle > 40) & (middle < 92)
        np.testing.assert_allclose(heat.values[1:-1, cells], 1, atol=0.01)
        np.testing.assert_allclose(heat.values[1:-1, middle < 24], 0, atol=0.01)
        assert proposals[1].heatmap is not None
        np.testing.assert_allclose(proposals[1].heatmap.values, 1 - heat.values, atol=1e-5)

    def test_colour(self, folder: Path) -> None:
        picture = np.zeros((1, 64, 64, 3), np.uint8)
        picture[..., 0] = 255
        grid = box_grid((1, 64, 64), oriented=False, calibrated=False)
        made = detector(sides_model(folder, "colour", channels="rgb", modality="OP"))
        _, proposals = read_all(made, volume(picture, grid))
        assert [p.score for p in proposals] == [pytest.approx(1 / 3, abs=1e-5), pytest.approx(2 / 3, abs=1e-5)]

    def test_each_image_of_a_stack_for_itself(self, folder: Path) -> None:
        pictures = np.zeros((2, 64, 64), np.uint16)
        pictures[1] = 1000
        grid = box_grid((2, 64, 64), oriented=False, calibrated=False)
        _, proposals = read_all(detector(sides_model(folder, "several")), volume(pictures, grid))
        told = [(p.heatmap.index, p.label, round(p.score)) for p in proposals if p.heatmap and p.score is not None]
        assert told == [(0, "Bright", 0), (0, "Dark", 1), (1, "Bright", 1), (1, "Dark", 0)]


def blobs(shape: tuple[int, int, int], *middles: tuple[int, int, int, float]) -> NDArray[np.int16]:
    """Round hills 600 to 1000 high, each over slices at most one from its middle."""
    k, j, i = np.indices(shape)
    hills = np.zeros(shape)
    for at, row, column, height in middles:
        hill = height * np.exp(-((j - row) ** 2 + (i - column) ** 2) / 60)
        hills += np.where(np.abs(k - at) <= 1, hill * (1 - 0.1 * np.abs(k - at)), 0)
    return hills.astype(np.int16)


HILLS = ((3, 30, 40, 1000.0), (8, 60, 70, 900.0), (8, 20, 75, 800.0))
# Three slices of 2 mm from the middle of a hill to either side of it, and the network's box round its peak.
EXPECTED = [(2, 26, 37, 5, 35, 44), (7, 56, 67, 10, 65, 74), (7, 16, 72, 10, 25, 79)]


@pytest.fixture(scope="module")
def chest() -> Volume:
    return volume(blobs((12, 96, 96), *HILLS), box_grid((12, 96, 96), (2.0, 1.0, 1.0)))


class TestBoxes:
    """A detector's boxes, linked from slice to slice."""

    def test_boxes_of_neighbouring_slices_are_one(self, folder: Path, chest: Volume) -> None:
        results, proposals = read_all(detector(peaks_model(folder)), chest)
        assert [p.box for p in proposals] == EXPECTED
        assert [p.kind for p in proposals] == [Kind.DETECTION] * 3
        assert all(only_box(p.mask, p.box) for p in proposals)
        assert [k for k, result in results.items() if result.boxes] == [2, 3, 4, 7, 8, 9]
        assert [p.score for p in proposals] == [
            max(box.score for box in results[k].boxes if abs(box.edges[0] - row) < 1)
            for k, row in ((3, 26), (8, 56), (8, 16))
        ]
        first, second = results[8].boxes
        assert first.edges == pytest.approx((56, 67, 65, 74))
        assert (first.label, first.outline) == ("Peak", None)
        assert first.score > second.score

    def test_slices_too_far_apart_are_not_linked(self, folder: Path, chest: Volume) -> None:
        _, proposals = read_all(detector(peaks_model(folder, "near", gap_mm=1.9)), chest)
        assert sorted((p.box[0], p.box[3]) for p in proposals if p.box) == sorted(
            (k, k + 1) for k in (2, 3, 4, 7, 7, 8, 8, 9, 9)
        )

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    @pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
    def test_boxes_lie_where_the_hills_are_whichever_way_the_voxels_lie(
        self, folder: Path, order: tuple[int, int, int], signs: tuple[int, int, int]
    ) -> None:
        """The same head stored in another order of axes and directions: the boxes move with the voxels."""
        made = detector(folder / "turned" if (folder / "turned").exists() else peaks_model(folder, "turned"))
        straight = blobs((12, 90, 84), *HILLS)
        stored = np.ascontiguousarray(straight.transpose(order)[tuple(slice(None, None, sign) for sign in signs)])
        affine = np.eye(4)
        columns = np.array([(0, 0, 2.0), (0, 1.0, 0), (1.0, 0, 0)])[list(order)]  # what k, j and i step by, in LPS
        affine[:3, :3] = (columns * np.array(signs)[:, None]).T
        _, proposals = read_all(made, volume(stored, Grid(stored.shape, affine)))
        for proposal, (k0, j0, i0, k1, j1, i1) in zip(proposals, EXPECTED, strict=True):
            expected = np.zeros(straight.shape, bool)
            expected[k0:k1, j0:j1, i0:i1] = True
            turned = expected.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
            seen = np.zeros(stored.shape, bool)
            assert proposal.box is not None
            a, b, c, d, e, f = proposal.box
            seen[a:d, b:e, c:f] = True
            np.testing.assert_array_equal(seen, turned)
            assert proposal.mask == Mask.of(seen)

    def test_what_lies_in_a_box_is_outlined(self, folder: Path, chest: Volume) -> None:
        """The second network keeps what is above the middle of its crop's grey values: a disc, as the hill is round."""
        made = detector(peaks_model(folder, "outlined", contour=True))
        results, proposals = read_all(made, chest)
        assert [p.box for p in proposals] == EXPECTED
        for proposal, (at, row, column, _) in zip(proposals, HILLS, strict=True):
            voxels = proposal.mask.voxels
            assert np.flatnonzero(voxels.any(axis=(1, 2))).tolist() == [at - 1, at, at + 1]
            crop = chest.voxels[at, row - 12 : row + 13, column - 12 : column + 13]
            low, high = float(crop.min()), float(crop.max())
            hill = chest.voxels[at] >= (low + high) / 2
            around = np.zeros_like(hill)
            around[row - 12 : row + 13, column - 12 : column + 13] = True
            differing = (voxels[at] ^ (hill & around)).sum()
            assert differing <= 0.1 * voxels[at].sum(), "the crop's corners are 12.0 mm away, those here 12"
        patch = results[3].boxes[0].outline
        assert patch is not None
        top, left = patch.start
        np.testing.assert_array_equal(
            proposals[0].mask.voxels[3, top : top + patch.mask.shape[0], left : left + patch.mask.shape[1]], patch.mask
        )

    def test_only_the_part_in_the_box_is_its_outline(self, folder: Path) -> None:
        """A brighter streak in the crop, beside the box, is not the finding's."""
        voxels = blobs((3, 96, 96), (1, 48, 48, 900.0))
        voxels[1, 36:61, 58] = 900
        made = detector(peaks_model(folder, "beside", contour=True))
        results, _ = read_all(made, volume(voxels, box_grid(voxels.shape, (2.0, 1.0, 1.0))))
        box = next(box for box in results[1].boxes if box.edges == pytest.approx((44, 45, 53, 52)))
        assert box.outline is not None
        assert box.outline.start[1] + box.outline.mask.shape[1] <= 58

    def test_an_outline_without_numbers_is_no_outline(self, folder: Path, chest: Volume) -> None:
        made = detector(peaks_model(folder, "void", contour=True))
        run = made.start(chest)

        class Void:
            name, precision = "void", "fp32"

            def run(self, tensor: NDArray[np.float32], cancel: Cancel) -> dict[str, NDArray[np.float32]]:
                return {"inside": np.full_like(tensor, np.nan)}

        with pytest.raises(UserError, match="outline holds no numbers"):
            list(
                ModelRun(made.spec, served_by(run.served.backend, contour=Void()), chest).slices(SliceQueue(run.count))
            )

    def test_a_second_network_judges_the_boxes_anew(self, folder: Path, chest: Volume) -> None:
        """The chance is the mean grey in the middle of the box, 0.97 of a hill's height; the detector's score is 0.94.

        On the slices beside its middle a hill has 0.9 of its height. The score is the geometric mean of both odds.
        """
        detected = {p.box: p.score for p in read_all(detector(peaks_model(folder, "once")), chest)[1]}
        made = detector(peaks_model(folder, "twice", contour=True, verify=0.5, threshold=0.85))
        results, proposals = read_all(made, chest)
        assert [k for k, result in results.items() if result.boxes] == [2, 3, 4, 8]
        assert [p.box for p in proposals] == [EXPECTED[0], (8, *EXPECTED[1][1:3], 9, *EXPECTED[1][4:])]
        steps = np.array([-1.125, -0.375, 0.375, 1.125])
        for proposal, (at, row, column, height) in zip(proposals, HILLS[:2], strict=True):
            j, i = np.meshgrid(row + steps, column + steps, indexing="ij")
            grey = ndimage.map_coordinates(chest.voxels[at].astype(float), [j, i], order=1) / 1000
            score = detected[EXPECTED[HILLS.index((at, row, column, height))]]
            assert score is not None
            assert proposal.score is not None
            odds = np.sqrt(grey.mean() / (1 - grey.mean()) * score / (1 - score))
            assert proposal.score == pytest.approx(odds / (1 + odds), abs=1e-3)  # OpenCV rounds places to 1/32 pixel
        assert results[8].boxes[0].outline is not None

    def test_what_the_detector_doubts_is_not_looked_at_again(self, folder: Path, chest: Volume) -> None:
        """The third hill's boxes score 0.75 and beside its middle 0.67 to the detector."""
        made = detector(peaks_model(folder, "floor", verify=0.7, threshold=0.5))
        run = made.start(chest)
        seen: list[int] = []

        class Counting:
            name, precision = "counting", "fp32"

            def run(self, tensor: NDArray[np.float32], cancel: Cancel) -> dict[str, NDArray[np.float32]]:
                seen.append(len(tensor))
                return {"chance": np.full((len(tensor), 1), 0.6, np.float32)}

        run = ModelRun(made.spec, served_by(run.served.backend, verify=Counting()), chest)
        results = [result for result in run.slices(SliceQueue(run.count)) if result.boxes]
        assert [(result.index, len(result.boxes)) for result in results] == [
            (2, 1),
            (3, 1),
            (4, 1),
            (7, 1),
            (8, 2),
            (9, 1),
        ]
        assert seen == [1, 1, 1, 1, 2, 1], "the boxes of a slice go together, and no slice without boxes"

    def test_what_a_second_look_holds_for_likely_is_seen_upside_down_as_well(self, folder: Path, chest: Volume) -> None:
        """The first of the two boxes of a slice is: the odds of both chances have their geometric mean."""
        made = detector(peaks_model(folder, "again", verify=0.7, threshold=0.01))
        assert made.spec.verify is not None
        spec = replace(made.spec, verify=replace(made.spec.verify, again=0.4))
        crops: list[NDArray[np.float32]] = []

        class Lopsided:
            name, precision = "lopsided", "fp32"

            def run(self, tensor: NDArray[np.float32], cancel: Cancel) -> dict[str, NDArray[np.float32]]:
                crops.append(tensor.copy())
                first = 0.5 if len(crops) == 1 else 0.9
                return {"chance": np.array([[first], [0.3]], np.float32)[: len(tensor)]}

        served = made.start(chest).served
        run = ModelRun(spec, served_by(served.backend, verify=Lopsided()), chest)
        queue = SliceQueue(run.count, frozenset(range(run.count)) - {8})
        (result,) = run.slices(queue)
        once, again = crops
        assert len(once) == 2
        np.testing.assert_array_equal(again, once[:1, :, ::-1, ::-1])
        found = served.backend.run(run.slicer.tensor(8), Cancel())[spec.output_name][0, :2, 4]
        wanted = [pooled(float(score), chance) for score, chance in zip(found, (0.75, 0.3), strict=True)]
        np.testing.assert_allclose([box.score for box in result.boxes], wanted, atol=1e-5)  # odds of 1 and 9 make 3

    def test_a_second_look_that_is_called_off_leaves_no_slice(self, folder: Path, chest: Volume) -> None:
        made = detector(peaks_model(folder, "off", verify=0.5))
        served = made.start(chest).served
        queue = SliceQueue(chest.grid.shape[0])

        class CalledOff:
            name, precision = "off", "fp32"

            def run(self, tensor: NDArray[np.float32], cancel: Cancel) -> dict[str, NDArray[np.float32]]:
                queue.close()
                raise Cancelled

        run = ModelRun(made.spec, served_by(served.backend, verify=CalledOff()), chest)
        assert [result.index for result in run.slices(queue)] == [0, 1], "slice 2 has the first box"

    def test_a_second_look_without_numbers_is_no_look(self, folder: Path, chest: Volume) -> None:
        made = detector(peaks_model(folder, "blind", verify=0.5))
        served = made.start(chest).served

        class Void:
            name, precision = "void", "fp32"

            def run(self, tensor: NDArray[np.float32], cancel: Cancel) -> dict[str, NDArray[np.float32]]:
                return {"chance": np.full((len(tensor), 1), np.nan, np.float32)}

        run = ModelRun(made.spec, served_by(served.backend, verify=Void()), chest)
        with pytest.raises(UserError, match="second look holds no numbers"):
            list(run.slices(SliceQueue(run.count)))

    def test_an_empty_image_shows_nothing(self, folder: Path) -> None:
        empty = volume(np.zeros((2, 96, 96), np.int16), box_grid((2, 96, 96), (2.0, 1.0, 1.0)))
        assert read_all(detector(peaks_model(folder, "empty", contour=True, verify=0.5)), empty)[1] == []


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [(0.5, 0.5, 0.5), (0.9, 0.1, 0.5), (0.8, 0.5, 2 / 3), (1.0, 0.5, 0.999), (0.0, 0.9, 0.003)],
)
def test_two_chances_are_one(one: float, other: float, both: float) -> None:
    assert pooled(one, other) == pytest.approx(pooled(other, one))
    assert pooled(one, other) == pytest.approx(both, abs=1e-3)


def _boxes(*edges: tuple[int, float, float, float, float]) -> Sequence[tuple[int, SliceBox]]:
    return [(k, SliceBox((a, b, c, d), 0.5, "x", "#000000")) for k, a, b, c, d in edges]


def test_linked_boxes() -> None:
    merge = Merge(0.5, 2.5)
    assert linked([], merge, 1.0) == []
    # The first and the third overlap by 1/3 only, but both overlap with the second by 2/3 or so.
    chain = _boxes((0, 0, 0, 10, 10), (1, 2.5, 0, 12.5, 10), (2, 5, 0, 15, 10), (2, 30, 30, 40, 40))
    assert linked(chain, merge, 1.0) == [[0, 1, 2], [3]]
    half = _boxes((0, 0, 0, 10, 10), (0, 0, 0, 10, 5))
    assert linked(half, merge, 1.0) == [[0, 1]]
    assert linked(half, Merge(0.51, 2.5), 1.0) == [[0], [1]]
    apart = _boxes((0, 0, 0, 10, 10), (5, 0, 0, 10, 10))
    assert linked(apart, merge, 0.5) == [[0, 1]]
    assert linked(apart, merge, 0.51) == [[0], [1]]


edges = st.tuples(st.integers(0, 6), st.floats(0, 8), st.floats(0, 8), st.floats(1, 6), st.floats(1, 6))


@given(st.lists(edges, max_size=12), st.floats(0.1, 0.9), st.floats(0, 5), st.floats(0.5, 3))
def test_links_are_those_that_comparing_each_with_each_finds(
    made: list[tuple[int, float, float, float, float]], overlap: float, gap_mm: float, step_mm: float
) -> None:
    seen = _boxes(*((k, a, b, a + c, b + d) for k, a, b, c, d in made))
    groups = [{at} for at in range(len(seen))]
    for (one, (k, a)), (two, (m, b)) in combinations(enumerate(seen), 2):
        sides = [min(a.edges[x + 2], b.edges[x + 2]) - max(a.edges[x], b.edges[x]) for x in (0, 1)]
        common = max(sides[0], 0) * max(sides[1], 0)
        areas = [(e[2] - e[0]) * (e[3] - e[1]) for e in (a.edges, b.edges)]
        share, apart = common / (sum(areas) - common), abs(k - m) * step_mm
        assume(abs(share - overlap) > 1e-6)
        assume(abs(apart - gap_mm) > 0.01)
        if share > overlap and apart < gap_mm:
            joined = next(g for g in groups if one in g) | next(g for g in groups if two in g)
            groups = [g for g in groups if not g & joined] + [joined]
    assert {frozenset(group) for group in linked(seen, Merge(overlap, gap_mm), step_mm)} == set(map(frozenset, groups))
