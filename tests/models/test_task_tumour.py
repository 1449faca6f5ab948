"""The tumour on T1c: blocks stay together, the healthy half stands in, and the folder that comes out runs."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from models.training import recipe, task, train
from models.training.augment import without_tumour
from models.training.tasks.tumour import Named, Slice, failures
from overread.infer.manifest import read

RECIPE = Path(__file__).resolve().parents[2] / "models" / "training" / "tumour_t1c.toml"
LABELS = ("glioma", "meningioma", "pituitary")
U8 = NDArray[np.uint8]


def small() -> recipe.Recipe:
    network = {"dims": (4,) * 5, "depths": (1,) * 5, "kernels": (3,) * 5, "stride": 2}
    shipped = recipe.read(RECIPE)
    phases = (recipe.Phase(1, 4e-3, {"strength": 0.5}),)
    return replace(shipped, network=network, data={**shipped.data, "crop": 64}, batch=4, phases=phases)


def drawn(rng: np.random.Generator, left: bool) -> tuple[U8, U8]:
    """A round head on black with a bright square on one side."""
    rows, columns = np.mgrid[:256, :256]
    head = (rows - 128) ** 2 + (columns - 128) ** 2 < 100**2
    image = np.where(head, rng.integers(80, 100, (256, 256)), 0).astype(np.uint8)
    mask = np.zeros((256, 256), np.uint8)
    start = 70 if left else 150
    mask[100:140, start : start + 36] = 1
    image[mask > 0] = 220
    return image, mask


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    (tmp_path / "train").mkdir()
    with zipfile.ZipFile(tmp_path / "train" / "t1c-tumour.zip", "w") as archive:
        table = io.StringIO()
        rows = csv.DictWriter(table, ["id", "split_group", "image", "mask", "label"])
        rows.writeheader()
        for number in range(15):
            image, mask = drawn(rng, left=number % 2 == 0)
            archive.writestr(f"i/{number}.jxl", imagecodecs.jpegxl_encode(image, lossless=True))
            archive.writestr(f"m/{number}.jxl", imagecodecs.jpegxl_encode(mask, lossless=True))
            files = {"image": f"i/{number}.jxl", "mask": f"m/{number}.jxl"}
            rows.writerow({"id": f"s{number}", "split_group": f"b{number}", "label": LABELS[number % 3], **files})
        archive.writestr("index.csv", table.getvalue())
    return tmp_path


def test_blocks_are_on_one_side_and_every_class_in_each_fold(bundle: Path) -> None:
    tests = []
    for fold in range(5):
        made = task.create(small(), bundle, fold)
        parts = made.parts
        assert not set(parts.train) & set(parts.test)
        assert not set(parts.train) & set(parts.validation)
        assert {label for _, _, label in made.part(parts.test)} == {0, 1, 2}
        tests += parts.test
    assert sorted(tests) == sorted(f"b{number}" for number in range(15))


def test_the_healthy_half_stands_in() -> None:
    rng = np.random.default_rng(7)
    for left in (True, False):
        image, mask = drawn(rng, left)
        empty = without_tumour(image, mask)
        assert empty is not None
        assert empty.max() < 110
        assert ((empty > 0) == (image > 0)).mean() > 0.98
        kept = np.arange(256) > 135 if left else np.arange(256) < 120
        assert np.array_equal(empty[:, kept], image[:, kept])
    across = np.zeros((256, 256), np.uint8)
    across[100:140, 110:150] = 1
    assert without_tumour(image, across) is None


def test_training_export_and_report(bundle: Path, tmp_path: Path) -> None:
    plan = small()
    made = task.create(plan, bundle)
    image, area, name = next(iter(made.batches(0)))
    assert image.shape == area.shape == (4, 1, 64, 64)
    assert set(name.tolist()) <= {-1, 0, 1, 2}
    train.train(plan, made, tmp_path / "run", resume=False, threads=1)
    folder = tmp_path / "tumour-t1c"
    made.export(tmp_path / "run" / "best.pt", folder)
    spec = read(folder)
    assert [kind.label for kind in spec.classes] == ["Glioma", "Meningioma", "Pituitary tumour"]
    session = onnxruntime.InferenceSession(spec.weights)
    tensor = np.random.default_rng(1).normal(0, 1, (2, 1, 256, 256)).astype(np.float32)
    chance, names = session.run(None, {"image": tensor})
    assert chance.shape == (2, 1, 256, 256)
    np.testing.assert_allclose(names.sum(axis=1), 1, atol=1e-5)
    made.report(folder)
    results = read(folder).results["held_out"]
    assert (results["slices"], results["blocks"]) == (3, 3)
    card = (folder / "CARD.md").read_text("utf-8")
    assert "block-held-out" in card
    assert f"**{results['dice']:.3f}**" in card


def test_the_name_does_not_teach_the_mask() -> None:
    net = task.create(small(), Path()).network()
    logits, names = net(torch.zeros(1, 1, 64, 64))
    names.sum().backward()
    assert net.net.head[0].weight.grad is None
    with torch.inference_mode():
        chance, share = Named(net).eval()(torch.zeros(1, 1, 64, 64))
    assert chance.shape == logits.shape
    assert share.sum().item() == pytest.approx(1)


def test_failures_are_told_by_size_and_block() -> None:
    seen = [Slice(str(n), f"b{n % 2}", "Glioma", "Glioma" if n else "", 0.1 * n, 10 * n) for n in range(6)]
    told = failures(seen)
    assert "smallest third of the outlines (0 to 10 pixels): mean Dice 0.050, rightly named 0.500" in told
    assert "worst block (b0, 3 slices, glioma): mean Dice 0.200, rightly named 0.667" in told
