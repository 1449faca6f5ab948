"""Pneumonia on a child's chest X-ray: one probability an image, and the map that explains it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import tomlkit
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor, nn
from torch.nn import functional

from models.training import card, cxr_report, networks
from models.training.bundles import Row, image, rows
from models.training.classification import roc_auc, temperature, threshold_for
from models.training.classifier_net import Classifier, Explained
from models.training.export import load, write_manifest, write_model
from models.training.folds import folds
from models.training.measures import Counts
from models.training.radiograph import normalised, phantom, varied
from models.training.recipe import Recipe
from models.training.report import FIGURES, learning_curves
from models.training.task import Batch
from models.training.train import Places
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import read

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

PUBLIC = "public-test"
# How the validation images are shown once more, so that weights are chosen which hold on other exposures.
SHOWN_AGAIN = 2
# Batches that are made before they are asked for.
AHEAD = 4


@dataclass(frozen=True, eq=False)
class Images:
    """Images (n, rows, columns) of a part, whether they show pneumonia (n,), and what the index says of each."""

    pixels: U8
    positive: NDArray[np.bool_]
    rows: tuple[Row, ...]

    def part(self, chosen: NDArray[np.bool_]) -> Images:
        """Those that are ``chosen`` (n,)."""
        kept = tuple(row for row, keep in zip(self.rows, chosen, strict=True) if keep)
        return Images(self.pixels[chosen], self.positive[chosen], kept)

    @property
    def counts(self) -> dict[str, int]:
        """How many there are: normal, with pneumonia, and patients."""
        return {
            "normal": int((~self.positive).sum()),
            "pneumonia": int(self.positive.sum()),
            "patients": len({row.group for row in self.rows}),
        }


def gathered(bundle: Path, size: tuple[int, int]) -> Images:
    """Decode a whole bundle, each content once: that of the public test first, so that none of it is left to train on.

    Images of another size than (rows, columns) are stretched to it. UserError where the bundle cannot be read.
    """
    known: set[bytes] = set()
    pixels, kept = [], []
    for row in sorted(rows(bundle), key=lambda row: row.split != PUBLIC):
        picture = image(row)
        digest = hashlib.sha256(picture.tobytes()).digest()
        if digest in known:
            continue
        known.add(digest)
        if picture.shape != size:
            picture = np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        pixels.append(picture)
        kept.append(row)
    return Images(np.stack(pixels), np.array([row.label == "pneumonia" for row in kept]), tuple(kept))


def answered(read: Callable[[Tensor], Tensor], pictures: Sequence[F32], device: torch.device) -> NDArray[np.float64]:
    """What ``read`` says, (n, 1), of normalised images, each (rows, columns); (n,)."""
    given = []
    with torch.inference_mode():
        for start in range(0, len(pictures), 64):
            tensor = torch.from_numpy(np.stack(pictures[start : start + 64])[:, None]).to(device)
            output = read(tensor.contiguous(memory_format=torch.channels_last))
            given.append(output.float().cpu().numpy()[:, 0])
    return np.concatenate(given).astype(np.float64)


class Task:
    """See `models.training.task.Task`. Fold f validates on the f-th part of the patients and trains on all others."""

    def __init__(self, recipe: Recipe, data: Path, fold: int) -> None:
        self.recipe, self.data, self.fold = recipe, data, fold

    @cached_property
    def _images(self) -> Images:
        rows, columns = self.recipe.manifest["prepare"]["size"]
        return gathered(self.data / "train" / self.recipe.bundle, (rows, columns))

    @cached_property
    def parts(self) -> tuple[Images, Images, Images]:
        """To train on, to choose weights, temperature and threshold by, and the public test, which chooses nothing."""
        everything = self._images
        public = np.array([row.split == PUBLIC for row in everything.rows])
        ours = [row for row in everything.rows if row.split != PUBLIC]
        parted = folds([r.group for r in ours], self.recipe.folds, self.recipe.seed, [r.label for r in ours])
        held = set(parted[self.fold].test)
        validation = np.array([row.group in held for row in everything.rows]) & ~public
        return (
            everything.part(~public & ~validation),
            everything.part(validation),
            everything.part(public),
        )

    def network(self) -> nn.Module:
        """The net that the recipe names; the residual one, which explains itself, where it names none."""
        words = dict(self.recipe.network)
        return networks.build(words.pop("name", "classifier"), **words)

    def _chosen(self, epoch: int) -> NDArray[np.intp]:
        """Numbers of the images of an epoch, half of each class, none twice before all were seen, whole batches."""
        recipe, train = self.recipe, self.parts[0]
        half = int(recipe.data["images"]) // 2
        rng = np.random.default_rng([recipe.seed, epoch])
        picked = []
        for value in (False, True):
            own = np.flatnonzero(train.positive == value)
            rounds = [rng.permutation(own) for _ in range(-(-half // len(own)))]
            picked.append(np.concatenate(rounds)[:half])
        order = rng.permutation(np.concatenate(picked))
        return order[: len(order) // recipe.batch * recipe.batch]

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Changed images (n, 1, size, size) of the phase's size, and 1 for pneumonia or 0 (n, 1)."""
        cv2.setNumThreads(0)
        recipe, train = self.recipe, self.parts[0]
        settings = recipe.phase(epoch)[0].settings
        strength, size = float(settings["strength"]), int(settings["size"])
        chosen = self._chosen(epoch)

        def several(start: int) -> Batch:
            pictures, targets = [], []
            for at in range(start, start + recipe.batch):
                rng = np.random.default_rng([recipe.seed, epoch, at])
                pictures.append(varied(train.pixels[chosen[at]], recipe.intensity, rng, strength, size))
                targets.append(train.positive[chosen[at]])
            return torch.from_numpy(np.stack(pictures)[:, None]), torch.tensor(targets)[:, None].float()

        starts = iter(range(0, len(chosen), recipe.batch))
        with ThreadPoolExecutor(1) as pool:
            coming = deque(pool.submit(several, start) for start in islice(starts, AHEAD))
            while coming:
                yield coming.popleft().result()
                coming.extend(pool.submit(several, start) for start in islice(starts, 1))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Binary cross entropy with smoothed labels (Szegedy et al., CVPR 2016)."""
        soft = float(self.recipe.data["smoothing"])
        return functional.binary_cross_entropy_with_logits(output, batch[1] * (1 - soft) + soft / 2)

    def _shown(self, part: Images) -> list[list[F32]]:
        """The images as they are, and again with other exposures, devices and positions; always the same."""
        rule, seed = self.recipe.intensity, self.recipe.seed
        changed = [
            [varied(p, rule, np.random.default_rng([seed, again, at])) for at, p in enumerate(part.pixels)]
            for again in range(SHOWN_AGAIN)
        ]
        return [[normalised(p, rule) for p in part.pixels], *changed]

    def validate(self, net: nn.Module) -> dict[str, float]:
        """AUC on the images as they are, on changed ones, and the mean of both as `score`."""
        part, device = self.parts[1], next(net.parameters()).device
        net.eval()
        plain, *changed = (roc_auc(answered(net, shown, device), part.positive) for shown in self._shown(part))
        mean = float(np.mean(changed))
        return {"score": (plain + mean) / 2, "auc": plain, "auc_changed": mean}

    def export(self, weights: Path, folder: Path) -> None:
        """Temperature and threshold come from the validation patients.

        The temperature is the one for their images as they are and changed together, so that the model is not too sure
        on other exposures; the threshold is that of the sensitivity asked for, on their images as they are.
        """
        explained = Explained(cast("Classifier", load(self.network(), weights)))
        part = self.parts[1]
        logits = [answered(lambda x: explained.read(x)[0], shown, torch.device("cpu")) for shown in self._shown(part)]
        pooled, truth = np.concatenate(logits), np.tile(part.positive, len(logits))
        explained.temperature = temperature(np.stack([np.zeros_like(pooled), pooled], axis=1), truth)
        chances = special.expit(logits[0] / explained.temperature)
        manifest = deepcopy(dict(self.recipe.manifest))
        (output,) = manifest["outputs"]
        output["threshold"] = round(threshold_for(chances, part.positive, float(self.recipe.data["sensitivity"])), 4)
        counts = Counts.of(chances >= output["threshold"], part.positive)
        manifest["results"] = {
            "temperature": round(explained.temperature, 4),
            "parameters": sum(p.numel() for p in explained.parameters()),
            "validation": {
                "images": len(part.rows),
                "auc": round(roc_auc(logits[0], part.positive), 4),
                "auc_changed": round(roc_auc(np.concatenate(logits[1:]), truth[len(part.rows) :]), 4),
                "sensitivity": round(counts.sensitivity, 4),
                "specificity": round(counts.specificity, 4),
            },
        }
        rows, columns = manifest["prepare"]["size"]
        tensor = phantom(rows, columns)
        write_model(folder, manifest, explained, tensor, [manifest["output"], manifest["activation_output"]])
        if (log := Places(weights.parent).log).exists():
            learning_curves(log, folder / FIGURES / "learning.png")

    def report(self, folder: Path) -> None:
        """The public test, as it is and as other places might give it, and a grown-up's radiograph from elsewhere."""
        table = tomlkit.parse((folder / "model.toml").read_text("utf-8")).unwrap()
        detector = OnnxDetector(read(folder), Chain((REFERENCE,)))
        train, validation, public = self.parts
        measured = cxr_report.measured(detector, public.pixels, public.rows, table["results"]["temperature"], folder)
        adult = cxr_report.elsewhere(detector, self.data / "dicom" / "chest-xray")
        table["results"] |= cxr_report.results(measured)
        write_manifest(folder, table)
        sizes = {"train": train.counts, "validation": validation.counts, "test": public.counts}
        card.write(folder, cxr_report.card(self.recipe, table, sizes, measured, adult))
