"""The activation map that the classifier ships is Grad-CAM: pytorch-grad-cam, in torch, shows the same places."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from models.training.bundles import image, rows
from models.training.classifier_net import Classifier, Explained
from models.training.evaluate import spaced, volume_of
from models.training.export import write_graph
from models.training.grad_cam import OneLayer, Reference, shipped
from models.training.radiograph import phantom
from models.training.recovered import recover
from overread.domain.heatmap import Heatmap
from overread.domain.ports import Cancel
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.detector import ModelRun, OnnxDetector
from overread.infer.manifest import ModelSpec, read
from overread.render.heat import shares

MODELS = Path(__file__).resolve().parents[2] / "models"
SAME = 0.99


def present(output: Tensor) -> Tensor:
    return output[0]


def absent(output: Tensor) -> Tensor:
    return -output[0]


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return read(MODELS / "cxr-pneumonia")


@pytest.fixture(scope="module")
def net(spec: ModelSpec) -> Explained:
    """The torch net of the shipped classifier; that it answers as the file does is what `recover` asks for."""
    return shipped(spec.folder)[0]


@pytest.fixture(scope="module")
def reference(net: Explained) -> Reference:
    try:
        return Reference(net)
    except ImportError as error:
        if os.environ.get("OVERREAD_CI"):
            pytest.fail(f"the extra explain is not whole: {error}")
        pytest.skip(f'pip install -e ".[explain]": {error}')


@pytest.fixture(scope="module")
def detector(spec: ModelSpec) -> OnnxDetector:
    return OnnxDetector(spec, Chain((REFERENCE,)))


def on_the_engine(detector: OnnxDetector, pixels: np.ndarray) -> tuple[np.ndarray, float, Heatmap]:
    """What the network is given of an image, the probability of its class and the map, by the way that a study goes."""
    run: ModelRun = detector.start(volume_of(pixels[None], spaced((1.0, 1.0, 1.0)), "CR", ""))
    tensor = run.slicer.tensor(0)
    answer = run._task.answer(0, run.served.backend.run(tensor, Cancel()), Cancel())
    return tensor, answer.classes[0].probability, answer.heatmaps[0]


def compared(
    detector: OnnxDetector, net: Explained, reference: Reference, pictures: Iterator[np.ndarray]
) -> dict[Callable[[Tensor], Tensor], list[float]]:
    """How the engine's map and pytorch-grad-cam's correlate, for the class and for its opposite, image by image."""
    found: dict[Callable[[Tensor], Tensor], list[float]] = {present: [], absent: []}
    for pixels in pictures:
        tensor, probability, heatmap = on_the_engine(detector, pixels)
        with torch.inference_mode():
            (in_torch,) = net(torch.from_numpy(tensor))[0].flatten().tolist()
            logit = OneLayer(net)(torch.from_numpy(tensor))
        assert probability == pytest.approx(in_torch, abs=1e-4)
        assert torch.sigmoid(logit).item() == pytest.approx(in_torch, abs=1e-4)
        opposite = Heatmap.of(-heatmap.values, heatmap.extent, heatmap.plane, 0, "none", heatmap.method, heatmap.layer)
        for target, ours in ((present, heatmap), (absent, opposite)):
            shown = cv2.resize(shares(ours), tensor.shape[:1:-1])
            theirs = reference(tensor, target)
            if shown.max() == 0:
                assert theirs.max() == 0, "nothing in the image speaks for it"
            else:
                found[target].append(float(np.corrcoef(shown.ravel(), theirs.ravel())[0, 1]))
    return found


def test_both_maps_show_the_same_on_phantoms(detector: OnnxDetector, net: Explained, reference: Reference) -> None:
    def chests() -> Iterator[np.ndarray]:
        chest = phantom(256, 300)[0, 0]
        for row in (60, 140):
            for column in (60, 200):
                cloudy = chest.copy()
                cloudy[row : row + 60, column : column + 50] += 0.5
                yield (cloudy.clip(0, 1) * 4000).astype(np.int16)

    found = compared(detector, net, reference, chests())
    assert min(found[present] + found[absent]) >= SAME
    assert found[present]
    assert found[absent], "on one of the phantoms at least something speaks against it"


def test_both_maps_show_the_same_on_radiographs(
    detector: OnnxDetector, net: Explained, reference: Reference, data: Path
) -> None:
    public = [row for row in rows(data / "train" / "cxr-pneumonia.zip") if row.split == "public-test"]
    chosen = [row for label in ("normal", "pneumonia") for row in [r for r in public if r.label == label][::12][:4]]
    found = compared(detector, net, reference, (image(row) for row in chosen))
    assert len(found[present]) >= 4
    assert len(found[absent]) >= 4
    assert min(found[present] + found[absent]) >= SAME


def test_a_net_with_other_weights_shows_other_places(detector: OnnxDetector, reference: Reference) -> None:
    """So that the comparison could fail."""
    tensor, _, heatmap = on_the_engine(detector, (phantom(256, 300)[0, 0] * 4000).astype(np.int16))
    torch.manual_seed(3)
    other = Reference(Explained(Classifier([24, 48, 96], [1, 1, 2])))(tensor, present)
    shown = cv2.resize(shares(heatmap), tensor.shape[:1:-1])
    assert abs(np.corrcoef(shown.ravel(), other.ravel())[0, 1]) < SAME


def test_weights_come_back_from_the_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    tensor = np.random.default_rng(2).random((2, 1, 32, 32), np.float32)
    made = trained(Explained(Classifier([8, 12], [1, 2], stem=4), 0.8))
    write_graph(tmp_path / "model.onnx", made, tensor, "image", ["probability", "activation"])
    again = Explained(Classifier([8, 12], [1, 2], stem=4), 0.8)
    recover(again, tmp_path / "model.onnx", tensor)
    fresh = torch.rand(1, 1, 64, 48)
    for ours, theirs in zip(again(fresh), made(fresh), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("dims", "depths"), [([8, 12], [1, 1]), ([8, 12], [1, 3]), ([8, 14], [1, 2])])
def test_weights_of_another_net_are_refused(tmp_path: Path, dims: list[int], depths: list[int]) -> None:
    tensor = np.random.default_rng(2).random((1, 1, 32, 32), np.float32)
    made = trained(Explained(Classifier([8, 12], [1, 2], stem=4)))
    write_graph(tmp_path / "model.onnx", made, tensor, "image", ["probability", "activation"])
    with pytest.raises(ValueError, match="is of another net"):
        recover(Explained(Classifier(dims, depths, stem=4)), tmp_path / "model.onnx", tensor)


def test_a_net_that_answers_otherwise_is_refused(tmp_path: Path) -> None:
    tensor = np.random.default_rng(2).random((1, 1, 32, 32), np.float32)
    made = trained(Explained(Classifier([8, 12], [1, 2], stem=4), 0.8))
    write_graph(tmp_path / "model.onnx", made, tensor, "image", ["probability", "activation"])
    with pytest.raises(ValueError, match="gives other answers"):
        recover(Explained(Classifier([8, 12], [1, 2], stem=4), 1.2), tmp_path / "model.onnx", tensor)


def trained(net: Explained) -> Explained:
    """With statistics in its norms that are not those of a fresh net."""
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(4, 1, 32, 32) * 3)
        for name, value in net.named_parameters():
            if "bias" in name or "offset" in name:
                value.copy_(torch.randn_like(value) / 3)
    return net.eval()
