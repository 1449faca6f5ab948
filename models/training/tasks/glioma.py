"""The FLAIR abnormality of a glioma, a slice at a time with its neighbours beside it (2.5-D)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.training import card, lgg, networks, overlap
from models.training.augment import augmented
from models.training.evaluate import elsewhere, scored, spaced, summary, volume_of
from models.training.export import Probability, demo_tensor, load, write_manifest, write_model
from models.training.folds import Fold, folds
from models.training.measures import best_threshold, dice
from models.training.recipe import Recipe
from models.training.report import FIGURES, Table, bland_altman
from models.training.score import probabilities
from models.training.task import Batch, HeldOut
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import read

# The bundle gives no spacing; 240 mm over 256 pixels is the usual field of view of the collection.
ASSUMED_MM = (5.0, 0.9, 0.9)


def with_neighbours(slices: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Slices (n, rows, columns) of one volume with `reach` neighbours on either side: (n, 2 reach + 1, rows, columns).

    The first and the last are repeated, as the engine does it.
    """
    padded = np.pad(slices, ((reach, reach), (0, 0), (0, 0)), mode="edge")
    return np.stack([padded[at : at + len(slices)] for at in range(2 * reach + 1)], axis=1)


def _channels_first(images: Sequence[NDArray[np.float32]], size: int) -> NDArray[np.float32]:
    # OpenCV drops an axis of length one
    return np.ascontiguousarray(np.stack(images).reshape(len(images), size, size, -1).transpose(0, 3, 1, 2))


def second_look(net: nn.Module, slices: NDArray[np.float32], refine: Mapping[str, Any]) -> NDArray[np.float32]:
    """The chance of tumour (n, rows, columns) in the slices of one volume, read again as the engine does it.

    See `overread.infer.refine`; here all slices are read so, there those that show something and those beside them.
    """
    chance = probabilities(net, slices)
    if refine.get("mirror"):
        chance = (chance + probabilities(net, np.ascontiguousarray(slices[..., ::-1]))[..., ::-1]) / np.float32(2)
    share = np.float32(refine.get("across", 0.0))
    beside = np.pad(chance, ((1, 1), (0, 0), (0, 0)), mode="edge")
    return (1 - 2 * share) * chance + share * (beside[:-2] + beside[2:])


class Sampler:
    """Which slices an epoch sees: those with tumour and some without, people with few as often as people with many."""

    def __init__(self, recipe: Recipe, masks: Sequence[NDArray[np.uint8]]) -> None:
        self._recipe = recipe
        places = [[(p, k) for k in range(len(m))] for p, m in enumerate(masks)]
        with_tumour = [[(p, k) for p, k in own if masks[p][k].any()] for own in places]
        self._tumour = [place for own in with_tumour for place in own]
        self._free = [place for own in places for place in own if not masks[place[0]][place[1]].any()]
        # between every slice alike (0) and every person alike (1)
        weights = np.concatenate(
            [np.full(len(own), len(own) ** -float(recipe.data["level"])) for own in with_tumour if own]
        )
        self._weights = weights / weights.sum()

    def chosen(self, rng: np.random.Generator) -> list[tuple[int, int]]:
        """(patient, slice) in the order of the epoch, whole batches only."""
        recipe, count = self._recipe, len(self._tumour)
        picked = [self._tumour[at] for at in rng.choice(count, count, p=self._weights)]
        some = rng.permutation(len(self._free))[: round(float(recipe.data["tumour_free"]) * count)]
        places = picked + [self._free[at] for at in some]
        order = rng.permutation(len(places))
        return [places[at] for at in order[: len(order) // recipe.batch * recipe.batch]]


class Task:
    """See `models.training.task.Task`."""

    def __init__(self, recipe: Recipe, data: Path, fold: int) -> None:
        self.recipe, self.data, self.fold = recipe, data, fold

    @property
    def _reach(self) -> int:
        return int(self.recipe.manifest["prepare"].get("neighbours", 0))

    @cached_property
    def _patients(self) -> dict[str, lgg.Patient]:
        return {patient.name: patient for patient in lgg.read(self.data / "train" / self.recipe.bundle)}

    @cached_property
    def _parts(self) -> Fold:
        return folds(tuple(self._patients), self.recipe.folds, self.recipe.seed)[self.fold]

    @cached_property
    def _train(self) -> list[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        people = [self._patients[name] for name in self._parts.train]
        return [(p.normalised(self.recipe.intensity), p.masks) for p in people]

    @cached_property
    def _sampler(self) -> Sampler:
        return Sampler(self.recipe, [masks for _, masks in self._train])

    def network(self) -> nn.Module:
        """The net that the recipe names, a CMUNeXt where it names none, with one input channel a slice."""
        words = dict(self.recipe.network)
        return networks.build(words.pop("name", "cmunext"), channels=2 * self._reach + 1, **words)

    def shipped(self) -> nn.Module:
        """See `Explained`."""
        return Probability(self.network())

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Augmented slices with their neighbours, and the mask of the middle one, both `crop` × `crop`."""
        recipe, size = self.recipe, int(self.recipe.data["crop"])
        settings = recipe.phase(epoch)[0].settings
        places = self._sampler.chosen(np.random.default_rng([recipe.seed, epoch]))

        def one(at: int) -> tuple[Any, Any]:
            p, k = places[at]
            own = np.random.default_rng([recipe.seed, epoch, at])
            images, masks = self._train[p]
            near = np.clip(np.arange(k - self._reach, k + self._reach + 1), 0, len(images) - 1)
            stack = np.ascontiguousarray(images[near].transpose(1, 2, 0))
            return augmented(
                stack, masks[k], size, recipe.intensity, own, settings["strength"], settings["renormalise"]
            )

        with ThreadPoolExecutor(1) as pool:
            starts = range(0, len(places), recipe.batch)
            coming = [pool.submit(lambda a: [one(at) for at in range(a, a + recipe.batch)], start) for start in starts]
            for future in coming:
                images, targets = zip(*future.result(), strict=True)
                yield (
                    torch.from_numpy(_channels_first(images, size)),
                    torch.from_numpy(np.stack(targets)[:, None]),
                )

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Cross entropy and overlap."""
        return overlap.entropy_and_dice(output, batch[1])

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Mean per-patient Dice."""
        chances, masks = self._answers(net, self._parts.validation)
        scores = [dice(chance >= 0.5, mask) for chance, mask in zip(chances, masks, strict=True)]
        return {"score": float(np.mean(scores))}

    def _answers(
        self, net: nn.Module, names: Sequence[str]
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.uint8]]]:
        """The chance of tumour in the slices of each of these patients, and the masks; both (slices, rows, columns)."""
        people = [self._patients[name] for name in names]
        chances = [
            probabilities(net, with_neighbours(p.normalised(self.recipe.intensity), self._reach)) for p in people
        ]
        return chances, [p.masks for p in people]

    def held_out(self, net: nn.Module) -> HeldOut:
        """Per-patient Dice, at the threshold that is best on the validation patients."""
        threshold = best_threshold(*self._answers(net, self._parts.validation))
        scores = [
            dice(chance >= threshold, mask) for chance, mask in zip(*self._answers(net, self._parts.test), strict=True)
        ]
        return HeldOut("patients", self._parts.test, np.array(scores), threshold)

    def export(self, weights: Path, folder: Path) -> None:
        """The threshold is the one with the best Dice on the validation patients."""
        net = load(self.network(), weights)
        manifest = deepcopy(dict(self.recipe.manifest))
        (output,) = manifest["outputs"]
        output["threshold"] = best_threshold(*self._answers(net, self._parts.validation))
        write_model(folder, manifest, Probability(net), demo_tensor(manifest, "FLAIR"), [manifest["output"]])

    def report(self, folder: Path) -> None:
        """The held-out patients of the bundle, and two volumes from elsewhere."""
        table = tomlkit.parse((folder / "model.toml").read_text("utf-8")).unwrap()
        detector = OnnxDetector(read(folder), Chain((REFERENCE,)))
        affine = spaced(ASSUMED_MM)
        inside = [
            scored(name, detector, volume_of(patient.images, affine), patient.masks > 0)
            for name, patient in ((name, self._patients[name]) for name in self._parts.test)
        ]
        outside = elsewhere(self.data, detector)
        measured: dict[str, Any] = {
            "held_out": summary(inside),
            "elsewhere": [asdict(score) for score in outside],
            "table": [asdict(score) for score in inside],
        }
        parameters = sum(p.numel() for p in self.network().parameters())
        held = measured["held_out"]
        table["results"] = {
            "headline": f"Dice {held['dice_mean']:.3f} ({held['dice_low']:.3f}–{held['dice_high']:.3f}), "
            f"{held['patients']} held-out patients",
            "parameters": parameters,
            "held_out": held,
            "consensus_dice": {score.name: round(score.dice, 3) for score in outside},
        }
        write_manifest(folder, table)
        Table.of(measured["table"]).write(folder / "held_out.csv")
        found, truth = [score.found_ml for score in inside], [score.truth_ml for score in inside]
        bland_altman(found, truth, folder / FIGURES / "volumes.png")
        counts = {name: len(getattr(self._parts, name)) for name in ("train", "validation", "test")}
        card.write(folder, card.card(self.recipe, table, counts, measured))
