"""A tumour on contrast-enhanced T1, outlined and named: glioma, meningioma or pituitary tumour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import tomlkit
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.training import bundles, networks, overlap
from models.training.augment import augmented, without_tumour
from models.training.cmunext import CMUNeXt
from models.training.evaluate import spaced, volume_of
from models.training.export import Probability, demo_tensor, load, write_manifest, write_model
from models.training.folds import Fold, folds
from models.training.measures import best_threshold, dice, interval_by_patient
from models.training.recipe import Recipe
from models.training.report import Table, sections
from models.training.task import Batch, HeldOut
from models.training.tasks.tumour_card import CARD
from overread.imaging.intensity import normaliser
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import read

# The bundle says nothing of it; 5 mm and more is usual.
ASSUMED_THICKNESS_MM = 5.0


@dataclass(frozen=True)
class Slice:
    """How one held-out slice was read: its overlap with the truth, and the class named; "" where nothing was found."""

    id: str
    block: str
    truth: str
    named: str
    dice: float
    area: int


class Classified(nn.Module):
    """CMUNeXt with a second head: what kind of tumour it is that it draws.

    Input (n, 1, rows, columns); output the mask's logits, same shape, and the classes' logits (n, classes). The second
    head sees the mean of the deepest features over the slice and over the drawn tumour.
    """

    def __init__(self, net: CMUNeXt, width: int, classes: int) -> None:
        super().__init__()
        self.net = net
        self.name = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * width, classes))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """ValueError where the sides do not divide."""
        levels = self.net.encode(image)
        logits = self.net.head(self.net.decode(levels))
        deep = levels[-1]
        # the mask only points: the classes do not teach it
        chance = functional.avg_pool2d(torch.sigmoid(logits.detach()), self.net.multiple) + 1e-4
        inside = (deep * chance).sum(dim=(2, 3)) / chance.sum(dim=(2, 3))
        return logits, cast("Tensor", self.name(torch.cat([deep.mean(dim=(2, 3)), inside], dim=1)))


class Named(nn.Module):
    """What is shipped: the chance of each pixel and of each class."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 1, rows, columns) and (n, classes), both 0 … 1."""
        logits, names = self.net(image)
        return torch.sigmoid(logits), torch.softmax(names, dim=1)


class Task:
    """See `models.training.task.Task`."""

    def __init__(self, recipe: Recipe, data: Path, fold: int) -> None:
        self.recipe, self.data, self.fold = recipe, data, fold
        self.classes = tuple(str(entry["label"]) for entry in recipe.manifest["classes"])
        self._keys = tuple(recipe.data["labels"])

    @cached_property
    def rows(self) -> tuple[bundles.Row, ...]:
        """The bundle's slices."""
        return bundles.rows(self.data / "train" / self.recipe.bundle)

    @cached_property
    def parts(self) -> Fold:
        """Blocks of neighbouring slices to train on, to choose by, and to be measured on."""
        groups, labels = [row.group for row in self.rows], [row.label for row in self.rows]
        return folds(groups, self.recipe.folds, self.recipe.seed, labels)[self.fold]

    def part(self, groups: tuple[str, ...]) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8], int]]:
        """Images, masks and classes of some blocks."""
        wanted = set(groups)
        return [
            (bundles.image(row), bundles.mask(row), self._keys.index(row.label))
            for row in self.rows
            if row.group in wanted
        ]

    def normalised(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Grey values as the engine gives them; each slice of the bundle is scaled by itself."""
        return normaliser(self.recipe.intensity, image)(image.astype(np.float32))

    @cached_property
    def _train(self) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8], int]]:
        return self.part(self.parts.train)

    @cached_property
    def _watched(self) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8], int]]:
        return self.part(self.parts.validation)

    def network(self) -> nn.Module:
        """CMUNeXt with the second head; the net that the recipe names as it is, where the classes have no weight.

        ValueError where the second head has no encoder to stand on.
        """
        words = dict(self.recipe.network)
        net = networks.build(words.pop("name", "cmunext"), **words)
        if not self._weight:
            return net
        if not isinstance(net, CMUNeXt):
            raise ValueError("the second head stands on a CMUNeXt; a class_weight of 0 trains the mask alone")
        return Classified(net, net.dims[-1], len(self.classes))

    def shipped(self) -> nn.Module:
        """See `Explained`."""
        return Named(self.network())

    @property
    def _weight(self) -> float:
        return float(self.recipe.data["class_weight"])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Augmented slices, masks, and classes; -1 where the tumour was taken out of the slice."""
        recipe, size = self.recipe, int(self.recipe.data["crop"])
        settings = recipe.phase(epoch)[0].settings
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(self._train))

        def one(at: int) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
            own = np.random.default_rng([recipe.seed, epoch, at])
            image, mask, name = self._train[at]
            if own.random() < float(recipe.data["healthy"]):
                empty = without_tumour(image, mask)
                if empty is not None:
                    image, mask, name = empty, np.zeros_like(mask), -1
            moved, area = augmented(
                self.normalised(image), mask, size, recipe.intensity, own, float(settings["strength"]), strip=0.0
            )
            return moved, area, name

        def some(group: NDArray[np.int64]) -> list[Any]:
            return [one(int(at)) for at in group]

        with ThreadPoolExecutor(1) as pool:
            whole = len(order) // recipe.batch * recipe.batch
            for future in [pool.submit(some, group) for group in order[:whole].reshape(-1, recipe.batch)]:
                images, areas, names = zip(*future.result(), strict=True)
                yield (
                    torch.from_numpy(np.stack(images)[:, None]),
                    torch.from_numpy(np.stack(areas)[:, None]),
                    torch.tensor(names),
                )

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Overlap and cross entropy of the mask, and cross entropy of the class where there is a tumour."""
        _, target, truth = batch
        if not self._weight:
            return overlap.entropy_and_dice(output, target)
        logits, names = output
        if not bool((truth >= 0).any()):
            return overlap.entropy_and_dice(logits, target)
        return overlap.entropy_and_dice(logits, target) + self._weight * functional.cross_entropy(
            names, truth, ignore_index=-1, label_smoothing=0.05
        )

    def asked(
        self, net: nn.Module, slices: list[NDArray[np.uint8]], batch: int = 8
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The chance of each pixel and of each class, slice by slice; of no class where the mask is all there is."""
        asked = Named(net).eval() if self._weight else Probability(net).eval()
        device = next(net.parameters()).device
        for start in range(0, len(slices), batch):
            images = np.stack([self.normalised(image) for image in slices[start : start + batch]])[:, None]
            with torch.inference_mode():
                given = asked(torch.from_numpy(images).to(device))
            chances, names = given if self._weight else (given, given.new_empty(len(given), 0))
            yield from zip(chances[:, 0].float().cpu().numpy(), names.float().cpu().numpy(), strict=True)

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Mean Dice of the slices and the share of rightly named ones; the score is their mean, or the Dice alone."""
        answers = self.asked(net, [image for image, _, _ in self._watched])
        overlaps, right = [], []
        for (chance, names), (_, mask, truth) in zip(answers, self._watched, strict=True):
            overlaps.append(dice(chance >= 0.5, mask))
            right += [int(names.argmax()) == truth] if self._weight else []
        overlap = float(np.mean(overlaps))
        if not self._weight:
            return {"dice": overlap, "score": overlap}
        accuracy = float(np.mean(right))
        return {"dice": overlap, "accuracy": accuracy, "score": (overlap + accuracy) / 2}

    def held_out(self, net: nn.Module) -> HeldOut:
        """Dice of each slice, at the threshold that is best on the validation slices; the names are not looked at."""
        threshold = self._threshold(net)
        images, masks, _ = zip(*self.part(self.parts.test), strict=True)
        chances = (chance for chance, _ in self.asked(net, list(images)))
        scores = [dice(chance >= threshold, mask) for chance, mask in zip(chances, masks, strict=True)]
        wanted = set(self.parts.test)
        groups = tuple(row.group for row in self.rows if row.group in wanted)
        return HeldOut("blocks", groups, np.array(scores), threshold)

    def _threshold(self, net: nn.Module) -> float:
        chances = [chance for chance, _ in self.asked(net, [image for image, _, _ in self._watched])]
        return best_threshold(chances, [mask for _, mask, _ in self._watched])

    def export(self, weights: Path, folder: Path) -> None:
        """The threshold is the one with the best mean Dice on the validation slices.

        ValueError for a net of the mask alone, which names nothing.
        """
        if not self._weight:
            raise ValueError("a net of the mask alone is there to be compared; class_weight above 0 makes the model")
        net = load(self.network(), weights)
        manifest = deepcopy(dict(self.recipe.manifest))
        (output,) = manifest["outputs"]
        output["threshold"] = self._threshold(net)
        outputs = [manifest["output"], manifest["class_output"]]
        write_model(folder, manifest, Named(net), demo_tensor(manifest, "T1C"), outputs)

    def report(self, folder: Path) -> None:
        """The held-out blocks, each slice as a series of its own."""
        table = tomlkit.parse((folder / "model.toml").read_text("utf-8")).unwrap()
        detector = OnnxDetector(read(folder), Chain((REFERENCE,)))
        wanted = set(self.parts.test)
        seen = [self._read(detector, row) for row in self.rows if row.group in wanted]
        blocks = [one.block for one in seen]
        overlaps = np.array([one.dice for one in seen])
        right = np.array([one.truth == one.named for one in seen], np.float64)
        low, high = interval_by_patient(lambda rows: float(overlaps[rows].mean()), blocks)
        least, most = interval_by_patient(lambda rows: float(right[rows].mean()), blocks)
        measured = {
            "slices": len(seen),
            "blocks": len(wanted),
            "dice": round(float(overlaps.mean()), 3),
            "dice_low": round(low, 3),
            "dice_high": round(high, 3),
            "dice_median": round(float(np.median(overlaps)), 3),
            "missed": int((overlaps == 0).sum()),
            "accuracy": round(float(right.mean()), 3),
            "accuracy_low": round(least, 3),
            "accuracy_high": round(most, 3),
        }
        parameters = sum(p.numel() for p in self.network().parameters())
        table["results"] = {
            "headline": f"Dice {measured['dice']:.3f} ({low:.3f}–{high:.3f}), right name {measured['accuracy']:.3f} "
            f"({least:.3f}–{most:.3f}), {len(seen)} slices of {len(wanted)} held-out blocks",
            "parameters": parameters,
            "held_out": measured,
        }
        write_manifest(folder, table)
        self._card(folder, table, seen)

    def _read(self, detector: OnnxDetector, row: bundles.Row) -> Slice:
        image, mask = bundles.image(row), bundles.mask(row) > 0
        affine = spaced((ASSUMED_THICKNESS_MM, *self.recipe.manifest["prepare"]["spacing_mm"]))
        proposals = detector(volume_of(image[None], affine, role="T1C"), lambda fraction: None)
        found = np.zeros(mask.shape, np.bool_)
        for proposal in proposals:
            found |= proposal.mask.voxels[0]
        largest = max(proposals, key=lambda proposal: proposal.mask.count, default=None)
        truth = self.classes[self._keys.index(row.label)]
        return Slice(row.id, row.group, truth, largest.label if largest else "", dice(found, mask), int(mask.sum()))

    def _card(self, folder: Path, table: dict[str, Any], seen: Sequence[Slice]) -> None:
        prepare, output = table["prepare"], table["outputs"][0]
        counts = {
            name: sum(row.group in getattr(self.parts, name) for row in self.rows)
            for name in ("train", "validation", "test")
        }
        text = CARD.format(
            **{key: table[key] for key in ("id", "name", "version", "summary", "use")},
            **table["results"]["held_out"],
            **counts,
            parameters=table["results"]["parameters"],
            spacing=prepare["spacing_mm"][0],
            size=prepare["size"][0],
            threshold=output["threshold"],
            least=output["min_volume_ml"],
            keep=output["keep"],
            bundle=self.recipe.bundle,
            data=table["licence"]["data"],
            weights=table["licence"]["weights"],
            remark=self.recipe.remark,
            seed=self.recipe.seed,
            fold=self.fold,
            healthy=float(self.recipe.data["healthy"]),
            by_class=self._by_class(seen).markdown(),
            confusion=self._confusion(seen).markdown(),
            failures=failures(seen),
        )
        (folder / "CARD.md").write_text(text + sections(folder), encoding="utf-8")

    def _by_class(self, seen: Sequence[Slice]) -> Table:
        rows = []
        for name in self.classes:
            own = [one for one in seen if one.truth == name]
            rows.append(
                {
                    "class": name,
                    "slices": len(own),
                    "Dice": float(np.mean([one.dice for one in own])) if own else float("nan"),
                    "rightly named": float(np.mean([one.named == name for one in own])) if own else float("nan"),
                }
            )
        return Table.of(rows)

    def _confusion(self, seen: Sequence[Slice]) -> Table:
        columns = (*self.classes, "")
        rows = [
            {"": name}
            | {
                column or "nothing found": sum(one.truth == name and one.named == column for one in seen)
                for column in columns
            }
            for name in self.classes
        ]
        return Table.of(rows)


def failures(seen: Sequence[Slice]) -> str:
    """What the held-out slices show: by size of the tumour in the slice, and the worst block."""
    by_size = sorted(seen, key=lambda one: one.area)
    third = max(1, len(by_size) // 3)
    lines = []
    for name, own in (("smallest", by_size[:third]), ("largest", by_size[-third:])):
        overlap = np.mean([one.dice for one in own])
        right = np.mean([one.truth == one.named for one in own])
        lines.append(
            f"- The {name} third of the outlines ({own[0].area} to {own[-1].area} pixels): mean Dice {overlap:.3f}, "
            f"rightly named {right:.3f}."
        )
    blocks = sorted({one.block for one in seen})
    worst = min(blocks, key=lambda block: float(np.mean([one.dice for one in seen if one.block == block])))
    own = [one for one in seen if one.block == worst]
    names = sorted({one.truth for one in own})
    overlap, right = np.mean([(one.dice, one.truth == one.named) for one in own], axis=0)
    lines.append(
        f"- The worst block ({worst}, {len(own)} slices, {', '.join(names).lower()}): mean Dice {overlap:.3f}, rightly "
        f"named {right:.3f}."
    )
    return "\n".join(lines)
