"""A 3-D model on a volume: what it sees, where its answer lies, what counts, and how it is called off."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper
from scipy import ndimage
from skimage.transform import resize

from overread.domain import probability
from overread.domain.errors import Cancelled, UserError
from overread.domain.geometry import Grid, Plane
from overread.domain.ports import Cancel, Proposal
from overread.domain.volume import Volume
from overread.imaging.registration import Registration
from overread.infer.backends.chain import CHAIN, Chain
from overread.infer.channels import Channel, laid
from overread.infer.detector import OnnxDetector
from overread.infer.gate import partners, refusal
from overread.infer.manifest import read
from support.tiny import graph, names, noise, write
from support.values import box_grid, stack, volume
from support.volumes import ROLES, linear, volume_model

CPU = Chain([candidate for candidate in CHAIN if candidate.label == "ONNX Runtime CPU fp32"])


def made(folder: Path, **settings: object) -> OnnxDetector:
    return OnnxDetector(read(volume_model(folder, **settings)), CPU)  # type: ignore[arg-type]


def head(shape: tuple[int, int, int], spots: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A grey body on exact zeros with bright balls in it off centre, and which voxels are bright."""
    k, j, i = (axis / n for axis, n in zip(np.indices(shape), shape, strict=True))
    body = ((k - 0.5) ** 2 + (j - 0.5) ** 2 + (i - 0.5) ** 2) < 0.2
    bright = ((k - 0.4) ** 2 + (j - 0.65) ** 2 + (i - 0.35) ** 2) < 0.012
    if spots > 1:
        bright |= ((k - 0.6) ** 2 + (j - 0.3) ** 2 + (i - 0.6) ** 2) < 0.006
    return (body * 300 + bright * 600).astype(np.int16), bright


def flair(voxels: np.ndarray, grid: Grid | None = None) -> Volume:
    return volume(voxels, grid, role="FLAIR")


def seen(detector: OnnxDetector, made_of: Volume) -> list[Proposal]:
    return list(detector(made_of, lambda fraction: None))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (-1, -1, -1)])
def test_whichever_way_the_voxels_lie_the_mask_lies_on_what_is_bright(
    tmp_path: Path, order: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    voxels, bright = head((40, 44, 48))
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3)[:, order] * signs) * (3.0, 3.5, 4.0)
    (proposal,) = seen(made(tmp_path), flair(voxels, Grid(voxels.shape, affine)))
    drawn = proposal.mask.voxels
    assert 2 * (drawn & bright).sum() / (drawn.sum() + bright.sum()) > 0.85
    assert np.abs(np.argwhere(drawn).mean(axis=0) - np.argwhere(bright).mean(axis=0)).max() < 0.3
    assert proposal.score is not None
    assert 0.5 < proposal.score <= 1


def test_at_its_own_spacing_the_labels_are_the_networks(tmp_path: Path) -> None:
    voxels, bright = head((40, 44, 48), spots=2)
    proposals = seen(made(tmp_path), flair(voxels, box_grid(voxels.shape, (3.0, 2.0, 2.0))))
    assert [proposal.mask.count for proposal in proposals] == sorted(
        np.bincount(ndimage.label(bright, np.ones((3, 3, 3)))[0].ravel())[1:].tolist(), reverse=True
    )
    assert np.array_equal(np.logical_or.reduce([p.mask.voxels for p in proposals]), bright)


def test_the_probabilities_are_kept_of_what_is_drawn(tmp_path: Path) -> None:
    voxels, bright = head((40, 44, 48), spots=2)
    proposals = seen(made(tmp_path), flair(voxels, box_grid(voxels.shape, (3.0, 2.0, 2.0))))
    held = voxels[voxels != 0]
    sure = 1 / (1 + np.exp(8 - 8 * (900.0 - held.mean()) / held.std()))  # the network's softmax, of what is bright
    assert len(proposals) == 2
    for proposal in proposals:
        kept = proposal.probabilities
        assert kept is not None
        assert (kept.start, kept.extent) == (proposal.mask.start, proposal.mask.extent)
        assert np.array_equal(kept.voxels > 0, proposal.mask.voxels)
        assert np.abs(kept.voxels[proposal.mask.voxels] / 255 - sure).max() < 1 / 255
        assert not kept.voxels[~bright].any()


def test_too_large_a_box_keeps_no_probabilities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voxels, _ = head((40, 44, 48), spots=2)
    seen_by = made(tmp_path)
    there = flair(voxels, box_grid(voxels.shape, (3.0, 2.0, 2.0)))
    large, small = (int(np.prod(proposal.mask.extent)) for proposal in seen(seen_by, there))
    assert large > small
    monkeypatch.setattr(probability, "LARGEST", small)
    assert [proposal.probabilities is None for proposal in seen(seen_by, there)] == [True, False]


def test_the_network_sees_what_nnunet_would_give_it(tmp_path: Path) -> None:
    """Z-scores over what is not zero, zeros kept, then skimage's resize; edges stay where they are."""
    voxels, _ = head((20, 44, 48))
    detector = made(tmp_path, prepare='interpolation = "cubic"', spacing=(2.0, 1.5, 1.5))
    grid = box_grid(voxels.shape, (3.0, 1.0, 1.0))
    (tensor, fill) = detector.start_whole(flair(voxels, grid)).tensor(Cancel())
    real = voxels.astype(np.float64)
    scaled = np.where(real != 0, (real - real[real != 0].mean()) / real[real != 0].std(), 0)
    theirs = resize(scaled, (30, 29, 32), order=3, mode="edge", anti_aliasing=False, clip=False)
    assert tensor.shape == (1, 30, 29, 32)
    assert np.abs(tensor[0] - theirs).max() < 1e-4
    assert fill == (0.0,)


def test_thick_slices_are_resampled_by_themselves_there_and_back(tmp_path: Path) -> None:
    voxels, bright = head((20, 44, 48))
    settings = 'interpolation = "cubic"\nseparate_z = true'
    detector = made(tmp_path, prepare=settings, spacing=(2.0, 1.5, 1.5))
    grid = box_grid(voxels.shape, (5.0, 1.0, 1.0))
    tensor, _ = detector.start_whole(flair(voxels, grid)).tensor(Cancel())
    assert tensor.shape == (1, 50, 29, 32)
    real = voxels.astype(np.float64)
    scaled = np.where(real != 0, (real - real[real != 0].mean()) / real[real != 0].std(), 0)
    planes = [resize(p, (29, 32), order=3, mode="edge", anti_aliasing=False, clip=False) for p in scaled]
    nearest = np.floor((np.arange(50) + 0.5) * 20 / 50).astype(int)
    assert np.abs(tensor[0] - np.stack(planes)[nearest]).max() < 1e-4
    (proposal,) = seen(detector, flair(voxels, grid))
    drawn = proposal.mask.voxels
    assert [plane.any() for plane in drawn] == [plane.any() for plane in bright], "no slice is blurred into the next"
    assert drawn[bright].all()
    assert 2 * (drawn & bright).sum() / (drawn.sum() + bright.sum()) > 0.8


def test_of_regions_the_last_one_that_is_above_wins(tmp_path: Path) -> None:
    """Whole, core, enhancing: each lies in the one before, as nnU-Net's regions_class_order has it."""
    voxels, bright = head((24, 32, 32))
    regions = made(
        tmp_path,
        weights=((8,), (8,), (8,)),
        bias=(4, 4, -8),
        labels="regions",
        outputs=("", "", "keep = 1.0"),
        size=(8, 16, 16),
    )
    proposals = seen(regions, flair(voxels, box_grid(voxels.shape, (3.0, 2.0, 2.0))))
    drawn = {p.label: p.mask.voxels for p in proposals}
    assert set(drawn) == {"Label 2", "Label 3"}, "the second paints over all of the first"
    assert np.array_equal(drawn["Label 3"], bright)
    assert (drawn["Label 2"] | drawn["Label 3"]).sum() > bright.sum()
    assert not (drawn["Label 2"] & drawn["Label 3"]).any()


def test_of_the_parts_only_the_largest_is_kept_where_the_manifest_says_so(tmp_path: Path) -> None:
    voxels, bright = head((40, 44, 48), spots=2)
    grid = box_grid(voxels.shape, (3.0, 2.0, 2.0))
    (largest,) = seen(made(tmp_path / "a", outputs=("keep = 1.0",)), flair(voxels, grid))
    labels, _ = ndimage.label(bright, np.ones((3, 3, 3)))
    assert largest.mask.count == np.bincount(labels.ravel())[1:].max()
    (together,) = seen(made(tmp_path / "b", outputs=("together = true",)), flair(voxels, grid))
    assert together.mask.count == bright.sum()


def test_progress_is_told_patch_by_patch(tmp_path: Path) -> None:
    voxels, _ = head((40, 44, 48))
    told: list[float] = []
    detector = made(tmp_path)
    detector(flair(voxels, box_grid(voxels.shape, (3.0, 2.0, 2.0))), told.append)
    assert told[-1] == 1.0
    assert len(told) == 9 * 5 * 5
    assert all(a < b for a, b in pairwise(told))
    assert detector.provenance == "ONNX Runtime CPU fp32"
    (timing,) = detector.timings
    assert min(timing.pre, timing.run, timing.post) > 0


def test_called_off_within_a_patch_it_ends_within_100_ms_and_proposes_nothing(tmp_path: Path) -> None:
    detector = made(tmp_path, size=(24, 48, 48), work=60)
    voxels, _ = head((24, 48, 48))
    made_of = flair(voxels, box_grid(voxels.shape, (3.0, 2.0, 2.0)))
    run = detector.start_whole(made_of)
    run.tensor(Cancel())
    took = []
    for _ in range(3):
        cancel, answer, when = Cancel(), run.blank(), list[float]()
        timer = threading.Timer(
            0.2, lambda cancel=cancel, when=when: (when.append(time.perf_counter()), cancel.cancel())
        )
        timer.start()
        with pytest.raises(Cancelled):
            list(run.read(answer, cancel))
        took.append(time.perf_counter() - when[0])
        assert not answer.whole
        assert run.proposals(answer) == []
    assert min(took) < 0.1


class NoNumbers:
    """A backend that answers with nothing one could compare."""

    name, precision = "Broken", "fp32"

    def run(self, tensor: np.ndarray, cancel: Cancel) -> dict[str, np.ndarray]:
        return {"logits": np.full((1, 2, *tensor.shape[2:]), np.nan, np.float32)}


def test_an_answer_that_holds_no_numbers_is_no_answer(tmp_path: Path) -> None:
    voxels, _ = head((16, 16, 16))
    detector = made(tmp_path)
    run = detector.start_whole(flair(voxels))
    run.served = SimpleNamespace(backend=NoNumbers())  # type: ignore[assignment]
    with pytest.raises(UserError, match="Whole gave no numbers"):
        list(run.read(run.blank(), Cancel()))


def test_channels_come_in_the_order_of_the_manifest_from_where_they_lie(tmp_path: Path) -> None:
    """T1 lies turned and shifted by a known motion, on another grid; laid on FLAIR it is FLAIR's own head again."""
    voxels, bright = head((40, 44, 48))
    grid = box_grid(voxels.shape, (3.0, 2.0, 2.0))
    motion = np.eye(4)
    motion[:3, 3] = (7.0, -4.0, 6.0)
    other = volume(voxels * 2, Grid(grid.shape, motion @ grid.affine), role="T1")
    channel = Channel(other, Registration(motion, 0.1, 0.9, 1.0, ambiguous=False))
    detector = made(tmp_path, roles=("T1", "FLAIR"), weights=((0, 0), (8, 0)), bias=(0, -8))
    run = detector.start_whole(flair(voxels, grid), {"T1": channel})
    tensor, fill = run.tensor(Cancel())
    assert tensor.shape == (2, *grid.shape)
    assert np.abs(tensor[0] - tensor[1]).max() < 1e-4
    assert fill == (0.0, 0.0)
    (proposal,) = detector(flair(voxels, grid), lambda fraction: None, {"T1": channel})
    assert np.array_equal(proposal.mask.voxels, bright)
    assert np.abs(laid(channel, grid, Cancel()).voxels - voxels * 2.0).max() < 1e-3


def test_a_slice_model_reads_several_series_too(tmp_path: Path) -> None:
    """Channel by channel, each with its neighbours: T2 before, at and after, then FLAIR."""
    nodes = [
        helper.make_node("Gather", ["image", "which"], ["t2"], axis=1),
        helper.make_node("Sigmoid", ["t2"], ["probability"]),
    ]
    weights = graph(nodes, "image", {"probability": 4}, which=np.array([1], np.int64))
    manifest = f"""task = "segment"
dimensions = "2.5d"
output = "probability"
[prepare]
plane = "axial"
spacing_mm = [2.0, 2.0]
size = [48, 48]
neighbours = 1
intensity = {{ rule = "z-score" }}
[[inputs]]
role = "T2"
[[inputs]]
role = "FLAIR"
intensity = {{ rule = "window", low = 0, high = 1000 }}
[[outputs]]
{names("Bright")}threshold = 0.7
[gate]
role = ["FLAIR"]
"""
    folder = write(tmp_path, "both", weights, manifest, noise(1, 6, 48, 48))
    detector = OnnxDetector(read(folder), CPU)
    voxels, bright = head((20, 48, 48))
    grid = box_grid(voxels.shape, (3.0, 2.0, 2.0))
    t2 = Channel(volume(voxels, grid, role="T2"))
    run = detector.start(flair(np.full_like(voxels, 500), grid), {"T2": t2})
    tensor = run.slicer.tensor(8)
    assert tensor.shape == (1, 6, 48, 48)
    assert np.allclose(tensor[0, 3:], 0.5)
    assert not np.allclose(tensor[0, 0], tensor[0, 2])
    proposals = detector(flair(np.full_like(voxels, 500), grid), lambda fraction: None, {"T2": t2})
    assert np.array_equal(proposals[0].mask.voxels, bright)


def test_the_gate_says_which_series_is_missing(tmp_path: Path) -> None:
    spec = read(volume_model(tmp_path, roles=ROLES, weights=((0,) * 4, (1,) * 4), bias=(0, 0)))
    grid = box_grid((10, 20, 20))
    series = {role: stack(grid, role=role) for role in ROLES}
    study = [
        replace(each, uid=role, identity=replace(each.identity, series_uid=role, series_number=n))
        for n, (role, each) in enumerate(series.items())
    ]
    own = next(each for each in study if each.role == "FLAIR")
    assert refusal(spec, own, study) == ""
    assert set(partners(spec, own, study)) == {"T1", "T1C", "T2"}
    told = refusal(spec, own, [each for each in study if each.role not in ("T1C", "T2")])
    assert told == (
        "Whole does not read this series: "
        "the model reads T1, T1C, T2 and FLAIR together, the study has no T1C and no T2."
    )
    elsewhere = [replace(each, identity=replace(each.identity, study_uid="9.9")) for each in study]
    assert "no T1 and no T1C and no T2" in refusal(spec, own, elsewhere)
    assert "it is T1" in refusal(spec, study[0], study)


def test_of_two_series_of_a_role_the_finer_in_the_same_space_is_taken(tmp_path: Path) -> None:
    spec = read(volume_model(tmp_path, roles=("T1", "FLAIR"), weights=((0, 0), (1, 1)), bias=(0, 0)))
    own = stack(box_grid((10, 20, 20)), role="FLAIR")
    coarse, fine, apart = (
        replace(stack(box_grid((10, 20, 20), (size, 1, 1)), role="T1"), uid=name)
        for name, size in (("coarse", 5), ("fine", 1), ("apart", 0.5))
    )
    apart = replace(apart, identity=replace(apart.identity, frame_of_reference_uid="7.7"))
    assert partners(spec, own, [apart, coarse, fine])["T1"].uid == "fine"
    assert partners(spec, own, [apart])["T1"].uid == "apart"
    spine = replace(fine, body_part="SPINE")
    assert not partners(spec, replace(own, body_part="HEAD"), [spine])


def test_a_manifest_of_a_3d_model_is_read_as_it_is_written(tmp_path: Path) -> None:
    spec = read(
        volume_model(tmp_path, roles=ROLES, weights=((0,) * 4, (1,) * 4), bias=(0, 0), prepare='mirror = ["k", "i"]')
    )
    patches = spec.patches
    assert patches is not None
    assert (spec.dimensions, spec.prepare.plane, patches.plane) == ("3d", Plane.AXIAL, Plane.AXIAL)
    assert (patches.size, patches.spacing_mm, patches.overlap) == ((8, 16, 16), (3.0, 2.0, 2.0), 0.5)
    assert (patches.mirror, patches.cubic, patches.labels, patches.logits) == ((0, 2), False, "softmax", True)
    assert [each.role for each in spec.inputs] == list(ROLES)
    assert spec.inputs[0].intensity.rule == "z-score"
    assert (spec.outputs[0].channel, spec.outputs[0].threshold) == (1, 0.0)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('task = "segment"', 'task = "classify"', "“3d” is for a model that draws"),
        ('orientation = "HPL"', 'orientation = "RAS"', "“orientation” is not three letters"),
        ("spacing_mm = [3.0, 2.0, 2.0]", "spacing_mm = [2.0, 2.0]", "“spacing_mm” is not three numbers"),
        ("patch = [8, 16, 16]", "patch = [8, 16.5, 16]", "“patch” is no whole number"),
        ("patch = [8, 16, 16]", "patch = [8, 16, 16]\noverlap = 1", "“overlap” is not from 0 up to 1"),
        ("patch = [8, 16, 16]", 'patch = [8, 16, 16]\nmirror = ["x"]', "“mirror” is no list of k, j and i"),
        (
            "patch = [8, 16, 16]",
            'patch = [8, 16, 16]\ninterpolation = "best"',
            "“interpolation” is not linear or cubic",
        ),
        ('rule = "softmax"', 'rule = "argmax"', "“rule” is not softmax or regions"),
        ("[labels]", "[label]", "“labels” is missing"),
        ("[[outputs]]", "[[outputs]]\nthreshold = 0.5", "“threshold” says nothing"),
        ('role = "T1"', 'role = "FLAIR"', "two of “inputs” have one role"),
        ('role = ["FLAIR"]', 'role = ["T2"]', "“gate.role” does not say"),
    ],
)
def test_what_is_wrong_with_a_3d_model(tmp_path: Path, old: str, new: str, told: str) -> None:
    folder = volume_model(tmp_path, roles=("T1", "FLAIR"), weights=((0, 0), (1, 1)), bias=(0, 0))
    text = (folder / "model.toml").read_text("utf-8")
    assert text.count(old) == 1
    (folder / "model.toml").write_text(text.replace(old, new), "utf-8")
    with pytest.raises(UserError, match=r"^The model in whole cannot be used: ") as caught:
        read(folder)
    assert told in caught.value.title


def test_a_network_of_another_size_does_not_pass_its_self_test(tmp_path: Path) -> None:
    folder = volume_model(tmp_path, weights=((0,), (8,)), outputs=("", ""))
    with pytest.raises(UserError, match="self-test"):
        OnnxDetector(read(folder), CPU).start_whole(flair(head((8, 16, 16))[0]))
    assert linear(((0,),), (0,))
