"""Losses of overlap, on logits and a mask of one shape; a recipe names the terms and how much each counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional


def entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross entropy, the mean over all pixels."""
    return functional.binary_cross_entropy_with_logits(logits, mask)


def dice(logits: Tensor, mask: Tensor) -> Tensor:
    """1 − 2Σpg / (Σp + Σg), sums over the batch; 1 is added above and below."""
    chance = torch.sigmoid(logits)
    return 1 - (2 * (chance * mask).sum() + 1) / (chance.sum() + mask.sum() + 1)


def squared_dice(logits: Tensor, mask: Tensor) -> Tensor:
    """1 − 2Σpg / (Σp² + Σg²), Dice as Milletari et al. 2016 have it (equation of their section 3)."""
    chance = torch.sigmoid(logits)
    return 1 - (2 * (chance * mask).sum() + 1) / (chance.square().sum() + mask.square().sum() + 1)


def jaccard(logits: Tensor, mask: Tensor) -> Tensor:
    """1 − Σpg / (Σp + Σg − Σpg), Jaccard's index made smooth (Rahman and Wang 2016)."""
    chance = torch.sigmoid(logits)
    both = (chance * mask).sum()
    return 1 - (both + 1) / (chance.sum() + mask.sum() - both + 1)


TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "entropy": entropy,
    "dice": dice,
    "squared-dice": squared_dice,
    "jaccard": jaccard,
}


def combined(logits: Tensor, mask: Tensor, weights: Mapping[str, float]) -> Tensor:
    """The sum of the terms named in ``weights``, each times its weight. KeyError for a term there is not."""
    return torch.stack([weight * TERMS[name](logits, mask) for name, weight in weights.items()]).sum()


def entropy_and_dice(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross entropy and Dice, each once."""
    return combined(logits, mask, {"entropy": 1.0, "dice": 1.0})
