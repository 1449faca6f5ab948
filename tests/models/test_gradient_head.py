"""The gradient inside an exported graph is the one that torch computes, and the map the one that the paper gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from models.training import networks, recipe, task
from models.training.export import write_graph
from models.training.gradient_head import marked, traced
from models.training.recovered import recover
from overread.infer.manifest import read

MODELS = Path(__file__).resolve().parents[2] / "models"


def settled(net: nn.Module, channels: int = 1, side: int = 64) -> nn.Module:
    """An untrained net whose norms have seen something."""
    net.train()
    with torch.no_grad():
        for _ in range(2):
            net(torch.randn(2, channels, side, side))
    return net.eval()


def by_autograd(net: nn.Module, layer: str, method: str, image: Tensor, region: Tensor) -> np.ndarray:
    """The definition, with torch's own gradient."""
    kept: list[Tensor] = []
    hook = net.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output))
    logits = net(image)
    hook.remove()
    score = (logits[0] if isinstance(logits, tuple) else logits)[:, : region.shape[1]] * region
    (slope,) = torch.autograd.grad(score.sum(), kept[0])
    weights = slope.mean(dim=(2, 3), keepdim=True) if method == "Seg-Grad-CAM" else slope
    return (weights * kept[0]).sum(dim=1, keepdim=True).relu().detach().numpy()


def regions(count: int, classes: int, side: int) -> np.ndarray:
    drawn = np.zeros((count, classes, side, side), np.float32)
    for at in range(count):
        drawn[at, at % classes, 8 * at : 8 * at + 24, 12:40] = 1
    return drawn


CMUNEXT: dict[str, Any] = {"dims": (8, 10, 12, 16, 24), "depths": (1,) * 5, "kernels": (3, 3, 7, 7, 9)}
CASES = [
    ("cmunext", {**CMUNEXT, "stride": 2}, "encoders.4", "Seg-Grad-CAM", 1),
    ("cmunext", {**CMUNEXT, "stride": 2}, "fusions.3", "HiResCAM", 1),
    ("cmunext", {**CMUNEXT, "fusion": "sum", "activation": "relu"}, "encoders.2", "Seg-Grad-CAM", 1),
    ("cmunext", {**CMUNEXT, "classes": 3, "channels": 2}, "fusions.2", "Seg-Grad-CAM", 2),
    ("mininet", {}, "encoders.2", "Seg-Grad-CAM", 1),
]


@pytest.mark.parametrize(("name", "words", "layer", "method", "classes"), CASES)
def test_the_exported_gradient_is_torchs(
    tmp_path: Path, name: str, words: dict[str, Any], layer: str, method: str, classes: int
) -> None:
    torch.manual_seed(3)
    channels = int(words.get("channels", 1))
    net = settled(networks.build(name, **words), channels)
    rng = np.random.default_rng(5)
    one = rng.normal(size=(1, channels, 64, 64)).astype(np.float32)
    graph = traced(net, layer, method, one, classes)
    file = tmp_path / "explain.onnx"
    write_graph(file, graph, marked(one, regions(1, classes, 64)), "marked", ["heatmap"])
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    # other images than the one that was traced, several at once
    images = np.tile(rng.normal(size=(2, channels, 64, 64)).astype(np.float32), (2, 1, 1, 1))
    drawn = regions(2, classes, 64)
    drawn = np.concatenate([drawn, -drawn])  # what speaks against it, where nothing speaks for it
    (ours,) = session.run(None, {"marked": marked(images, drawn)})
    theirs = by_autograd(net, layer, method, torch.from_numpy(images), torch.from_numpy(drawn))
    assert ours.shape == theirs.shape
    assert theirs.max() > 0
    assert np.abs(ours - theirs).max() <= 1e-4 * theirs.max()


class Overlapping(nn.Module):
    """A dilated convolution with a stride, a transposed one and a pool, which the nets above do not have all."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.rest = nn.Sequential(
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, stride=2, padding=2, dilation=2),
            nn.ReLU(),
            nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2),
            nn.Hardswish(),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(4, 1, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.rest(self.first(x))
        return logits, logits.mean(dim=(2, 3))


def test_other_layers_than_the_nets_have(tmp_path: Path) -> None:
    torch.manual_seed(4)
    net = Overlapping().eval()
    image = np.tile(np.random.default_rng(1).normal(size=(1, 1, 32, 32)).astype(np.float32), (2, 1, 1, 1))
    drawn = np.concatenate([regions(1, 1, 32), -regions(1, 1, 32)])
    graph = traced(net, "first", "HiResCAM", image)
    write_graph(tmp_path / "explain.onnx", graph, marked(image, drawn), "marked", ["heatmap"])
    session = onnxruntime.InferenceSession(tmp_path / "explain.onnx", providers=["CPUExecutionProvider"])
    (ours,) = session.run(None, {"marked": marked(image, drawn)})
    theirs = by_autograd(net, "first", "HiResCAM", torch.from_numpy(image), torch.from_numpy(drawn))
    assert theirs.max() > 0
    assert np.abs(ours - theirs).max() <= 1e-4 * theirs.max()


def test_what_there_is_not() -> None:
    net, image = networks.build("cmunext", **CMUNEXT), np.zeros((1, 1, 32, 32), np.float32)
    with pytest.raises(ValueError, match="Seg-Grad-CAM or HiResCAM, not Guess"):
        traced(net, "encoders.4", "Guess", image)
    with pytest.raises(AttributeError, match="9"):
        traced(net, "encoders.9", "Seg-Grad-CAM", image)


@pytest.mark.parametrize("made", ["glioma_flair", "tumour_t1c"])
def test_what_ships_explains_the_weights_that_ship(made: str) -> None:
    words = recipe.read(MODELS / "training" / f"{made}.toml")
    folder, work = MODELS / words.name, task.create(words, Path("/nowhere"))
    assert isinstance(work, task.Explained)
    model, explain = work.shipped(), words.manifest["explain"]
    with np.load(folder / "selftest.npz") as stored:
        image = stored["input"][:1]
    recover(model, folder / "model.onnx", image)
    drawn = np.zeros_like(image)
    drawn[..., 60:110, 90:150] = 1
    session = onnxruntime.InferenceSession(folder / explain["file"], providers=["CPUExecutionProvider"])
    both = np.concatenate([drawn, -drawn])
    images = np.concatenate([image, image])
    (ours,) = session.run(None, {explain["input"]: marked(images, both)})
    net = model.get_submodule("net")
    theirs = by_autograd(net, explain["layer"], explain["method"], torch.from_numpy(images), torch.from_numpy(both))
    assert theirs.max() > 0
    assert np.abs(ours - theirs).max() <= 1e-4 * theirs.max()
    assert read(folder).explaining is not None
