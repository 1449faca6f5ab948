"""pytorch-grad-cam on the torch net of a classifier: what the shipped activation map is measured against.

`pip install -e ".[explain]"` brings it. It needs one layer whose gradient it takes, where the shipped graph asks the
net twice, of the image and of its mirror image; `OneLayer` is the same function with one such layer.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.training import networks, recipe, vision
from models.training.classifier_net import Classifier, Explained
from models.training.recovered import recover

RECIPES = Path(__file__).resolve().parent


class OneLayer(nn.Module):
    """`Explained` up to its logits, (n, 1, rows, columns) → (n, classes), by way of `layer`.

    A 1×1 convolution does not mind whether two pictures are averaged before it or after it, and mirroring is no
    business of it: of the averaged features it gives the averaged maps.
    """

    def __init__(self, explained: Explained) -> None:
        super().__init__()
        self.net, self.temperature = explained.net, explained.temperature
        self.layer = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        mirrored = torch.flip(self.net.features(torch.flip(x, dims=[3])), dims=[3])
        features = self.layer((self.net.features(x) + mirrored) / 2)
        return self.net.logits(cast("Tensor", self.net.head(features))) / self.temperature


def shipped(folder: Path) -> tuple[Explained, NDArray[np.float32]]:
    """The torch net of a classifier's folder, with the weights of its model.onnx, and an image for it.

    The image is that of the self-test, (1, 1, rows, columns), by which both were compared; see `recovered`.
    """
    table = tomllib.loads((folder / "model.toml").read_text("utf-8"))
    made = recipe.read(RECIPES / f"{table['id'].replace('-', '_')}.toml")
    words = dict(made.network)
    net = cast("Classifier", networks.build(words.pop("name", "classifier"), **words))
    explained = Explained(net, table["results"]["temperature"])
    with np.load(folder / "selftest.npz") as stored:
        tensor = np.asarray(stored["input"][:1], np.float32)
    recover(explained, folder / "model.onnx", tensor)
    return explained, tensor


class Reference:
    """Grad-CAM by pytorch-grad-cam on a classifier in torch."""

    def __init__(self, explained: Explained) -> None:
        """ImportError where the extra is not installed."""
        vision.ready()
        from pytorch_grad_cam import GradCAM

        net = OneLayer(explained).eval()
        self._cam: Any = GradCAM(net, [net.layer])

    def __call__(self, tensor: NDArray[np.float32], target: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
        """The map for what `target` makes of an image's logits (classes,); shape (rows, columns), 0 to 1."""
        maps = self._cam(torch.from_numpy(tensor), [target])
        return np.asarray(maps[0], np.float32)
