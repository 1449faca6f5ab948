"""Whether a nodule lies in the middle of a crop: the graph of lung-nodule that looks at each of its boxes again.

The false-positive reduction of LUNA16 (Setio et al., Medical Image Analysis 2017), on single slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.training import lung_folder, lung_report, networks, places
from models.training.classification import roc_auc
from models.training.export import load
from models.training.folds import Fold
from models.training.lung_evaluate import picture
from models.training.nodules import F32, Crops, Patches, read_crops, read_patches
from models.training.places import Place
from models.training.recipe import Recipe
from models.training.task import Batch

# A disc and a vessel of the made-up slice that self-tests are made of.
PROBES = ((243, 190), (286, 330))


class Task:
    """See `models.training.task.Task`."""

    def __init__(self, recipe: Recipe, data: Path, fold: int) -> None:
        self.recipe, self.data, self.fold = recipe, data, fold

    @property
    def _size(self) -> int:
        return int(self.recipe.manifest["verify"]["size"][0])

    @cached_property
    def _crops(self) -> Crops:
        return read_crops(self.data / "train" / self.recipe.bundle)

    @cached_property
    def _patches(self) -> dict[str, Patches]:
        # the detector's own parts: the same seed
        return read_patches(self.data / "train" / str(self.recipe.data["patches"])).parts(self.recipe.seed)

    @cached_property
    def _parts(self) -> Fold:
        return self._crops.parts(self.recipe.folds, self.recipe.seed, self.fold)

    @cached_property
    def _train(self) -> dict[str, list[Place]]:
        """Nodules and other places of the patches and of the crops, and places outside of the lung."""
        held = {*self._parts.validation, *self._parts.test}
        crops = self._crops.of([name for name in set(self._crops.patients) if name not in held])
        patches, own = places.of_patches(self._patches["train"]), places.of_crops(crops)
        nodules, own_nodules = ([place for place in some if place.nodule] for some in (patches, own))
        return {
            "nodules": nodules,
            "own nodules": own_nodules,
            "others": [place for place in patches if not place.nodule],
            "own others": [place for place in own if not place.nodule],
            "elsewhere": places.elsewhere(nodules + own_nodules, crops, self.recipe.seed),
        }

    def network(self) -> nn.Module:
        """The residual classifier."""
        words = dict(self.recipe.network)
        return networks.build(words.pop("name"), **words)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Crops (n, 1, size, size) around nodules and other places, and which are which (n, 1)."""
        recipe, settings = self.recipe, self.recipe.phase(epoch)[0].settings
        strength = float(settings["strength"])
        rng = np.random.default_rng([recipe.seed, epoch])
        chosen = self._train["nodules"] * int(recipe.data["repeat_nodules"])
        chosen += self._train["own nodules"] + self._train["others"]
        for some, few in (("own others", int(recipe.data["places"])), ("elsewhere", int(settings["elsewhere"]))):
            drawn = rng.permutation(len(self._train[some]))[:few]
            chosen += [self._train[some][at] for at in drawn]
        order = rng.permutation(len(chosen))

        def one(number: int) -> F32:
            own = np.random.default_rng([recipe.seed, epoch, number])
            return places.changed(chosen[number], self._size, own, strength)

        with ThreadPoolExecutor(1) as pool:
            starts = range(0, len(order) - recipe.batch + 1, recipe.batch)
            coming = [pool.submit(lambda a: [one(int(n)) for n in order[a : a + recipe.batch]], at) for at in starts]
            for start, future in zip(starts, coming, strict=True):
                truth = np.array([[chosen[int(number)].nodule] for number in order[start : start + recipe.batch]])
                yield torch.from_numpy(np.stack(future.result())[:, None]), torch.from_numpy(truth.astype(np.float32))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Cross entropy with slightly softened labels: some of both kinds are disputed."""
        soft = float(self.recipe.data["soft"])
        return functional.binary_cross_entropy_with_logits(output, batch[1] * (1 - 2 * soft) + soft)

    def validate(self, net: nn.Module) -> dict[str, float]:
        """AUC of the patches, of the crops' nodules against other bright places and places elsewhere; their mean."""
        crops = self._crops.of(self._parts.validation)
        own = places.of_crops(crops)
        nodules = [place for place in own if place.nodule]
        parts = {
            "patches": places.of_patches(self._patches["validation"]),
            "crops": own,
            "elsewhere": nodules + places.elsewhere(nodules, crops, self.recipe.seed),
        }
        areas = {
            name: roc_auc(chances(net, some, self._size), [place.nodule for place in some])
            for name, some in parts.items()
        }
        return {"score": sum(areas.values()) / len(areas), **areas}

    def export(self, weights: Path, folder: Path) -> None:
        """Add the second look to the folder of the detector, which has to be there, and choose the threshold anew."""
        net = load(self.network(), weights)
        half = self._size // 2
        crops = np.concatenate([picture()[:, :, r - half : r + half, c - half : c + half] for r, c in PROBES])
        table = dict(self.recipe.manifest["verify"])
        lung_folder.add(folder, [lung_folder.made(folder, "verify", table, Chance(net), crops)])
        validation = self._crops.of(self._parts.validation)
        lung_folder.settle(folder, validation.picked([int(at) for at in validation.agreed]))

    def report(self, folder: Path) -> None:
        """All graphs together."""
        lung_report.write(folder, self.data, self.fold)


class Chance(nn.Module):
    """The net as it is shipped: input (n, 1, size, size), output (n, 1), the chance of a nodule in the middle.

    The engine shows it a crop upside down as well, where that may matter: a nodule looks the same either way.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> Tensor:
        """The logit as a chance."""
        return torch.sigmoid(self.net(crops))


def chances(net: nn.Module, some: list[Place], size: int, batch: int = 128) -> NDArray[np.float64]:
    """How likely a net holds each place for a nodule's middle, (n,)."""
    net.eval()
    device = next(net.parameters()).device
    parts = []
    with torch.inference_mode():
        for at in range(0, len(some), batch):
            crops = np.stack([places.seen(place, size) for place in some[at : at + batch]])[:, None]
            parts.append(torch.sigmoid(net(torch.from_numpy(crops).to(device)).float())[:, 0].cpu().numpy())
    return np.concatenate(parts).astype(np.float64)
