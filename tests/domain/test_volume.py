"""Voxels stay what they were stored as, and become real values the way their slice says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from overread.domain.study import Encoding, Identity, Lut
from overread.domain.volume import Ready, Volume
from support.values import box_grid, stack, volume

STORED = st.sampled_from(("uint8", "int16", "uint16", "float32")).flatmap(
    lambda dtype: npst.arrays(
        dtype,
        (3, 4, 5),
        elements=npst.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False, min_value=0, max_value=255),
    )
)
LINES = st.lists(st.floats(-20, 20, allow_subnormal=False), min_size=3, max_size=3)
EVERYTHING = (slice(None), slice(None), slice(None))


@given(STORED, LINES, LINES)
def test_real_values_take_slope_and_intercept_of_their_slice(
    voxels: np.ndarray, slope: list[float], intercept: list[float]
) -> None:
    made = volume(voxels, slope=slope, intercept=intercept)
    expected = voxels.astype(np.float64) * np.reshape(slope, (3, 1, 1)) + np.reshape(intercept, (3, 1, 1))
    assert np.array_equal(made.real(EVERYTHING), expected)
    assert made.real((slice(1, 3), slice(2, 3), slice(0, 2))).shape == (2, 1, 2)
    assert made.value(2, 3, 1) == expected[2, 3, 1]
    assert made.uniform is (len(set(slope)) == 1 and len(set(intercept)) == 1)


def test_a_modality_table_goes_before_slope_and_intercept() -> None:
    voxels = np.array([0, 9, 10, 11, 12, 13], np.int16).reshape(1, 2, 3)
    made = volume(voxels, slope=3, modality_lut=Lut(10, np.array([-100.0, 5, 70])))
    expected = [-100, -100, -100, 5, 70, 70]
    assert made.real(EVERYTHING).ravel().tolist() == expected
    assert [made.value(0, j, i) for j in range(2) for i in range(3)] == expected


def test_a_volume_cannot_be_written_through_but_fills_while_it_loads() -> None:
    voxels = np.zeros((2, 3, 4), np.int16)
    made = volume(voxels)
    with pytest.raises(ValueError, match="read-only"):
        made.voxels[0, 0, 0] = 1
    voxels[1, 2, 3] = 42
    assert made.value(1, 2, 3) == 42
    assert made.uid == made.stack.uid
    assert not made.colour
    assert volume(np.zeros((1, 2, 2, 3), np.uint8)).colour


def test_volumes_are_compared_by_identity_for_their_voxels_may_still_come() -> None:
    voxels = np.zeros((2, 3, 4), np.int16)
    one, other = volume(voxels), volume(voxels)
    assert one != other
    assert one == one
    assert len({one, other, one}) == 2


def test_no_volume_whose_voxels_are_not_those_of_its_grid() -> None:
    grid = box_grid((2, 3, 4))
    one = np.ones(2)
    with pytest.raises(ValueError, match="differ in shape"):
        Volume(stack(grid), np.zeros((2, 4, 3)), one, one)
    with pytest.raises(ValueError, match="one number a slice"):
        Volume(stack(grid), np.zeros((2, 3, 4)), one[:1], one)


@given(st.lists(st.sampled_from((0, 1, 2)), min_size=1))
def test_ready_says_what_is_there(slices: list[int]) -> None:
    ready = Ready(bytes(slices))
    assert ready.complete is (slices.count(0) == 0)
    assert ready.whole is (set(slices) == {1})
    assert ready.fraction == pytest.approx(1 - slices.count(0) / len(slices))


@given(
    npst.arrays(np.float64, 5, elements=st.floats(-50, 50)),
    st.integers(-30, 30),
    st.lists(st.integers(0, 4095), min_size=1, max_size=20),
)
def test_a_table_takes_the_nearest_entry(stored: np.ndarray, first: int, values: list[int]) -> None:
    table = Lut(first, np.array(values, np.float64))
    for value, got in zip(stored, table.apply(stored), strict=True):
        inside = min(max(round(float(value)) - first, 0), len(values) - 1)
        assert got == values[inside]


@pytest.mark.parametrize(
    ("bits", "signed", "dtype"),
    [(1, False, "uint8"), (8, False, "uint8"), (8, True, "int8"), (16, True, "int16"), (32, False, "uint32")],
)
def test_the_type_of_stored_values(bits: int, signed: bool, dtype: str) -> None:
    assert Encoding(4, 4, bits_allocated=bits, signed=signed).dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("DOE^JANE^MARY", "DOE, JANE MARY"),
        ("Doe^Jane", "Doe, Jane"),
        ("^Jane", "Jane"),
        ("Doe", "Doe"),
        ("Doe^^^Dr", "Doe"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou"),
        ("", "No name"),
        ("=山田^太郎", "山田, 太郎"),
        ("^^^^=山田^太郎", "山田, 太郎"),
        ("^^", "No name"),
    ],
)
def test_names_as_people_read_them(name: str, shown: str) -> None:
    identity = Identity("ID", name, "", "", "", "", "", "", None, "", "MR", "")
    assert identity.display_name == shown


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ([1, 1], ""),
        ([1, 2], "slice 2 could not be read"),
        ([2, 1, 2], "slices 1 and 3 could not be read"),
        ([2] * 5, "slices 1, 2, 3 and 2 more could not be read"),
    ],
)
def test_slices_that_could_not_be_read_are_named(states: list[int], sentence: str) -> None:
    assert Ready(bytes(states)).unread == sentence
