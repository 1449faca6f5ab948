"""The graphs of lung-nodule on made-up bundles: what they see, what they learn from, the folder, the measures."""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import torch

from models.training import lung_evaluate, lung_folder, lung_report, nodules, places, recipe, task, train
from models.training.detection import Scan
from models.training.tasks import lung_contour, lung_nodule
from overread.domain.ports import Cancel
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.detect import Verifier, pooled
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import read
from overread.infer.slices import centred
from support.lungs import chest, lung

TRAINING = Path(__file__).resolve().parents[2] / "models" / "training"
DETECTOR, CONTOUR, VERIFY = (recipe.read(TRAINING / f"lung_{name}.toml") for name in ("nodule", "contour", "verify"))
TINY = {"dims": (4,) * 5, "depths": (1,) * 5, "kernels": (3,) * 5}
ONCE = (recipe.Phase(1, 4e-3, {"strength": 1.0, "edges": 0.3}),)


def detector(**changes: Any) -> recipe.Recipe:
    """The shipped recipe, made small enough to run in seconds."""
    network = {"name": "detector", **TINY, "stride": 2, "width": 4}
    data = {**DETECTOR.data, "false_marks": 0.5}
    return replace(DETECTOR, **{"network": network, "data": data, "batch": 4, "phases": ONCE, **changes})


def contour(**changes: Any) -> recipe.Recipe:
    """The same for the outlines."""
    return replace(CONTOUR, **{"network": {"name": "cmunext-s", **TINY}, "batch": 4, "phases": ONCE, **changes})


def verify(**changes: Any) -> recipe.Recipe:
    """The same for the second look."""
    network = {"name": "classifier", "dims": [4, 4], "depths": [1, 1], "stride": 2, "stem": 4}
    phases = (recipe.Phase(1, 4e-3, {"strength": 1.0, "elsewhere": 12}),)
    data = {**VERIFY.data, "places": 20}
    return replace(VERIFY, **{"network": network, "data": data, "batch": 4, "phases": phases, **changes})


def _zipped(path: Path, rows: list[dict[str, str]], members: dict[str, bytes]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, ["id", "split_group", "split", "image", "mask", "label"])
    table.writeheader()
    table.writerows(rows)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("index.csv", text.getvalue())
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten made-up patients with two crops each, the first's nodule seen by one reader only, and thirty patches."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(2)
    (folder / "train").mkdir()
    rows: list[dict[str, str]] = []
    members: dict[str, bytes] = {}
    for patient in range(10):
        for k in range(2):
            image, mask = lung(rng), np.zeros((nodules.CROP, nodules.CROP), np.uint8)
            readers = 1 if patient == 0 and k == 0 else 3
            cv2.circle(mask, (64, 64), 5 + k, readers, cv2.FILLED)
            image[mask > 0] = 140
            name = f"{patient}_{k}"
            members[f"i/{name}.jxl"] = bytes(imagecodecs.jpegxl_encode(image, lossless=True))
            members[f"m/{name}.jxl"] = bytes(imagecodecs.jpegxl_encode(mask, lossless=True))
            rows.append({"id": name, "split_group": f"P{patient}", "image": f"i/{name}.jxl", "mask": f"m/{name}.jxl"})
    _zipped(folder / "train" / "lidc-nodules.zip", rows, members)
    rows, members = [], {}
    for number in range(30):
        picture = rng.integers(20, 40, (nodules.PATCH, 47 if number == 4 else nodules.PATCH)).astype(np.uint8)
        if number % 2:
            cv2.circle(picture, (25, 25), 5, 180, cv2.FILLED)
        members[f"{number}.png"] = bytes(imagecodecs.png_encode(picture))
        split, label = "train" if number < 24 else "val", "nodule" if number % 2 else "not_nodule"
        rows.append({"id": str(number), "split_group": split, "split": split, "image": f"{number}.png", "label": label})
    _zipped(folder / "train" / "luna-patches.zip", rows, members)
    return folder


def two_scans(*_: object) -> tuple[list[Scan], list[nodules.F32]]:
    """What a detector says that has learnt something: a nodule on each crop, and a false mark."""
    pairs = ((0.9, 0.6), (0.5, 0.3))
    return [Scan(np.array(scores), np.array([[True], [False]])) for scores in pairs], []


@pytest.fixture(scope="module")
def shipped(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder, of all graphs trained for one epoch."""
    folder, runs = tmp_path_factory.mktemp("models") / "lung-nodule", tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lung_folder, "crop_scans", two_scans)
        for words in (detector(), contour(), verify()):
            work = task.create(words, bundles)
            train.train(words, work, runs / words.task, resume=False, threads=1)
            work.export(runs / words.task / "best.pt", folder)
    return folder


def test_the_shipped_nets_keep_their_promises() -> None:
    nets = [task.create(words, Path()).network() for words in (DETECTOR, CONTOUR, VERIFY)]
    assert sum(p.numel() for net in nets for p in net.parameters()) <= 3_000_000
    assert sum(p.numel() for p in nets[2].parameters()) <= 800_000
    with torch.inference_mode():
        assert nets[0].eval()(torch.zeros(1, 1, 128, 128)).shape == (1, 5, 32, 32)
        assert nets[1].eval()(torch.zeros(1, 1, 64, 64)).shape == (1, 1, 64, 64)
        assert nets[2].eval()(torch.zeros(2, 1, 48, 48)).shape == (2, 1)


def test_lung_and_tissue_land_where_they_belong_whatever_the_stretch() -> None:
    crop = lung(np.random.default_rng(0))
    for stretched in (crop, (40 + crop * 0.5).astype(np.uint8)):
        hu = nodules.windowed(stretched) * 1400 - 1000
        assert abs(np.median(hu[:, 40:]) - nodules.LUNG_HU[0]) < 30
        assert abs(np.median(hu[:, :30]) - nodules.TISSUE_HU[0]) < 60


def test_a_crop_without_tissue_takes_its_brightest_pixels_for_it() -> None:
    crop = np.full((128, 128), 30, np.uint8)
    crop[60:66, 60:70] = 200
    dark, bright = nodules.lung_and_tissue(crop)
    assert dark == 30
    assert bright == pytest.approx(200, abs=1)


def test_moving_a_crop_takes_its_mask_along() -> None:
    mask = np.zeros((128, 128), np.bool_)
    mask[60:70, 80:90] = True
    picture, to_picture = nodules.moved(mask.astype(np.float32), 64, (64.5, 84.5), 1.5, 0.3, mirror=True)
    followed = nodules.followed(mask, to_picture, 64)
    assert ((picture >= 0.5) == followed).all()
    assert followed.sum() == pytest.approx(100 * 1.5**2, rel=0.05)
    row0, column0, row1, column1 = nodules.box_of(followed)
    assert ((row0 + row1) / 2, (column0 + column1) / 2) == pytest.approx((32, 32), abs=1)


def test_parts_hold_patients_apart_and_the_same_for_both_graphs(bundles: Path) -> None:
    crops = nodules.read_crops(bundles / "train" / "lidc-nodules.zip")
    part = crops.parts(5, 11, 0)
    names = [set(part.train), set(part.validation), set(part.test)]
    assert sum(len(some) for some in names) == len(set.union(*names)) == 10
    assert crops.picked([int(at) for at in crops.agreed]).parts(5, 11, 0) == part


def test_patches_of_the_sources_validation_are_only_measured_on(bundles: Path) -> None:
    patches = nodules.read_patches(bundles / "train" / "luna-patches.zip")
    assert patches.images.shape == (30, 50, 50)
    parts = patches.parts(3)
    assert {name: len(part.split) for name, part in parts.items()} == {"train": 22, "validation": 2, "test": 6}
    assert set(parts["test"].split) == {"val"}


def test_an_epoch_is_the_same_twice_and_shows_crops_and_patches(bundles: Path) -> None:
    first, again = (list(task.create(detector(), bundles).batches(0)) for _ in range(2))
    assert all(torch.equal(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))
    images, wanted, counts, sized = (torch.cat(parts) for parts in zip(*first, strict=True))
    assert images.shape[1:] == (1, 128, 128)
    assert wanted.shape[1:] == (5, 32, 32)
    assert counts.shape[1:] == (32, 32)
    assert 0 <= float(images.min()) < float(images.max()) <= 1
    assert set(sized.tolist()) == {0.0, 1.0}
    assert int((wanted[sized == 0, 0] == 1).sum(dim=(1, 2)).max()) > 1  # a mosaic has a nodule in several tiles


def test_what_one_reader_saw_is_neither_a_nodule_nor_none() -> None:
    image, readers = lung(np.random.default_rng(1)), np.zeros((128, 128), np.uint8)
    readers[58:70, 58:70] = 1
    sample = lung_nodule.crop_sample(image, readers, np.random.default_rng(4), 0.0)
    assert sample.boxes.shape == (0, 4)
    _, wanted, counts, _ = lung_nodule.batch_of([sample])
    assert float(wanted.abs().sum()) == 0
    assert 0 < int((counts == 0).sum()) < 64


def test_a_slice_may_end_within_the_canvas_but_not_within_its_nodule() -> None:
    image, readers = lung(np.random.default_rng(1)), np.zeros((128, 128), np.uint8)
    readers[58:70, 58:70] = 3
    image[58:70, 58:70] = 140
    samples = [lung_nodule.crop_sample(image, readers, np.random.default_rng(at), 0.0, 1.0) for at in range(20)]
    assert any((sample.image[:, 0] == 0).all() or (sample.image[0] == 0).all() for sample in samples)
    for sample in samples:
        row0, column0, row1, column1 = sample.boxes[0].astype(int)
        assert sample.image[row0 + 2 : row1 - 2, column0 + 2 : column1 - 2].min() > 0.5


def test_a_patchs_nodule_is_marked_where_the_mosaic_has_put_it() -> None:
    picture = np.zeros((4, 50, 50), np.uint8)
    picture[:, 23:27, 23:27] = 255
    patches = nodules.Patches(picture, np.ones(4, np.bool_), ("train",) * 4)
    sample = lung_nodule.mosaic(patches, np.arange(4), np.random.default_rng(0), 0.0)
    for row0, column0, row1, column1 in sample.boxes.astype(int):
        assert sample.image[(row0 + row1) // 2, (column0 + column1) // 2] > 0.5
    assert len(sample.boxes) == 4


def test_outlines_are_learnt_on_what_the_engine_cuts_out(bundles: Path) -> None:
    work = task.create(contour(), bundles)
    images, targets = next(iter(work.batches(0)))
    assert images.shape == targets.shape == (4, 1, 64, 64)
    assert images.amin(dim=(1, 2, 3)).tolist() == [0.0] * 4
    assert images.amax(dim=(1, 2, 3)).tolist() == [1.0] * 4
    assert float(targets.sum()) > 0


def test_a_crop_is_stretched_from_its_darkest_to_its_brightest_pixel() -> None:
    crop = np.array([[-900.0, 100.0], [-400.0, 600.0]], np.float32)
    assert lung_contour.stretched(crop).reshape(-1).tolist() == pytest.approx([0.0, 2 / 3, 1 / 3, 1.0])
    assert not lung_contour.stretched(np.full((2, 2), 7.0, np.float32)).any()


def test_the_second_look_learns_nodules_and_what_else_is_bright(bundles: Path) -> None:
    work = task.create(verify(), bundles)
    first, again = (list(work.batches(0)) for _ in range(2))
    assert all(torch.equal(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))
    images, truth = (torch.cat(parts) for parts in zip(*first, strict=True))
    assert images.shape[1:] == (1, 48, 48)
    assert 0 <= float(images.min()) < float(images.max()) <= 1
    # 11 patches thrice and 15 crops have a nodule, 11 patches have none, and places: 20 or as many as there are, and 12
    assert 40 / 91 < float(truth.mean()) < 48 / 71
    bright, other = (float(images[truth[:, 0] == kind, 0, 22:26, 22:26].mean()) for kind in (1, 0))
    assert bright > other


def test_bright_places_and_walls_are_away_from_what_a_reader_has_marked() -> None:
    image, readers = lung(np.random.default_rng(1)), np.zeros((128, 128), np.uint8)
    for row, column in ((40, 60), (64, 64), (90, 100), (64, 120)):
        cv2.circle(image, (column, row), 3, 140, cv2.FILLED)
    readers[60:69, 60:69] = 1
    found = {(int(row), int(column)) for row, column in places.bright_places(nodules.windowed(image), readers)}
    assert {(40, 60), (90, 100)} <= found
    assert all(np.hypot(row - 64, column - 64) > 8 for row, column in found)
    assert all(16 <= min(place) <= max(place) < 112 for place in found)
    assert set(places.wall_edge(nodules.windowed(image), readers)[:, 1].tolist()) == {29}


def test_outside_of_the_lung_nothing_is_a_nodule() -> None:
    image, readers = lung(np.random.default_rng(1)), np.zeros((128, 128), np.uint8)
    cv2.circle(image, (70, 64), 5, 150, cv2.FILLED)
    cv2.circle(readers, (70, 64), 5, 4, cv2.FILLED)
    crops = nodules.Crops(image[None], readers[None], ("P",), ("P_0",))
    inside = [place for place in places.of_crops(crops) if place.nodule]
    assert [(place.centre, place.inside) for place in inside] == [((64.0, 70.0), "lung")]
    others = places.elsewhere(inside, crops, 3)
    assert [place.inside for place in others] == ["fat", "lung", "lung", "air", "air"]
    assert not any(place.nodule for place in others)
    rng = np.random.default_rng(0)
    fat = places.changed(others[0], 48, rng, 0.0) * 1400 - 1000
    assert np.all((fat[24, 4:16] > -140) & (fat[24, 4:16] < -60) | (fat[24, 4:16] > -20))
    assert fat[24, 24] == pytest.approx(nodules.TISSUE_HU[0], abs=160)
    assert places.seen(inside[0], 48)[0, 40] * 1400 - 1000 < -700
    air = [places.changed(others[-1], 48, rng, 0.0) for _ in range(10)]
    assert all((crop == 0).mean() > 0.2 for crop in air)


def test_marks_are_scored_by_both_and_those_below_the_floor_are_gone(shipped: Path) -> None:
    spec = read(shipped)
    verifier = lung_evaluate.verifier_of(spec, Chain((REFERENCE,)).serve(spec))
    assert verifier is not None
    tile = lung_evaluate.picture()[0, 0, 180:308, 120:248]
    marks = np.array([[50, 60, 62, 72, 0.9], [0, 0, 8, 8, 0.5], [20, 20, 28, 28, 0.05]], np.float32)
    both = lung_evaluate.judged(verifier, tile, marks)
    assert both[:, :4].tolist() == marks[:2, :4].tolist()
    crop, _ = nodules.moved(tile, 48, (55.5, 65.5), 1.0, 0.0, mirror=False)
    (answer,) = verifier.backend.run(crop[None, None], Cancel()).values()
    assert both[0, 4] == pytest.approx(pooled(0.9, float(answer[0, 0])), abs=1e-3)
    assert lung_evaluate.judged(verifier, tile, marks[2:]).shape == (0, 5)


def test_a_detector_that_is_exported_again_keeps_what_the_others_added(
    bundles: Path, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lung_folder, "crop_scans", two_scans)
    again = tmp_path / "lung-nodule"
    shutil.copytree(shipped, again)
    before = read(again)
    torch.save({"net": task.create(detector(), bundles).network().state_dict()}, tmp_path / "best.pt")
    task.create(detector(), bundles).export(tmp_path / "best.pt", again)
    after = read(again)
    assert after.sha256 != before.sha256
    assert [graph.sha256 for graph in after.graphs[1:]] == [graph.sha256 for graph in before.graphs[1:]]
    assert after.results["parameters"] == before.results["parameters"]
    assert set(Chain((REFERENCE,)).serve(after).looks) == {"contour", "verify"}
    assert [part.name for part in lung_folder.parts(again)] == ["contour", "verify"]
    assert lung_folder.parts(tmp_path / "nothing") == []


def test_the_folder_passes_its_self_test_and_holds_all_graphs(shipped: Path) -> None:
    spec = read(shipped)
    served = Chain((REFERENCE,)).serve(spec)
    assert spec.contour is not None
    assert spec.verify is not None
    crops = np.random.default_rng(0).random((3, 1, 48, 48), np.float32)
    (chances,) = served.looks["verify"].run(crops, Cancel()).values()
    assert chances.shape == (3, 1)
    assert spec.verify.again == 0.15
    verifier = Verifier(replace(spec.verify, again=1e-6), served.looks["verify"], (0.7, 0.7))
    whole = [(23.5, 23.5, 24.5, 24.5)]  # its middle is that of the crop
    for crop in crops[:, 0]:
        one, turned = (verifier(np.ascontiguousarray(way), whole, 0.0, Cancel()) for way in (crop, crop[::-1, ::-1]))
        np.testing.assert_allclose(turned, one, atol=1e-5)
    assert (spec.outputs[0].threshold, spec.results["threshold_detector"]) == (0.5, 0.5), "half a false mark a crop"
    assert set(spec.results["parameters"]) == {"detector", "contour", "verify"}
    (boxes,) = served.backend.run(lung_evaluate.picture(), Cancel()).values()
    assert boxes.shape == (1, 100, 5)


def test_the_report_says_what_was_measured(bundles: Path, shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lung_evaluate, lung_report):
        monkeypatch.setattr(module, "chest", lambda data: chest())
    task.create(detector(), bundles).report(shipped)
    results = read(shipped).results
    assert results["patches"]["nodules"] == 3
    assert results["crops"]["patients"] == 2
    assert 0 <= results["outlines"]["dice_mean"] <= 1
    assert results["chest_ct"]["slices"] == 3
    assert results["detector"]["patches"]["nodules"] == 3
    assert 0 <= results["second_look"]["auc"] <= 1
    card = (shipped / "CARD.md").read_text("utf-8")
    assert f"**{results['patches']['auc']:.3f}**" in card
    assert DETECTOR.remark in card
    assert f"{results['parameters']['verify']:,} parameters" in card
    assert "Not for clinical use" in card
    assert (shipped / "figures" / "froc.png").exists()


def test_a_mask_at_its_place_on_the_canvas_is_what_the_engine_sees() -> None:
    picture = lung(np.random.default_rng(3)).astype(np.float32)
    ours, _ = nodules.moved(picture, 64, (60.0, 70.0), 1.0, 0.0, mirror=False)
    engine = centred((1.0, 1.0), (60.0, 70.0), (128, 128), (64, 64)).onto_canvas(picture, fill=None)
    assert np.abs(ours - engine).max() < 1e-3


def test_the_model_that_ships_finds_and_outlines_what_is_round_in_a_made_up_lung() -> None:
    """Five discs and eighty lines of one pixel, on three slices alike."""
    found = OnnxDetector(read(TRAINING.parent / "lung-nodule"), Chain((REFERENCE,)))(chest(), lambda fraction: None)
    assert 3 <= len(found) <= 5
    discs = [((243, 190), 9), ((259, 381), 9), ((286, 361), 5), ((302, 149), 5), ((269, 397), 3)]
    for proposal in found:
        assert proposal.box is not None
        _, row0, column0, _, row1, column1 = proposal.box
        near = [
            radius
            for (row, column), radius in discs
            if np.hypot((row0 + row1) / 2 - row, (column0 + column1) / 2 - column) < 3
        ]
        assert near, proposal.box
        assert abs((row1 - row0) / 2 - near[0]) < 2
        assert int(proposal.mask.voxels.sum()) == pytest.approx(3 * np.pi * near[0] ** 2, rel=0.5)
    assert int(found[0].mask.voxels.sum()) == pytest.approx(3 * np.pi * 9**2, rel=0.2)
