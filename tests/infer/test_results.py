"""What a model says about a slice, packed and unpacked."""

from __future__ import annotations

import numpy as np
import pytest

from overread.infer.results import Levels, Patch, SliceResult


@pytest.mark.parametrize("shape", [(1, 1), (37, 61), (256, 256)])
def test_a_patch_gives_back_what_it_was_made_of(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    probability = rng.random(shape).astype(np.float32)
    mask = probability >= np.median(probability)
    patch, kept = Patch.of(mask), Levels.of(probability)
    assert patch is not None
    assert kept is not None
    whole, levels = np.zeros(shape, np.bool_), np.zeros(shape, np.uint8)
    whole[patch.box], levels[kept.box] = patch.mask, kept.values
    np.testing.assert_array_equal(whole, mask)
    np.testing.assert_array_equal(levels, np.rint(probability * 255).astype(np.uint8))


def test_an_empty_mask_is_no_patch_and_what_rounds_to_nothing_no_level() -> None:
    assert Patch.of(np.zeros((4, 4), np.bool_)) is None
    faint = np.full((4, 4), 0.4 / 255, np.float32)
    assert Levels.of(faint) is None
    faint[2, 1] = 0.6 / 255
    kept = Levels.of(faint)
    assert kept is not None
    assert (kept.start, kept.shape, kept.values.tolist()) == ((2, 1), (1, 1), [[1]])


def test_what_is_kept_of_a_lesion_takes_a_tenth_of_what_it_shows() -> None:
    """A disc of 100 pixels across with a soft edge: 10 kB of mask and more of levels, uncompressed."""
    y, x = np.mgrid[:256, :256]
    probability = (1 / (1 + np.exp(np.hypot(y - 128, x - 120) - 50))).astype(np.float32)
    patch, levels = Patch.of(probability >= 0.5), Levels.of(probability)
    assert patch is not None
    assert levels is not None
    assert patch.nbytes + levels.nbytes < 0.1 * 2 * levels.shape[0] * levels.shape[1]
    assert SliceResult(0, (patch, None), levels=(levels, None)).nbytes > patch.nbytes + levels.nbytes
