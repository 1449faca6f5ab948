"""Probabilities as findings keep them: cropped, deflated, equal when they say the same, never of another size."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from overread.domain.finding import Mask
from overread.domain.probability import LARGEST, Probabilities
from support.sitting import box_mask, finding_of, stack_of

boxes = hnp.arrays(np.uint8, st.tuples(*(st.integers(1, 5),) * 3))


@given(values=boxes, start=st.tuples(*(st.integers(0, 3),) * 3))
def test_values_come_back_where_they_were(values: np.ndarray, start: tuple[int, int, int]) -> None:
    kept = Probabilities.of(values, start, (9, 9, 9))
    assert kept is not None
    assert np.array_equal(kept.inner, values)
    assert np.array_equal(kept.voxels[kept.box], values)
    assert int(kept.voxels.sum()) == int(values.sum())
    again = Probabilities.of(values.copy(), start, (9, 9, 9))
    assert (again, hash(again)) == (kept, hash(kept))
    assert again is not None
    assert again.digest == kept.digest
    other = Probabilities.of(values ^ np.uint8(1), start, (9, 9, 9))
    assert other is not None
    assert other != kept
    assert other.digest != kept.digest


def test_a_mask_of_the_same_place_has_another_digest() -> None:
    kept = Probabilities((4, 4, 4), (0, 0, 0), (2, 2, 2), b"\xff")
    assert kept.digest != Mask((4, 4, 4), (0, 0, 0), (2, 2, 2), b"\xff").digest


@pytest.mark.parametrize("packed", [zlib.compress(bytes(7)), zlib.compress(bytes(9 << 20)), b"no", b""])
def test_what_is_not_one_byte_a_voxel_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        _ = Probabilities((4, 4, 4), (0, 0, 0), (2, 2, 2), packed).inner


@pytest.mark.parametrize(("start", "extent"), [((3, 0, 0), (2, 2, 2)), ((-1, 0, 0), (2, 2, 2)), ((0, 0, 0), (0, 1, 1))])
def test_the_box_lies_within_the_grid(start: tuple[int, int, int], extent: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="within its grid"):
        Probabilities((4, 4, 4), start, extent, b"")


def test_what_is_too_large_is_not_kept() -> None:
    large = np.broadcast_to(np.uint8(1), (257, 256, 256))
    assert Probabilities.of(large, (0, 0, 0), large.shape) is None
    kept = Probabilities.of(np.ascontiguousarray(large[1:]), (0, 0, 0), large.shape)
    assert kept is not None
    assert kept.inner.size == LARGEST
    with pytest.raises(ValueError, match="at most"):
        Probabilities(large.shape, (0, 0, 0), large.shape, kept.packed)


def test_they_are_a_models_on_the_grid_of_its_mask() -> None:
    stack = stack_of()
    kept = Probabilities.of(np.ones((1, 1, 1), np.uint8), (0, 0, 0), (2, 2, 2))
    with pytest.raises(ValueError, match="on the grid of its mask"):
        finding_of(stack, box_mask(stack.grid.shape, (1, 2, 3), (1, 2, 3)), probabilities=kept)
