"""The vessels of the retina on fundus photographs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tomlkit
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.training import bundles, card, networks, vessels
from models.training.evaluate import spaced, volume_of
from models.training.export import Probability, load, write_manifest, write_model
from models.training.folds import Fold, folds
from models.training.fundus import Fundus, drawn, field_of_view, patch
from models.training.measures import Counts, best_threshold, dice
from models.training.overlap import combined
from models.training.recipe import Recipe
from models.training.report import Table
from models.training.score import probabilities
from models.training.task import Batch
from overread.domain.volume import Volume
from overread.imaging.intensity import normaliser
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import read

U8 = NDArray[np.uint8]

# Beside model.toml: each photograph, measured by the fold that held it out. `evaluate` has only the shipped fold's net.
FOLDS = "five_folds.csv"


class Task:
    """See `models.training.task.Task`."""

    def __init__(self, recipe: Recipe, data: Path, fold: int) -> None:
        self.recipe, self.data, self.fold = recipe, data, fold

    @cached_property
    def rows(self) -> tuple[bundles.Row, ...]:
        """All photographs of the bundle."""
        return bundles.rows(self.data / "train" / self.recipe.bundle)

    @cached_property
    def parts(self) -> Fold:
        """The children of each part; both eyes of one are always together."""
        return folds([row.group for row in self.rows], self.recipe.folds, self.recipe.seed)[self.fold]

    def of(self, children: tuple[str, ...]) -> list[bundles.Row]:
        """The photographs of these children."""
        return [row for row in self.rows if row.group in children]

    def tensor(self, image: U8) -> NDArray[np.float32]:
        """A photograph (rows, columns, 3) as the engine gives it to the net: (1, 3, rows, columns)."""
        real = image.astype(np.float32)
        return normaliser(self.recipe.intensity, real)(real).transpose(2, 0, 1)[None]

    @cached_property
    def _train(self) -> list[tuple[U8, U8]]:
        return [(bundles.image(row), bundles.mask(row)) for row in self.of(self.parts.train)]

    @cached_property
    def _watched(self) -> list[tuple[NDArray[np.float32], U8]]:
        return [(self.tensor(bundles.image(row)), bundles.mask(row)) for row in self.of(self.parts.validation)]

    def network(self) -> nn.Module:
        """The net that the recipe names, on the green channel."""
        words = dict(self.recipe.network)
        return Fundus(networks.build(words.pop("name"), channels=1, **words))

    def batches(self, epoch: int) -> Iterator[Batch]:
        """As many patches as the recipe says, every photograph alike, and their vessels."""
        recipe, data = self.recipe, self.recipe.data
        order = np.resize(
            np.random.default_rng([recipe.seed, epoch]).permutation(len(self._train)), int(data["patches"])
        )
        cv2.setNumThreads(0)

        def batch(start: int) -> Batch:
            made = []
            for at in range(start, start + recipe.batch):
                (image, mask), rng = self._train[order[at]], np.random.default_rng([recipe.seed, epoch, at])
                made.append(patch(image, mask, int(data["crop"]), rng))
            images, masks = zip(*made, strict=True)
            return (
                torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy()),
                torch.from_numpy(np.stack(masks)[:, None]),
            )

        with ThreadPoolExecutor(1) as pool:
            for future in [pool.submit(batch, at) for at in range(0, len(order) - recipe.batch + 1, recipe.batch)]:
                yield future.result()

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """The terms that the recipe names."""
        weights: dict[str, Any] = dict(self.recipe.data["loss"])
        return combined(output, batch[1], weights)

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Mean F1 per photograph over all its pixels, a pixel counting from 0.5."""
        found = [probabilities(net, tensor)[0] >= 0.5 for tensor, _ in self._watched]
        scores = [dice(one, mask) for one, (_, mask) in zip(found, self._watched, strict=True)]
        return {"score": float(np.mean(scores))}

    def threshold(self, net: nn.Module) -> float:
        """The one with the best mean F1 on the validation photographs."""
        chances = [probabilities(net, tensor)[0] for tensor, _ in self._watched]
        return best_threshold(chances, [mask for _, mask in self._watched])

    def measured(self, net: nn.Module) -> list[vessels.Measured]:
        """The photographs held out from this fold, at the threshold of this fold."""
        threshold, held = self.threshold(net), []
        for row in self.of(self.parts.test):
            image, mask = bundles.image(row), bundles.mask(row)
            chance = probabilities(net, self.tensor(image))[0]
            held.append(vessels.measured(row.id, row.group, chance, mask, field_of_view(image), threshold))
        return held

    def export(self, weights: Path, folder: Path) -> None:
        """Ship the weights of this fold; the figures come from all folds whose weights lie beside it, RUN-FOLD."""
        net = load(self.network(), weights)
        manifest: dict[str, Any] = deepcopy(dict(self.recipe.manifest))
        (output,) = manifest["outputs"]
        output["threshold"] = self.threshold(net)
        held = {self.fold: self.measured(net)}
        for fold in set(range(self.recipe.folds)) - {self.fold}:
            other = weights.parent.with_name(f"{self.recipe.name}-{fold}") / weights.name
            if other.exists():
                held[fold] = Task(self.recipe, self.data, fold).measured(load(self.network(), other))
        photographs = [one for fold in sorted(held) for one in held[fold]]
        five = vessels.summary(photographs, len(held))
        names = [name for name, _ in net.named_buffers() if name.endswith(("running_mean", "running_var"))]
        manifest["results"] = {
            "headline": f"F1 {five['f1']:.3f} ({five['f1_low']:.3f}–{five['f1_high']:.3f}), AUC {five['auc']:.3f}, "
            f"{five['photographs']} photographs, each by the fold that held it out",
            "parameters": sum(p.numel() for p in net.parameters()),
            "statistics": sum(net.get_buffer(name).numel() for name in names),
            "five_folds": five,
        }
        rows, columns = manifest["prepare"]["size"]
        tensor = self.tensor(drawn((rows, columns), np.random.default_rng(self.recipe.seed)))
        write_model(folder, manifest, Probability(net), tensor, [manifest["output"]])
        vessels.table(photographs).write(folder / FOLDS)

    def report(self, folder: Path) -> None:
        """The photographs held out from this fold, through the engine, and the second observer on all of them."""
        table = tomlkit.parse((folder / "model.toml").read_text("utf-8")).unwrap()
        detector = OnnxDetector(read(folder), Chain((REFERENCE,)))
        inside = []
        for row in self.of(self.parts.test):
            mask = bundles.mask(row)
            found = np.zeros((1, *mask.shape), np.bool_)
            for proposal in detector(photograph(bundles.image(row)), lambda fraction: None):
                found |= proposal.mask.voxels
            inside.append(Counts.of(found[0], mask))
        second = [Counts.of(bundles.mask(row, 1), bundles.mask(row)) for row in self.rows]
        table["results"]["held_out"] = {"photographs": len(inside), **vessels.means(inside)}
        table["results"]["second_observer"] = vessels.means(second)
        write_manifest(folder, table)
        card.write(folder, vessels.card(self.recipe, table, vessels.rows(Table.read(folder / FOLDS))))


def photograph(image: U8) -> Volume:
    """A photograph (rows, columns, 3) that comes from no DICOM file, as the engine reads it; 1 pixel counts as 1 mm."""
    volume = volume_of(image[None, ..., 0], spaced((1.0, 1.0, 1.0)), "OP", "")
    return replace(volume, voxels=image[None])
