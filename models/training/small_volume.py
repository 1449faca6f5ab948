"""The small 3-D net of tests and benchmarks: the tumour of the synthetic head on its FLAIR. No patient's image.

    python -m models.training.small_volume [--out FOLDER]

makes it again, with its manifest and self-test, in about a minute on two cores; the seed is fixed.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overread.dicom.demo import FLAIR
from overread.domain.geometry import Grid
from overread.domain.ports import Cancel
from overread.imaging.intensity import IntensityRule, normaliser
from overread.imaging.phantom import Head, make_head
from overread.imaging.phantom_atlas import Tissue
from overread.imaging.phantom_mr import acquire, slabs
from overread.imaging.resample import refitted, respaced

SIZE = (32, 48, 48)
SPACING = (2.5, 1.8, 1.8)
_CROP = (24, 32, 32)  # smaller than what the engine gives, so that training takes a minute
_WIDTHS = (8, 8, 16)
_STEPS, _BATCH, _SEED = 80, 2, 5
_CORE = (Tissue.TUMOUR, Tissue.RIM, Tissue.NECROSIS)
_HERE = Path(__file__).resolve().parents[2] / "resources" / "bench" / "volume"

_MANIFEST = """schema = 1
id = "bench-volume"
name = "Synthetic tumour, 3-D"
version = "1.0.0"
summary = "The tumour of the synthetic head, for tests and benchmarks"
task = "segment"
dimensions = "3d"
sha256 = "{sha256}"
input = "image"
output = "logits"
use = "For tests and benchmarks: it has seen nothing but the synthetic head. Not for clinical use."

[prepare]
orientation = "HPL"
spacing_mm = {spacing}
patch = {size}
overlap = 0.5
intensity = {{ rule = "z-score" }}

[labels]
rule = "softmax"
logits = true

[[outputs]]
label = "Oedema"
concept = "79654002|SCT|Edema"
category = "49755003|SCT|Morphologically Abnormal Structure"
anatomy = "12738006|SCT|Brain"
colour = "#F5B83D"
min_volume_ml = 0.5

[[outputs]]
label = "Tumour core"
concept = "108369006|SCT|Neoplasm"
category = "49755003|SCT|Morphologically Abnormal Structure"
anatomy = "12738006|SCT|Brain"
colour = "#E8590C"
keep = 1.0

[gate]
modality = ["MR"]
role = ["FLAIR"]
slices = [3, 512]

[tolerance]
fp32 = 3e-4

[licence]
weights = "Apache-2.0"
data = "synthetic"
"""


_CARD = """# Synthetic tumour, 3-D

A net for tests and benchmarks, trained for a minute on one scan of the synthetic head
(`python -m models.training.small_volume`). It finds the tumour there and much that is none; what it finds is of no use.
"""


class Block(nn.Sequential):
    """Two convolutions, as nnU-Net has them: instance norm, leaky ReLU."""

    def __init__(self, given: int, width: int, stride: int = 1) -> None:
        layers: list[nn.Module] = []
        for channels, step in ((given, stride), (width, 1)):
            layers += [nn.Conv3d(channels, width, 3, step, 1), nn.InstanceNorm3d(width, affine=True)]
            layers += [nn.LeakyReLU(0.01)]
        super().__init__(*layers)


class SmallUnet(nn.Module):
    """A plain U-Net of three levels: (n, 1, k, j, i) → logits (n, 3, k, j, i); sizes are multiples of 4."""

    def __init__(self) -> None:
        super().__init__()
        steps = zip((1, *_WIDTHS), _WIDTHS, strict=False)
        self.down = nn.ModuleList(Block(given, width, 1 if given == 1 else 2) for given, width in steps)
        back = list(zip(_WIDTHS[:0:-1], _WIDTHS[-2::-1], strict=True))
        self.wider = nn.ModuleList(nn.ConvTranspose3d(given, width, 2, 2) for given, width in back)
        self.up = nn.ModuleList(Block(2 * width, width) for _, width in back)
        self.head = nn.Conv3d(_WIDTHS[0], 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of background, oedema and core."""
        kept: list[Tensor] = []
        for block in self.down:
            image = block(image)
            kept.append(image)
        kept.pop()
        for wider, block in zip(self.wider, self.up, strict=True):
            image = block(torch.cat([wider(image), kept.pop()], 1))
        logits: Tensor = self.head(image)
        return logits


def _tilted(grid: Grid, degrees: float) -> Grid:
    """The grid nodded about its middle."""
    a, b = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    middle = grid.to_lps((np.array(grid.shape) - 1) / 2)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, a, -b], [0, b, a]]) @ grid.affine[:3, :3]
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2)
    return Grid(grid.shape, affine)


def _example(head: Head, degrees: float, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A scan as the engine gives it to the net, and what is in it: 0, 1 oedema, 2 core; both (k, j, i)."""
    scan = replace(FLAIR.scan, grid=_tilted(FLAIR.scan.grid, degrees), seed=seed)
    values = acquire(head, scan).astype(np.float32)
    shape = respaced(scan.grid, SPACING).shape
    image = refitted(normaliser(IntensityRule("z-score", (-np.inf, np.inf)), values)(values), shape, Cancel())
    sheets = []
    for tissues in ((Tissue.OEDEMA,), _CORE):
        there = np.isin(head.labels, tissues).astype(np.float32)
        sheets.append(refitted(slabs(there, head.grid, scan.grid, scan.thickness_mm), shape, Cancel()))
    labels = np.argmax([np.full(shape, 0.5, np.float32), *sheets], axis=0)
    return image, labels.astype(np.int64)


def train() -> SmallUnet:
    """Train on one scan of the one head, patches at random, half of them on the tumour; the same each time."""
    torch.manual_seed(_SEED)
    torch.set_num_threads(1)  # sums of several threads differ in their last digits
    rng = np.random.default_rng(_SEED)
    head = make_head()
    examples = [_example(head, degrees, seed) for seed, degrees in enumerate((4,), start=20)]
    net = SmallUnet()
    optimiser = torch.optim.AdamW(net.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, _STEPS)
    for _ in range(_STEPS):
        images, truths = [], []
        for number in range(_BATCH):
            image, labels = examples[rng.integers(len(examples))]
            spot = rng.integers(0, image.shape)
            if number % 2:
                places = np.argwhere(labels > 0)
                spot = places[rng.integers(len(places))]
            start = [
                int(np.clip(at - n // 2, 0, size - n)) for at, n, size in zip(spot, SIZE, image.shape, strict=True)
            ]
            box = tuple(slice(at, at + n) for at, n in zip(start, SIZE, strict=True))
            images.append(image[box] * rng.uniform(0.9, 1.1) + rng.uniform(-0.1, 0.1))
            truths.append(labels[box])
        given, wanted = torch.from_numpy(np.stack(images)[:, None]).float(), torch.from_numpy(np.stack(truths))
        logits = net(given)
        likely = logits.softmax(1)[:, 1:]
        there = nn.functional.one_hot(wanted, 3).movedim(-1, 1)[:, 1:]
        overlap = (2 * (likely * there).sum() + 1) / (likely.sum() + there.sum() + 1)
        loss = nn.functional.cross_entropy(logits, wanted) + 1 - overlap
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


def export(net: SmallUnet, folder: Path) -> None:
    """Write model.onnx, model.toml, CARD.md and selftest.npz."""
    folder.mkdir(parents=True, exist_ok=True)
    given = torch.randn(1, 1, *SIZE, generator=torch.Generator().manual_seed(_SEED))
    axes = {"image": {0: "n"}, "logits": {0: "n"}}
    torch.onnx.export(
        net,
        (given,),
        folder / "model.onnx",
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    manifest = _MANIFEST.format(sha256=sha256, spacing=list(SPACING), size=list(SIZE))
    (folder / "model.toml").write_text(manifest, "utf-8")
    (folder / "CARD.md").write_text(_CARD, "utf-8")
    spot = torch.zeros_like(given)  # most of it empty, and answers of three digits: both pack well
    spot[..., 12:20, 20:28, 20:28] = given[..., 12:20, 20:28, 20:28]
    with torch.inference_mode():
        logits = net(spot).numpy()
    np.savez_compressed(folder / "selftest.npz", input=spot.numpy(), logits=np.round(logits, 3))


def main() -> None:
    """Make it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=_HERE)
    export(train(), parser.parse_args().out)


if __name__ == "__main__":
    main()
