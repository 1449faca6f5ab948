"""Pneumonia on chest X-rays: what is trained on, the map that explains the answer, and the way to a working folder."""

from __future__ import annotations

import csv
import io
import zipfile
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training import cxr_report, recipe, task, train
from models.training.classification import roc_auc
from models.training.classifier_net import Classifier, Explained
from models.training.export import load
from models.training.radiograph import normalised, phantom, varied
from models.training.tasks import cxr
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import read
from overread.infer.selftest import SelfTest

RECIPE = Path(__file__).resolve().parents[2] / "models" / "training" / "cxr_pneumonia.toml"
SHIPPED = recipe.read(RECIPE)
SIDE = 32


def small() -> recipe.Recipe:
    """The shipped recipe, made small enough to run in seconds."""
    manifest = deepcopy(dict(SHIPPED.manifest))
    manifest["prepare"]["size"] = [SIDE, SIDE]
    return replace(
        SHIPPED,
        folds=4,
        network={"dims": [6, 8], "depths": [1, 1], "stem": 4, "dropout": 0.0},
        data={"images": 64, "smoothing": 0.05, "sensitivity": 0.9},
        batch=8,
        phases=(recipe.Phase(8, 1e-2, {"strength": 0.2, "size": SIDE}),),
        average=0.9,
        validate_every=2,
        manifest=manifest,
    )


def picture(rng: np.random.Generator, sick: bool) -> np.ndarray:
    """A dark chest, with a bright spot where it is sick."""
    image = np.tile(np.linspace(40, 90, SIDE), (SIDE, 1)) + rng.normal(0, 4, (SIDE, SIDE))
    if sick:
        row, column = rng.integers(6, SIDE - 14, 2)
        image[row : row + 9, column : column + 9] = 230
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Made-up patients with two images each; one content occurs twice in training, one in training and test."""
    rng = np.random.default_rng(8)
    (tmp_path / "train").mkdir()
    twice, leaked = picture(rng, sick=False), picture(rng, sick=True)
    with zipfile.ZipFile(tmp_path / "train" / "cxr-pneumonia.zip", "w") as archive:
        table = io.StringIO()
        rows = csv.DictWriter(table, ["id", "subject", "split_group", "split", "image", "label"])
        rows.writeheader()

        def add(split: str, person: int, number: int, kind: str, pixels: np.ndarray) -> None:
            group = f"{split}_{kind}{person}"
            name = f"{split}/person{person}_{kind}_{number}.png"
            archive.writestr(name, imagecodecs.png_encode(pixels))
            label = "normal" if kind == "normal" else "pneumonia"
            rows.writerow(
                {"id": name, "subject": group, "split_group": group, "split": split, "image": name, "label": label}
            )

        for split, people in (("train", 12), ("public-test", 4)):
            for person in range(people):
                for number in range(2):
                    for kind in ("normal", "bacteria", "virus"):
                        add(split, person, number, kind, picture(rng, kind != "normal"))
        for number in (7, 8):
            add("train", 3, number, "normal", twice)
        add("train", 5, 9, "virus", leaked)
        add("public-test", 2, 9, "virus", leaked)
        archive.writestr("index.csv", table.getvalue())
    return tmp_path


def test_every_content_is_taken_once_and_none_of_the_public_test_is_trained_on(bundle: Path) -> None:
    work = cxr.Task(small(), bundle, 0)
    training, validation, public = work.parts
    assert [len(part.rows) for part in (training, validation)] == [len(part.pixels) for part in (training, validation)]
    assert len(training.rows) + len(validation.rows) == 12 * 2 * 3 + 1
    assert len(public.rows) == 4 * 2 * 3 + 1
    contents = [image.tobytes() for part in work.parts for image in part.pixels]
    assert len(set(contents)) == len(contents)
    assert {row.split for row in public.rows} == {"public-test"}
    assert {row.split for row in (*training.rows, *validation.rows)} == {"train"}
    assert not {row.group for row in training.rows} & {row.group for row in validation.rows}
    assert training.counts["normal"]
    assert training.counts["pneumonia"]
    assert [bool(sick) for sick in public.positive] == [row.label == "pneumonia" for row in public.rows]


def test_an_image_of_another_size_is_stretched(bundle: Path) -> None:
    images = cxr.gathered(bundle / "train" / "cxr-pneumonia.zip", (16, 24))
    assert images.pixels.shape[1:] == (16, 24)


def test_an_epoch_holds_as_many_normal_as_sick_and_is_the_same_again(bundle: Path) -> None:
    work = cxr.Task(small(), bundle, 0)
    batches = list(work.batches(0))
    assert len(batches) == 8
    assert all(image.shape == (8, 1, SIDE, SIDE) and truth.shape == (8, 1) for image, truth in batches)
    assert sum(float(truth.sum()) for _, truth in batches) == 32
    again = list(cxr.Task(small(), bundle, 0).batches(0))
    assert all(
        torch.equal(a, b) for one, other in zip(batches, again, strict=True) for a, b in zip(one, other, strict=True)
    )
    assert not torch.equal(batches[0][0], next(work.batches(1))[0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_a_changed_radiograph_stays_within_the_range_of_the_model(seed: int, strength: float) -> None:
    image = (phantom(48, 40)[0, 0] * 255).astype(np.uint8)
    changed = varied(image, SHIPPED.intensity, np.random.default_rng(seed), strength)
    assert changed.shape == image.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert np.array_equal(changed, varied(image, SHIPPED.intensity, np.random.default_rng(seed), strength))


def test_without_strength_a_radiograph_is_only_mirrored() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 40)).astype(np.uint8)
    plain = normalised(image, SHIPPED.intensity), normalised(image[:, ::-1], SHIPPED.intensity)
    seen = set()
    for seed in range(12):
        changed = varied(image, SHIPPED.intensity, np.random.default_rng(seed), 0.0)
        # the percentiles of an image and its mirror image are measured on other pixels
        near = [float(np.abs(changed - one).max()) < 0.05 for one in plain]
        assert any(near)
        seen.add(near.index(True))
    assert seen == {0, 1}


def test_the_shipped_net_is_small_and_sees_where() -> None:
    net = task.create(SHIPPED, Path()).network().eval()
    assert sum(p.numel() for p in net.parameters()) <= 5_000_000
    assert isinstance(net, Classifier)
    with torch.inference_mode():
        assert net.activation(torch.zeros(2, 1, 224, 224)).shape == (2, 1, 14, 14)
        assert net(torch.zeros(2, 1, 224, 224)).shape == (2, 1)


def test_the_map_is_grad_cam_up_to_a_positive_constant() -> None:
    torch.manual_seed(3)
    net = Classifier([4, 6], [1, 1], classes=2, stem=4).eval()
    torch.nn.init.normal_(net.offset)
    image = torch.rand(1, 1, 32, 48)
    features = net.features(image).detach().requires_grad_()
    net.logits(net.head(features))[0, 1].backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    weights = features.grad.mean(dim=(2, 3))  # alpha of Selvaraju et al. 2017, equation 1
    grad_cam = (weights[:, :, None, None] * features).sum(dim=1)
    with torch.inference_mode():
        maps = net.activation(image)
        assert torch.allclose(grad_cam, maps[:, 1] / maps[0, 1].numel(), atol=1e-6)
        # a linear layer after the average says the same
        pooled = net.features(image).mean(dim=(2, 3)) @ net.head.weight[:, :, 0, 0].T + net.offset
        assert torch.allclose(net(image), pooled, atol=1e-5)


def test_what_is_shipped_reads_both_sides_and_its_map_explains_all_of_the_logit() -> None:
    torch.manual_seed(4)
    net = Classifier([4, 6], [1, 1], stem=4).eval()
    torch.nn.init.normal_(net.offset)
    shipped, image = Explained(net, 1.7).eval(), torch.rand(2, 1, 32, 48)
    with torch.inference_mode():
        chance, activation = shipped(image)
        mirrored, other = shipped(torch.flip(image, dims=[3]))
    assert torch.allclose(chance, mirrored, atol=1e-6)
    assert torch.allclose(activation, torch.flip(other, dims=[3]), atol=1e-6)
    logit = activation.mean(dim=(2, 3)) + net.offset.detach() / 1.7
    assert torch.allclose(torch.logit(chance), logit, atol=1e-5)


def test_sizes_that_do_not_fit_are_refused() -> None:
    net = Classifier([4, 6], [1, 1], stem=4)
    with pytest.raises(ValueError, match="multiples of 8"):
        net(torch.zeros(1, 1, 32, 36))
    with pytest.raises(ValueError, match="one entry for each level"):
        Classifier([4, 6], [1])


@pytest.mark.parametrize("name", list(cxr_report.VARIANTS))
def test_a_variant_is_an_image_again(name: str) -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 48)).astype(np.uint8)
    before = image.copy()
    changed = cxr_report.VARIANTS[name](image)
    assert changed.dtype == np.uint8
    assert changed.ndim == 2
    assert np.array_equal(image, before)
    assert (name == "as it is") == np.array_equal(changed, image)


def test_from_images_to_a_folder_that_the_engine_reads(bundle: Path, tmp_path: Path) -> None:
    chosen = small()
    work = cxr.Task(chosen, bundle, 0)
    places = train.Places(tmp_path / "run")
    best = train.train(chosen, work, places.folder, resume=False, threads=1)
    assert best > 0.9
    folder = tmp_path / "model"
    work.export(places.best, folder)
    spec = read(folder)
    SelfTest(spec)
    assert spec.outputs[0].threshold != 0.5
    assert (folder / "figures" / "learning.png").exists()
    detector = OnnxDetector(spec, Chain((REFERENCE,)))
    explained = Explained(load(work.network(), places.best), spec.results["temperature"])  # type: ignore[arg-type]
    _, _, public = work.parts
    for pixels in public.pixels[:4]:
        with torch.inference_mode():
            tensor = torch.from_numpy(normalised(pixels, chosen.intensity)[None, None])
            expected = float(explained(tensor)[0])
        # the engine measures percentiles on all pixels
        assert cxr_report.chance_of(detector, pixels) == pytest.approx(expected, abs=0.03)
    work.report(folder)
    text = (folder / "CARD.md").read_text("utf-8")
    measured = read(folder).results
    assert measured["public_test"]["auc"] > 0.9
    assert f"**{measured['public_test']['auc']:.3f}**" in text
    assert measured["bacterial"]["images"] == 8
    assert measured["viral"]["images"] == 9
    assert "inverted" in text
    assert "not measured (no such file)" in text
    assert read(folder).headline.startswith("AUC")


def test_intervals_leave_out_draws_with_one_class_and_groups_are_compared_with_the_normal_ones() -> None:
    chances = np.array([0.1, 0.4, 0.9, 0.3])
    public = cxr_report.Measured(
        chances,
        np.array([False, False, True, True]),
        ("a", "b", "c", "d"),
        ("normal", "normal", "bacterial", "viral"),
        0.5,
        2.0,
        (),
    )
    value, low, high = public.between(roc_auc)
    assert value == 0.75
    assert 0 <= low <= value <= high <= 1
    assert list(public.only("viral").chances) == [0.1, 0.4, 0.3]
    # sigmoid(z / T) back to sigmoid(z)
    assert public.uncalibrated == pytest.approx(1 / (1 + (1 / chances - 1) ** 2))


def test_the_card_says_which_aims_were_missed() -> None:
    text = cxr_report.aims({"auc": 0.97, "sensitivity": 0.95, "specificity": 0.9})
    assert "an AUC of 0.98: not reached; a sensitivity of 0.95: reached; a specificity of 0.85: reached." in text
