"""The code that makes the models: the net, the split, what one epoch sees, and a run that is killed and goes on."""

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

from models.training import export, lgg, recipe, task, train
from models.training.augment import augmented
from models.training.cmunext import CMUNeXt
from models.training.tasks import glioma

RECIPE = Path(__file__).resolve().parents[2] / "models" / "training" / "glioma_flair.toml"


RULE = recipe.read(RECIPE).intensity
TWICE = tuple(
    recipe.Phase(1, rate, {"strength": strength, "renormalise": strength < 1})
    for rate, strength in ((4e-3, 1.0), (1e-3, 0.5))
)


def small(**changes: object) -> recipe.Recipe:
    """The shipped recipe, made small enough to run in seconds."""
    shipped = recipe.read(RECIPE)
    network = {"dims": (4,) * 5, "depths": (1,) * 5, "kernels": (3,) * 5, "stride": 2}
    tiny = {"network": network, "data": {"crop": 64, "tumour_free": 0.5, "level": 0.5}, "batch": 4, "phases": TWICE}
    return replace(shipped, **{**tiny, **changes})  # type: ignore[arg-type]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Eight made-up patients with four slices each, in the bundle's layout; a bright square is what is to be found."""
    rng = np.random.default_rng(3)
    (tmp_path / "train").mkdir()
    with zipfile.ZipFile(tmp_path / "train" / "lgg-flair.zip", "w") as archive:
        table = io.StringIO()
        rows = csv.DictWriter(table, ["id", "split_group", "image", "mask"])
        rows.writeheader()
        archive.writestr("m/empty.jxl", imagecodecs.jpegxl_encode(np.zeros((96, 96), np.uint8), lossless=True))
        for number in range(8):
            for k in range(4):
                image = rng.integers(60, 90, (96, 96)).astype(np.uint8)
                image[:16] = 0
                mask = np.zeros((96, 96), np.uint8)
                if k >= 2:
                    y, x = rng.integers(30, 60, 2)
                    mask[y : y + 20, x : x + 20] = 1
                    image[mask > 0] = 200
                name = f"{number}_{k}"
                archive.writestr(f"i/{name}.jxl", imagecodecs.jpegxl_encode(image, lossless=True))
                if mask.any():
                    archive.writestr(f"m/{name}.jxl", imagecodecs.jpegxl_encode(mask, lossless=True))
                held = f"m/{name}.jxl" if mask.any() else "m/empty.jxl"
                rows.writerow({"id": name, "split_group": f"P{number}", "image": f"i/{name}.jxl", "mask": held})
        archive.writestr("index.csv", table.getvalue())
    return tmp_path


def test_cmunext_s_is_as_large_as_the_paper_says() -> None:
    # Tang et al. 2024, table 1: CMUNeXt-S has 0.42 M parameters (three input channels).
    net = CMUNeXt((8, 16, 32, 64, 128), (1, 1, 1, 1, 1), (3, 3, 7, 7, 9), channels=3)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == 0.42


def test_the_shipped_net_keeps_its_promises() -> None:
    net = task.create(recipe.read(RECIPE), Path()).network().eval()
    assert sum(p.numel() for p in net.parameters()) <= 500_000
    with torch.inference_mode():
        assert net(torch.zeros(2, 1, 64, 96)).shape == (2, 1, 64, 96)
    with pytest.raises(ValueError, match="multiples of 32"):
        net(torch.zeros(1, 1, 50, 64))


def test_the_bundle_is_read_patient_by_patient(bundle: Path) -> None:
    patients = lgg.read(bundle / "train" / "lgg-flair.zip")
    assert [p.name for p in patients] == [f"P{n}" for n in range(8)]
    assert all(p.images.shape == p.masks.shape == (4, 96, 96) for p in patients)
    assert all(p.masks.any(axis=(1, 2)).tolist() == [False, False, True, True] for p in patients)
    grey = patients[0].normalised(small().intensity)
    assert abs(np.median(grey[patients[0].images > 50])) < 0.2


def test_augmentation_keeps_mask_on_image_and_grey_in_range() -> None:
    image = np.full((96, 96), -0.2, np.float32)
    image[:10] = -3
    mask = np.zeros((96, 96), np.uint8)
    mask[40:60, 30:50] = 1
    image[mask > 0] = 2.5
    overlaps = []
    for seed in range(30):
        moved, area = augmented(image, mask, 96, RULE, np.random.default_rng(seed))
        assert moved.shape == area.shape == (96, 96)
        assert moved.min() >= -3
        assert moved.max() <= 6
        inside = area > 0
        if inside.sum() > 50:
            # whatever was done to place and contrast, the lesion is brighter than its rim
            around = ~inside & (moved > -2.9)
            overlaps.append(np.median(moved[inside]) > np.median(moved[around]))
    assert np.mean(overlaps) == 1.0
    again = augmented(image, mask, 96, RULE, np.random.default_rng(5))
    assert np.array_equal(again[0], augmented(image, mask, 96, RULE, np.random.default_rng(5))[0])


def test_a_killed_run_ends_like_one_that_was_not(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = small()
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train.train(plan, task.create(plan, bundle), whole, resume=False, threads=1)
    assert len(list(task.create(plan, bundle).batches(0))) == (10 + 5) // 4

    def killed(self: glioma.Task, epoch: int) -> object:
        if epoch == 1:
            raise KeyboardInterrupt
        return untouched(self, epoch)

    untouched = glioma.Task.batches
    with monkeypatch.context() as patch:
        patch.setattr(glioma.Task, "batches", killed)
        with pytest.raises(KeyboardInterrupt):
            train.train(plan, task.create(plan, bundle), halves, resume=False, threads=1)
    train.train(plan, task.create(plan, bundle), halves, resume=True, threads=1)
    straight, mended = (torch.load(run / "checkpoint.pt", weights_only=True) for run in (whole, halves))
    assert mended["epoch"] == 1
    assert all(torch.equal(value, mended["net"][name]) for name, value in straight["net"].items())
    assert len((halves / "log.jsonl").read_text().splitlines()) == 2


def test_rate_warms_up_and_cools_down_in_each_phase() -> None:
    phases = (recipe.Phase(20, 1.0, {}), recipe.Phase(10, 0.2, {}))
    plan = small(phases=phases, warmup=2)
    rates = [train.rate_at(plan, epoch) for epoch in np.linspace(0, 19.99, 50)]
    assert rates[0] < 0.1
    assert max(rates) == pytest.approx(1.0, abs=0.05)
    assert rates[-1] == pytest.approx(0.01, abs=1e-4)
    assert int(np.argmax(rates)) < 8
    assert train.rate_at(plan, 20.0) == pytest.approx(0.01)
    assert train.rate_at(plan, 22.0) == pytest.approx(0.2)
    assert train.rate_at(plan, 30.0) == pytest.approx(0.002)
    assert [plan.phase(epoch)[0] for epoch in (0, 19, 20, 29)] == [phases[0], phases[0], phases[1], phases[1]]


def test_export_gives_what_torch_gives(bundle: Path, tmp_path: Path) -> None:
    shipped = recipe.read(RECIPE)
    flat = {key: value for key, value in shipped.manifest["prepare"].items() if key != "neighbours"}
    plan = small(manifest={**shipped.manifest, "dimensions": "2d", "prepare": flat})
    torch.manual_seed(1)
    made = task.create(plan, bundle)
    weights = tmp_path / "best.pt"
    torch.save({"net": made.network().state_dict()}, weights)
    made.export(weights, tmp_path / "glioma-flair")
    with np.load(tmp_path / "glioma-flair" / "selftest.npz") as kept:
        tensor, expected = kept["input"], kept["probability"]
    session = onnxruntime.InferenceSession(tmp_path / "glioma-flair" / "model.onnx")
    both = np.concatenate([tensor, tensor[..., ::-1]])
    (output,) = session.run(None, {"image": both})
    assert np.abs(output[:1] - expected).max() <= export.PARITY
    assert output.shape[0] == 2


def test_neighbours_lie_beside_their_slice() -> None:
    slices = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    together = glioma.with_neighbours(slices, 1)
    assert together.shape == (4, 3, 2, 2)
    assert together[:, :, 0, 0].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
