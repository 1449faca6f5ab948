"""A model is asked why on one slice: for the region, at the layer's own resolution; only what was tested answers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from overread.domain.errors import Cancelled, UserError
from overread.domain.finding import Kind, Mask
from overread.domain.geometry import Plane
from overread.domain.ports import Cancel
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.manifest import read
from overread.infer.score_cam import BATCH, score_cam
from overread.infer.slices import Slicer
from overread.infer.why import Why, drawn_by, first_component
from support.tiny import asked_model, kinds_model
from support.values import MODEL, box_grid, finding, volume


def head() -> np.ndarray:
    """Two bright blocks in a grey head, three slices."""
    voxels = np.full((3, 64, 64), 400, np.int16) + np.random.default_rng(2).integers(0, 40, (3, 64, 64), np.int16)
    voxels[1, 8:24, 8:24] = voxels[1, 40:56, 40:56] = 900
    return voxels


IMAGE = volume(head(), box_grid((3, 64, 64), (3.0, 1.5, 1.5)))


def region(rows: slice, columns: slice) -> np.ndarray:
    drawn = np.zeros((64, 64), np.bool_)
    drawn[rows, columns] = True
    return drawn


def test_the_region_decides_what_is_shown(tmp_path: Path) -> None:
    spec = read(asked_model(tmp_path))
    why = Why(spec, Chain((REFERENCE,)))
    first = why(IMAGE, 1, region(slice(8, 24), slice(8, 24)), spec.outputs[0], Cancel())
    second = why(IMAGE, 1, region(slice(40, 56), slice(40, 56)), spec.outputs[0], Cancel())
    assert (first.shape, first.plane, first.index) == ((8, 8), Plane.AXIAL, 1)
    assert (first.method, first.layer, first.label) == ("Seg-Grad-CAM", "means", "Bright")
    assert first.extent == pytest.approx((0, 0, 64, 64))
    tensor = Slicer.of(IMAGE, spec.prepare).tensor(1)[0, 0]
    cells = np.maximum(tensor.reshape(8, 8, 8, 8).mean(axis=(1, 3)), 0)
    for heatmap, held in ((first, slice(1, 3)), (second, slice(5, 7))):
        assert heatmap.values[held, held] == pytest.approx(cells[held, held], abs=1e-5)
        assert heatmap.values.sum() == pytest.approx(heatmap.values[held, held].sum()), "nothing outside of the region"
        assert heatmap.values.sum() > 0


def test_each_output_has_its_own_region(tmp_path: Path) -> None:
    spec = read(asked_model(tmp_path, outputs=2))
    why, drawn = Why(spec, Chain((REFERENCE,))), region(slice(8, 24), slice(8, 24))
    assert why(IMAGE, 1, drawn, spec.outputs[0], Cancel()).values.max() == 0, "the graph looks at the second region"
    assert why(IMAGE, 1, drawn, spec.outputs[1], Cancel()).values.max() > 0


def test_features_alone_are_of_no_class(tmp_path: Path) -> None:
    spec = read(asked_model(tmp_path, method="Eigen-CAM"))
    assert spec.explaining is None
    heatmap = Why(spec, Chain((REFERENCE,)))(IMAGE, 1, region(slice(0, 1), slice(0, 1)), spec.outputs[0], Cancel())
    assert (heatmap.method, heatmap.label, heatmap.shape) == ("Eigen-CAM, not class specific", "", (8, 8))
    cells = Slicer.of(IMAGE, spec.prepare).tensor(1)[0, 0].reshape(8, 8, 8, 8).mean(axis=(1, 3))
    assert np.corrcoef(heatmap.values.ravel(), cells.ravel())[0, 1] > 0.9999


def test_features_that_show_the_region_weigh_more(tmp_path: Path) -> None:
    """By Score-CAM, worked out by hand: two features, each a mask on the slice, and the mean answer in the region."""
    spec = read(asked_model(tmp_path, method="Score-CAM"))
    drawn, paced = region(slice(8, 24), slice(8, 24)), list[float]()
    heatmap = Why(spec, Chain((REFERENCE,)))(IMAGE, 1, drawn, spec.outputs[0], Cancel(), paced.append)
    assert (heatmap.method, heatmap.label, heatmap.shape) == ("Score-CAM, approximate", "Bright", (8, 8))
    assert paced == [0.0], "two features are one batch"
    picture = Slicer.of(IMAGE, spec.prepare).tensor(1)[0, 0]
    cells = picture.reshape(8, 8, 8, 8).mean(axis=(1, 3))
    scores = []
    for feature in (cells, -cells):
        wide = ndimage.zoom(feature, 8, order=1)
        shown = picture * (wide - wide.min()) / np.ptp(wide)
        scores.append((1 / (1 + np.exp(-20 * (shown - 0.6))))[drawn].mean())
    first, second = np.exp(scores) / np.exp(scores).sum()
    assert first > second
    assert heatmap.values == pytest.approx(np.maximum((first - second) * cells, 0), abs=1e-4)


def test_many_features_go_in_batches_and_are_called_off_between_them() -> None:
    sizes, cancel = list[int](), Cancel()

    def run(given: np.ndarray) -> dict[str, np.ndarray]:
        sizes.append(len(given))
        if len(sizes) == 2:
            cancel.cancel()
        return {"answer": given.mean(axis=(1, 2, 3))}

    def pace(done: float) -> None:
        if cancel.cancelled:
            raise Cancelled

    features, tensor = np.random.default_rng(1).random((20, 3, 3), np.float32), np.ones((1, 1, 12, 12), np.float32)
    with pytest.raises(Cancelled):
        score_cam(run, tensor, features, lambda outputs: outputs["answer"], pace)
    assert sizes == [BATCH, BATCH]
    cancel, sizes[:] = Cancel(), [0] * 9
    map_ = score_cam(run, tensor, np.full((3, 3, 3), 2, np.float32), lambda outputs: outputs["answer"], pace)
    assert map_ == pytest.approx(np.full((3, 3), 2.0)), "what is the same everywhere hides all, and weighs the same"


def test_the_first_component_is_that_of_pytorch_grad_cam() -> None:
    try:
        from models.training import vision

        vision.ready()
        from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction
    except ImportError as error:
        if os.environ.get("OVERREAD_CI"):
            pytest.fail(f"the extra explain is not whole: {error}")
        pytest.skip(f'pip install -e ".[explain]": {error}')
    for seed in range(4):
        features = np.random.default_rng(seed).gamma(2, size=(12, 7, 9)).astype(np.float32)
        features[:5] += np.linspace(0, 4, 9, dtype=np.float32)
        (theirs,) = get_2d_projection_with_sign_correction(features[None])
        assert first_component(features) == pytest.approx(theirs, abs=1e-4)


def test_an_explanation_that_fails_its_test_does_not_serve(tmp_path: Path) -> None:
    spec = read(asked_model(tmp_path))
    assert spec.explaining is not None
    with np.load(spec.selftest) as stored:
        arrays = dict(stored)
    np.savez_compressed(spec.selftest, **{**arrays, "explain_output": arrays["explain_output"] + np.float32(1e-2)})
    assert Chain((REFERENCE,)).judged(spec, REFERENCE)[0].passed, "the model itself still does"
    why = Why(spec, Chain((REFERENCE,)))
    with pytest.raises(UserError, match=r"self-test missed"):
        why(IMAGE, 1, region(slice(8, 24), slice(8, 24)), spec.outputs[0], Cancel())
    del arrays["explain_region"]
    np.savez_compressed(spec.selftest, **arrays)
    with pytest.raises(UserError, match="self-test of asked-explain cannot be read"):
        Chain((REFERENCE,)).judged(spec.explaining, REFERENCE)


def test_an_exchanged_graph_is_not_run(tmp_path: Path) -> None:
    folder = asked_model(tmp_path)
    (folder / "explain.onnx").write_bytes((folder / "model.onnx").read_bytes())
    with pytest.raises(UserError, match=r"explain\.onnx is not the file"):
        read(folder)


def test_a_manifest_says_by_what(tmp_path: Path) -> None:
    folder = asked_model(tmp_path)
    text = (folder / "model.toml").read_text("utf-8")
    (folder / "model.toml").write_text(text.replace('file = "explain.onnx"\n', ""), "utf-8")
    with pytest.raises(UserError, match="Seg-Grad-CAM needs a “file”"):
        read(folder)
    (folder / "model.toml").write_text(text.replace("explain.onnx", "../explain.onnx"), "utf-8")
    with pytest.raises(UserError, match="no file of the model's folder"):
        read(folder)


def test_too_small_a_region_and_one_called_off(tmp_path: Path) -> None:
    spec = read(asked_model(tmp_path, size=32))
    why = Why(spec, Chain((REFERENCE,)))
    coarse = volume(np.tile(head(), (1, 4, 4)), box_grid((3, 256, 256), (3.0, 0.2, 0.2)))
    with pytest.raises(UserError, match="too small"):
        why(coarse, 1, np.eye(256, dtype=np.bool_) * (np.arange(256) == 128), spec.outputs[0], Cancel())
    cancel = Cancel()
    cancel.cancel()
    with pytest.raises(Cancelled):
        why(IMAGE, 1, np.ones((64, 64), np.bool_), spec.outputs[0], cancel)


def test_who_can_be_asked_about_what(tmp_path: Path) -> None:
    spec, plain = read(asked_model(tmp_path, outputs=2)), read(kinds_model(tmp_path))
    mask = Mask.of(np.ones((1, 2, 2), np.bool_), (1, 8, 8), (3, 64, 64))
    from dataclasses import replace

    source = replace(MODEL, id=spec.id, sha256=spec.sha256)
    assert drawn_by(spec, finding(mask, source, label="Dark")) is spec.outputs[1]
    with pytest.raises(UserError, match="none of them by name"):
        drawn_by(spec, finding(mask, source, label="Other"))
    with pytest.raises(UserError, match="another version"):
        drawn_by(spec, finding(mask, replace(source, sha256="1" * 64), label="Dark"))
    with pytest.raises(UserError, match="cannot say why"):
        drawn_by(plain, finding(mask, replace(source, sha256=plain.sha256), label="Bright"))
    whole = finding(Mask((3, 64, 64), (0, 0, 0), (0, 0, 0), b""), source, kind=Kind.CLASSIFICATION, threshold=0.5)
    with pytest.raises(UserError, match="cannot say why"):
        drawn_by(spec, whole)
