"""How the vessel model is made: its losses, what the net sees of a photograph, and a whole run on made-up ones."""

from __future__ import annotations

import csv
import io
import shutil
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import torch

from models.training import fundus, overlap, recipe, task, train, vessels
from models.training.report import Table
from models.training.tasks import retina
from overread.infer import manifest
from overread.infer.slices import Slicer

RECIPE = Path(__file__).resolve().parents[2] / "models" / "training" / "retina_vessels.toml"


def painted(seed: int, size: tuple[int, int] = (96, 100)) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc on black with two dark lines across it, and where the lines are."""
    rng = np.random.default_rng(seed)
    rows, columns = size
    disc, lines = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    middle = columns // 2, rows // 2
    cv2.circle(disc, middle, min(size) // 2 - 2, 1, cv2.FILLED)
    for angle in rng.uniform(0, np.pi, 2):
        reach = np.array((np.cos(angle), np.sin(angle))) * max(size)
        start, end = (tuple(int(value) for value in np.array(middle) + sign * reach) for sign in (-1, 1))
        cv2.line(lines, start, end, 1, 5)
    mask = disc & lines
    image = disc[..., None] * np.array((200, 100, 40), np.uint8)
    image[mask > 0] = (150, 50, 30)
    noisy = image + (disc[..., None] * rng.integers(0, 8, image.shape)).astype(np.uint8)
    return noisy, mask


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Both eyes of four made-up children, drawn by two observers, in the bundle's layout."""
    (tmp_path / "train").mkdir()
    with zipfile.ZipFile(tmp_path / "train" / "chase-vessels.zip", "w") as archive:
        table = io.StringIO()
        rows = csv.DictWriter(table, ["id", "split_group", "image", "mask", "mask2"])
        rows.writeheader()
        for child in range(4):
            for eye in "LR":
                name = f"0{child}{eye}"
                image, mask = painted(2 * child + (eye == "R"))
                archive.writestr(f"{name}.png", imagecodecs.png_encode(image))
                for observer in (1, 2):
                    drawn = mask if observer == 1 else cv2.erode(mask, np.ones((3, 3), np.uint8))
                    archive.writestr(f"{name}_{observer}.png", imagecodecs.png_encode(drawn * np.uint8(255)))
                masks = {"mask": f"{name}_1.png", "mask2": f"{name}_2.png"}
                rows.writerow({"id": name, "split_group": f"0{child}", "image": f"{name}.png", **masks})
        archive.writestr("index.csv", table.getvalue())
    return tmp_path


def small() -> recipe.Recipe:
    """The shipped recipe with a tiny net, tiny pictures and three epochs."""
    table = tomllib.loads(RECIPE.read_text("utf-8"))
    table["network"]["width"] = 2
    table["folds"] = 4
    table["data"] |= {"crop": 64, "patches": 64}
    table["train"] |= {"average": 0.7, "validate_every": 3, "phase": [{"epochs": 3, "rate": 2e-2}]}
    table["manifest"]["prepare"]["size"] = [96, 100]
    return recipe.of(table)


def test_losses_are_those_of_their_formulas() -> None:
    chance = torch.tensor([[0.9, 0.2], [0.4, 0.6]], dtype=torch.float64)
    mask = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    logits = torch.logit(chance)
    both, squares = 0.9 + 0.6, 0.81 + 0.04 + 0.16 + 0.36
    assert float(overlap.dice(logits, mask)) == pytest.approx(1 - (2 * both + 1) / (2.1 + 2 + 1))
    assert float(overlap.squared_dice(logits, mask)) == pytest.approx(1 - (2 * both + 1) / (squares + 2 + 1))
    assert float(overlap.jaccard(logits, mask)) == pytest.approx(1 - (both + 1) / (2.1 + 2 - both + 1))
    entropy = -np.log([0.9, 0.8, 0.6, 0.6]).mean()
    assert float(overlap.entropy(logits, mask)) == pytest.approx(entropy)
    both_terms = overlap.combined(logits, mask, {"entropy": 2.0, "dice": 0.5})
    assert float(both_terms) == pytest.approx(2 * entropy + 0.5 * (1 - 4 / 5.1))


def test_the_field_of_view_is_the_largest_bright_part_without_holes() -> None:
    image, _ = painted(0)
    image[40:44, 40:44] = 0
    image[:3, :3] = 255
    inside = fundus.field_of_view(image)
    disc = np.zeros(image.shape[:2], np.uint8)
    cv2.circle(disc, (50, 48), 46, 1, cv2.FILLED)
    np.testing.assert_array_equal(inside, disc > 0)
    assert not fundus.field_of_view(np.zeros((8, 8, 3), np.uint8)).any()


def test_a_patch_and_its_mask_are_moved_alike() -> None:
    image, mask = painted(3, (192, 200))
    vessels_seen = 0
    for seed in range(12):
        seen, area = fundus.patch(image, mask, 64, np.random.default_rng(seed))
        assert seen.shape == (64, 64, 3)
        assert set(np.unique(area)) <= {0.0, 1.0}
        assert 0 <= seen.min() <= seen.max() <= 1
        retina_seen = seen[..., 0] > 0.35
        if area.sum() > 50:
            vessels_seen += 1
            ground = seen[retina_seen & (area == 0), 1]
            assert seen[area > 0, 1].mean() < 0.8 * ground.mean()
    assert vessels_seen >= 4


def test_local_contrast_forgets_brightness_and_holds_at_the_edge() -> None:
    image, mask = painted(3, (192, 200))
    contrast = fundus.LocalContrast()
    tensor = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    seen = contrast(tensor)[0, 0].numpy()
    outside = ~fundus.field_of_view(image)
    assert seen.shape == mask.shape
    assert not seen[outside].any()
    assert seen[mask > 0].mean() < -1
    dimmed = contrast(0.8 * tensor)[0, 0].numpy()
    assert np.corrcoef(seen.ravel(), dimmed.ravel())[0, 1] > 0.99
    y, x = np.mgrid[:192, :200]
    rim = (mask > 0) & (np.hypot(y - 96, x - 100) > 84)
    # the black outside is darker than any vessel; it must not lift what lies beside it
    assert seen[rim].mean() < -1


def test_the_net_takes_photographs_of_any_size() -> None:
    net = task.create(recipe.read(RECIPE), Path()).network().eval()
    with torch.inference_mode():
        assert net(torch.rand(1, 3, 41, 63)).shape == (1, 1, 41, 63)
    assert sum(p.numel() for p in net.parameters()) == 36_657


def test_an_epoch_shows_every_photograph_alike_and_is_the_same_each_time(data: Path) -> None:
    work = retina.Task(small(), data, 0)
    children = {*work.parts.train, *work.parts.validation, *work.parts.test}
    assert len(children) == 4
    assert not set(work.parts.train) & set(work.parts.test)
    batches = list(work.batches(1))
    assert [tuple(image.shape) for image, _ in batches] == [(4, 3, 64, 64)] * 16
    for (image, mask), (again, mask_again) in zip(batches, work.batches(1), strict=True):
        assert torch.equal(image, again)
        assert torch.equal(mask, mask_again)


def test_a_run_becomes_a_model_folder_that_the_engine_reads(data: Path, tmp_path: Path) -> None:
    words, work = small(), retina.Task(small(), data, 0)
    weights = tmp_path / "runs" / "retina-vessels-0"
    train.train(words, work, weights, resume=False, threads=1)
    shutil.copytree(weights, weights.with_name("retina-vessels-1"))
    folder = tmp_path / "retina-vessels"
    work.export(weights / "best.pt", folder)
    work.report(folder)
    spec = manifest.read(folder)
    assert spec.prepare.channels == "rgb"
    assert not spec.asks_mm
    results = spec.results
    assert results["five_folds"]["folds"] == 2
    assert [one.child for one in vessels.rows(Table.read(folder / retina.FOLDS))] == [
        child for fold in (0, 1) for child in retina.Task(words, data, fold).parts.test for _ in "LR"
    ]
    assert results["held_out"]["f1"] > 0.6  # dark lines on a bright disc
    assert results["second_observer"]["specificity"] == 1
    assert 0.2 < results["second_observer"]["sensitivity"] < 0.9
    text = (folder / "CARD.md").read_text("utf-8")
    assert f"{results['five_folds']['f1']:.4f}" in text


def test_training_prepares_as_the_engine_does(data: Path) -> None:
    words = small()
    image, _ = painted(1)
    prepare = manifest.parse(Path(), {"schema": 1, "sha256": "0" * 64, **words.manifest}).prepare
    seen = Slicer.of(retina.photograph(image), prepare).tensor(0)
    np.testing.assert_array_equal(seen, retina.Task(words, data, 0).tensor(image))


def test_measures_tell_thin_vessels_from_wide_ones() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[5:15] = 1
    mask[30] = 1
    chance = np.where(mask > 0, 0.9, 0.1).astype(np.float32)
    chance[30, :20] = 0.2
    inside = np.zeros((40, 40), bool)
    inside[:20] = True
    one = vessels.measured("01L", "01", chance, mask, inside, 0.5)
    assert (one.thin_sensitivity, one.wide_sensitivity) == (0.5, 1.0)
    assert (one.inside_f1, one.inside_auc, one.auc) == (1.0, 1.0, 1.0)
    assert one.f1 == pytest.approx(2 * 420 / (420 + 440))
    assert one.specificity == 1.0
    other = replace(one, name="02L", child="02", f1=0.5)
    numbers = vessels.summary([one, other], 5)
    assert numbers["f1"] == pytest.approx((one.f1 + 0.5) / 2, abs=1e-4)
    assert (numbers["f1_low"], numbers["f1_high"]) == (0.5, round(one.f1, 4))
