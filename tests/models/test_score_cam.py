"""Score-CAM on the engine shows what pytorch-grad-cam's shows of the same net in torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.training import vision
from models.training.classifier_net import Classifier
from models.training.export import write_graph
from models.training.grad_cam import OneLayer, shipped
from overread.domain.ports import Cancel
from overread.infer.backends.chain import REFERENCE
from overread.infer.backends.onnx import OnnxRuntime
from overread.infer.graphs import Graph
from overread.infer.score_cam import score_cam

MODELS = Path(__file__).resolve().parents[2] / "models"
SAME = 0.99


class Named(nn.Module):
    """A net with its layer's features as a second output, as a model ships that can be asked so."""

    def __init__(self, net: nn.Module, layer: nn.Module) -> None:
        super().__init__()
        self.net, self.seen = net, list[Tensor]()
        layer.register_forward_hook(lambda module, given, made: self.seen.append(made))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.clear()
        return self.net(x), self.seen[-1]


class Drawing(nn.Module):
    """A small net that draws: features at a quarter of the resolution, and a probability for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.ReLU()
        )
        self.draw = nn.Sequential(nn.Conv2d(12, 1, 1), nn.Upsample(scale_factor=4, mode="bilinear"))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(8 * cast("Tensor", self.draw(self.features(x))))


def theirs(net: nn.Module, layer: nn.Module, tensor: np.ndarray, target: Callable[[Tensor], Tensor]) -> np.ndarray:
    """pytorch-grad-cam's map, in the cells of the layer: before it is stretched to the image."""
    try:
        vision.ready()
        from pytorch_grad_cam import ScoreCAM
    except ImportError as error:
        if os.environ.get("OVERREAD_CI"):
            pytest.fail(f"the extra explain is not whole: {error}")
        pytest.skip(f'pip install -e ".[explain]": {error}')
    cam: Any = ScoreCAM(net, [layer])
    maps: list[np.ndarray] = []
    real = cam.get_cam_image
    cam.get_cam_image = lambda *given: maps.append(real(*given)) or maps[-1]
    cam(torch.from_numpy(tensor), [target])
    return np.maximum(maps[0][0], 0)


def ours(
    folder: Path, net: nn.Module, layer: nn.Module, tensor: np.ndarray, score: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The engine's map, and the mean of the features, which is what weights that do not tell them apart would give."""
    write_graph(folder / "model.onnx", Named(net, layer), tensor, "image", ["answer", "features"])
    weights = (folder / "model.onnx").read_bytes()
    import hashlib

    graph = Graph(folder / "model.onnx", hashlib.sha256(weights).hexdigest(), "image", ("answer", "features"))
    backend = OnnxRuntime().start(graph, REFERENCE, None, cores=1)
    features = backend.run(tensor, Cancel())["features"][0]
    made = score_cam(
        lambda given: backend.run(given, Cancel()),
        tensor,
        features,
        lambda outputs: score(outputs["answer"]),
        lambda done: None,
    )
    return made, np.maximum(features.mean(axis=0), 0)


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_region_of_a_net_that_draws(tmp_path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    net = Drawing().eval()
    tensor = np.random.default_rng(seed).random((1, 1, 48, 48), np.float32)
    tensor[..., 8:24, 20:40] += 1
    region = np.zeros((48, 48), np.bool_)
    region[10:22, 22:38] = True
    mark = torch.from_numpy(region)
    expected = theirs(net, net.features, tensor, lambda output: output[0][mark].mean())
    made, _ = ours(tmp_path, net, net.features, tensor, lambda answer: answer[:, 0][:, region].mean(axis=1))
    assert alike(made, expected) >= SAME


def test_the_class_of_a_small_net(tmp_path: Path) -> None:
    torch.manual_seed(4)
    net = Classifier([8, 12], [1, 1], classes=2, stem=4).eval()
    with torch.no_grad():
        net.head.weight.mul_(400)  # answers that differ, as a trained net's do
    tensor = np.random.default_rng(4).random((1, 1, 64, 64), np.float32)
    tensor[..., 8:30, 30:50] += 2
    for at in (0, 1):
        expected = theirs(net, net.features, tensor, lambda output, at=at: output[at])
        made, plain = ours(tmp_path, net, net.features, tensor, lambda answer, at=at: answer[:, at])
        assert alike(made, expected) >= SAME
        assert alike(plain, expected) < SAME, "the weights matter"


def test_the_shipped_classifier(tmp_path: Path) -> None:
    explained, tensor = shipped(MODELS / "cxr-pneumonia")
    net = OneLayer(explained).eval()
    for sign in (1, -1):
        expected = theirs(net, net.layer, tensor, lambda output, sign=sign: sign * output[0])
        made, _ = ours(tmp_path, net, net.layer, tensor, lambda answer, sign=sign: sign * answer[:, 0])
        assert alike(made, expected) >= SAME
