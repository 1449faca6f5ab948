"""Lung nodules on axial CT slices: where they are, and how large. The first graph of lung-nodule."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.training import detector_net, lung_folder, lung_report, networks
from models.training.classification import roc_auc
from models.training.counting import parameters
from models.training.detection import Scan, froc
from models.training.export import load, write_model
from models.training.folds import Fold
from models.training.lung_evaluate import patch_tiles, picture, scan_of
from models.training.nodules import (
    CROP,
    F32,
    PATCH,
    READERS,
    U8,
    Crops,
    Patches,
    box_of,
    followed,
    grained,
    moved,
    read_crops,
    read_patches,
    windowed,
)
from models.training.recipe import Recipe
from models.training.task import Batch

# A mosaic of patches is as large as a crop.
_TILE = CROP // 2
# What a patch's nodule is taken for while its heat is drawn; its size does not count.
_UNSIZED = 12.0
# False marks per crop at which the sensitivity is read while the weights are chosen.
_RATES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
_MARKS = 20


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture to learn from: its boxes (m, 4), whether their sizes are known, and where nobody knows."""

    image: F32
    boxes: F32
    sized: bool
    unknown: NDArray[np.bool_] | None = None


class Task:
    """See `models.training.task.Task`."""

    def __init__(self, recipe: Recipe, data: Path, fold: int) -> None:
        self.recipe, self.data, self.fold = recipe, data, fold

    @cached_property
    def _crops(self) -> Crops:
        return read_crops(self.data / "train" / self.recipe.bundle)

    @cached_property
    def _patches(self) -> Patches:
        return read_patches(self.data / "train" / str(self.recipe.data["patches"]))

    @cached_property
    def _parts(self) -> Fold:
        return self._crops.parts(self.recipe.folds, self.recipe.seed, self.fold)

    @cached_property
    def _train(self) -> Crops:
        held = {*self._parts.validation, *self._parts.test}
        return self._crops.of([name for name in set(self._crops.patients) if name not in held])

    @cached_property
    def _split_patches(self) -> dict[str, Patches]:
        return self._patches.parts(self.recipe.seed)

    def network(self) -> nn.Module:
        """The anchor-free detector."""
        words = dict(self.recipe.network)
        return networks.build(words.pop("name"), **words)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Crops of LIDC and mosaics of LUNA patches, mixed: picture, maps, what counts, whose size is known."""
        recipe, crops, patches = self.recipe, self._train, self._split_patches["train"]
        settings = recipe.phase(epoch)[0].settings
        strength, edges = float(settings["strength"]), float(settings["edges"])
        rng = np.random.default_rng([recipe.seed, epoch])
        nodules, others = np.flatnonzero(patches.nodule), np.flatnonzero(~patches.nodule)
        tiles = [rng.permutation(nodules) for _ in range(int(recipe.data["repeat_nodules"]))]
        tiles.append(rng.choice(others, round(float(recipe.data["share_of_others"]) * len(others)), replace=False))
        mixed = rng.permutation(np.concatenate(tiles))
        mixed = mixed[: len(mixed) // 4 * 4].reshape(-1, 4)
        order = rng.permutation(len(crops.names) + len(mixed))

        def one(number: int) -> Sample:
            own = np.random.default_rng([recipe.seed, epoch, number])
            if number < len(crops.names):
                return crop_sample(crops.images[number], crops.readers[number], own, strength, edges)
            return mosaic(patches, mixed[number - len(crops.names)], own, strength)

        with ThreadPoolExecutor(1) as pool:
            starts = range(0, len(order) - recipe.batch + 1, recipe.batch)
            coming = [
                pool.submit(lambda a: batch_of([one(int(at)) for at in order[a : a + recipe.batch]]), start)
                for start in starts
            ]
            for future in coming:
                yield future.result()

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """CenterNet's."""
        _, wanted, counts, sized = batch
        return detector_net.loss(output, wanted, counts, sized)

    def validate(self, net: nn.Module) -> dict[str, float]:
        """AUC of patches, mean sensitivity at few marks a crop, and both together."""
        patches = self._split_patches["validation"]
        auc = roc_auc(patch_scores(net, patches.images), patches.nodule)
        curve = froc(crop_scans(net, self._crops.of(self._parts.validation)))
        found = float(np.mean([curve.sensitivity_at(rate) for rate in _RATES]))
        return {"score": auc + found, "auc": auc, "found": found}

    def export(self, weights: Path, folder: Path) -> None:
        """Graphs that are in the folder already stay; the threshold is chosen anew for all together."""
        net = load(self.network(), weights)
        others = lung_folder.parts(folder)
        manifest = deepcopy(dict(self.recipe.manifest))
        manifest["results"] = {
            **manifest.get("results", {}),
            "parameters": {"detector": parameters(net)},
            "false_marks_chosen": float(self.recipe.data["false_marks"]),
        }
        write_model(folder, manifest, detector_net.Boxes(net), picture(), [manifest["output"]])
        lung_folder.add(folder, others)
        validation = self._crops.of(self._parts.validation)
        lung_folder.settle(folder, validation.picked([int(at) for at in validation.agreed]))

    def report(self, folder: Path) -> None:
        """All graphs together."""
        lung_report.write(folder, self.data, self.fold)


def crop_sample(image: U8, readers: U8, rng: np.random.Generator, strength: float, edges: float = 0.0) -> Sample:
    """A crop of LIDC (rows, columns) in a window, moved so that its nodule may lie anywhere.

    A share of ``edges`` ends before it is over, as a slice that does not fill the model's canvas.
    """
    scale = float(np.exp(strength * rng.uniform(np.log(0.75), np.log(1.35))))
    # no farther than where the nodule's reflection would come into sight, unmarked
    reach = min(46 / scale, 112 - CROP / 2 / scale)
    row, column = (CROP - 1) / 2 + rng.uniform(-reach, reach, 2)
    angle = float(rng.normal(0, 0.3 * strength))
    mirror = bool(rng.random() < 0.5)
    picture, to_picture = moved(windowed(image, rng), CROP, (float(row), float(column)), scale, angle, mirror)
    agreed = followed(readers >= READERS, to_picture, CROP)
    boxes = np.array([box_of(agreed)] if agreed.any() else [], np.float32).reshape(-1, 4)
    # one reader saw something there: neither a nodule nor none
    doubtful = followed(readers > 0, to_picture, CROP) if not agreed.any() else None
    changed = grained(picture, rng, strength)
    if edges and rng.random() < edges:
        beyond = _beyond(rng)
        if not (beyond & followed(readers > 0, to_picture, CROP)).any():
            changed[beyond] = 0
    return Sample(changed, boxes, sized=True, unknown=doubtful)


def _beyond(rng: np.random.Generator) -> NDArray[np.bool_]:
    """What lies outside of the slice where its edge, or a corner of it, is in sight: (128, 128)."""
    beyond = np.zeros((CROP, CROP), np.bool_)
    rows, columns = rng.integers(0, 64, 2) * (rng.random(2) < 0.7)
    beyond[: int(rows)] = True
    beyond[:, : int(columns)] = True
    return np.asarray(np.rot90(beyond, int(rng.integers(4))), np.bool_)


def mosaic(patches: Patches, four: NDArray[np.intp], rng: np.random.Generator, strength: float) -> Sample:
    """Four patches of LUNA side by side, each mirrored at its edges."""
    image = np.empty((CROP, CROP), np.float32)
    boxes = []
    for place, number in enumerate(four.tolist()):
        top, left = place // 2 * _TILE, place % 2 * _TILE
        scale = float(np.exp(strength * rng.uniform(np.log(0.8), np.log(1.3))))
        row, column = (PATCH - 1) / 2 + rng.uniform(-8, 8, 2)
        angle, mirror = float(rng.uniform(-np.pi, np.pi)), bool(rng.random() < 0.5)
        picture = patches.images[number].astype(np.float32) / 255
        tile, to_patch = moved(picture, _TILE, (float(row), float(column)), scale, angle, mirror)
        image[top : top + _TILE, left : left + _TILE] = grained(tile, rng, strength)
        if patches.nodule[number]:
            x, y = cv2.invertAffineTransform(to_patch) @ [(PATCH - 1) / 2, (PATCH - 1) / 2, 1.0] + 0.5
            middle = np.array([top + y, left + x])
            boxes.append([*(middle - _UNSIZED / 2), *(middle + _UNSIZED / 2)])
    return Sample(image, np.array(boxes, np.float32).reshape(-1, 4), sized=False)


def batch_of(samples: list[Sample]) -> Batch:
    """Pictures (n, 1, rows, columns), wanted maps (n, 5, h, w), cells that count (n, h, w), known sizes (n,)."""
    wanted = detector_net.targets([torch.from_numpy(sample.boxes) for sample in samples], CROP, CROP)
    counts = torch.ones(len(samples), *wanted.shape[-2:])
    for at, sample in enumerate(samples):
        if sample.unknown is not None:
            around = cv2.dilate(sample.unknown.astype(np.float32), np.ones((9, 9), np.uint8))
            across, cell = CROP // detector_net.STRIDE, detector_net.STRIDE
            counts[at] = torch.from_numpy(1 - around.reshape(across, cell, across, cell).max(axis=(1, 3)))
    images = torch.from_numpy(np.stack([sample.image for sample in samples])[:, None])
    return images, wanted, counts, torch.tensor([float(sample.sized) for sample in samples])


def boxes_of(net: nn.Module, images: F32, batch: int = 32) -> F32:
    """The surest marks on windowed pictures (n, rows, columns): (n, marks, 5), as `detector_net.decode` gives them."""
    net.eval()
    device = next(net.parameters()).device
    with torch.inference_mode():
        parts = [
            detector_net.decode(net(torch.from_numpy(images[at : at + batch, None]).to(device)).float(), _MARKS)
            for at in range(0, len(images), batch)
        ]
    return np.asarray(torch.cat(parts).cpu().numpy(), np.float32)


def patch_scores(net: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The score of the surest mark on each patch (n, 50, 50), which is mirrored at its edges."""
    return boxes_of(net, patch_tiles(images))[:, 0, 4].astype(np.float64)


def crop_scans(net: nn.Module, crops: Crops) -> list[Scan]:
    """Marks on every crop that has a nodule."""
    agreed = crops.picked([int(at) for at in crops.agreed])
    found = boxes_of(net, np.stack([windowed(image) for image in agreed.images]))
    return [
        scan_of(marks[marks[:, 4] > 0], [box_of(readers >= READERS)])
        for marks, readers in zip(found, agreed.readers, strict=True)
    ]
