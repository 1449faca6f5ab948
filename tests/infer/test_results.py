"""What a model says about a slice, packed and unpacked."""

from __future__ import annotations

import numpy as np
import pytest

from overread.infer.results import Patch, SliceResult


@pytest.mark.parametrize("shape", [(1, 1), (37, 61), (256, 256)])
def test_a_patch_gives_back_what_it_was_made_of(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    probability = rng.random(shape).astype(np.float32)
    mask = probability >= np.median(probability)
    patch = Patch.of(mask, probability)
    assert patch is not None
    whole, levels = np.zeros(shape, np.bool_), np.zeros(shape, np.uint8)
    box = tuple(slice(at, at + size) for at, size in zip(patch.start, patch.shape, strict=True))
    whole[box], levels[box] = patch.mask, patch.score
    np.testing.assert_array_equal(whole, mask)
    np.testing.assert_array_equal(levels, np.where(mask, np.rint(probability * 255), 0).astype(np.uint8))


def test_an_empty_mask_is_no_patch() -> None:
    assert Patch.of(np.zeros((4, 4), np.bool_), np.ones((4, 4), np.float32)) is None


def test_a_patch_of_a_lesion_takes_a_tenth_of_what_it_shows() -> None:
    """A disc of 100 pixels across with a soft edge: 10 kB of mask and 10 kB of levels, uncompressed."""
    y, x = np.mgrid[:256, :256]
    probability = (1 / (1 + np.exp(np.hypot(y - 128, x - 120) - 50))).astype(np.float32)
    patch = Patch.of(probability >= 0.5, probability)
    assert patch is not None
    assert patch.nbytes < 0.1 * 2 * patch.shape[0] * patch.shape[1]
    assert SliceResult(0, (patch, None)).nbytes > patch.nbytes
