"""Masks keep their voxels, findings keep what the model drew, and a model never touches a person's work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from overread.domain.finding import Act, Finding, Mask, Measures, Status, bounding_box, find, with_finding
from overread.domain.merging import merged
from support.values import MODEL, READER, WHEN, finding, masks

ACT = Act(READER, "brush", WHEN)


def spot(*at: int) -> Mask:
    voxels = np.zeros((4, 4, 4), np.bool_)
    voxels[at] = True
    return Mask.of(voxels)


@given(masks())
def test_a_mask_gives_back_its_voxels(voxels: np.ndarray) -> None:
    mask = Mask.of(voxels)
    assert np.array_equal(mask.voxels, voxels)
    assert mask.voxels.dtype == np.bool_
    assert np.array_equal(mask.inner, voxels[mask.box])
    assert mask.count == voxels.sum()
    assert bool(mask) == voxels.any()


@given(masks())
def test_a_slice_of_a_mask_is_that_of_its_box(voxels: np.ndarray) -> None:
    mask = Mask.of(voxels)
    for axis in range(3):
        for at in range(mask.extent[axis]):
            section = mask.section(axis, at)
            assert section.dtype == np.bool_
            assert np.array_equal(section, np.take(mask.inner, [at], axis))


@given(masks())
def test_the_box_is_the_smallest(voxels: np.ndarray) -> None:
    (expected,) = ndimage.find_objects(voxels.astype(np.uint8)) or (None,)
    assert bounding_box(voxels) == expected


@given(masks(5), masks(5))
def test_masks_are_equal_when_they_hold_the_same_voxels(one: np.ndarray, other: np.ndarray) -> None:
    same = one.shape == other.shape and np.array_equal(one, other)
    assert (Mask.of(one) == Mask.of(other)) is same
    assert (Mask.of(one).digest == Mask.of(other).digest) is same
    assert len({Mask.of(one), Mask.of(one.copy())}) == 1


@given(masks(5), st.tuples(*[st.integers(0, 3)] * 3))
def test_a_part_of_the_grid_lies_where_it_was_cut(voxels: np.ndarray, offset: tuple[int, int, int]) -> None:
    whole = np.zeros(np.array(voxels.shape) + offset + 1, np.bool_)
    whole[tuple(slice(at, at + n) for at, n in zip(offset, voxels.shape, strict=True))] = voxels
    shape = (whole.shape[0], whole.shape[1], whole.shape[2])
    assert Mask.of(voxels, offset, shape) == Mask.of(whole)


def test_the_mask_a_person_sees_cannot_be_changed_through_what_it_gave_out() -> None:
    mask = spot(1, 2, 3)
    mask.voxels[:] = True
    mask.inner[:] = False
    assert mask == spot(1, 2, 3)
    assert mask != "mask"


@pytest.mark.parametrize(
    ("shape", "start", "extent", "packed"),
    [
        ((4, 4, 4), (0, 0, 0), (2, 2, 2), b""),
        ((4, 4, 4), (0, 0, 0), (2, 2, 3), b"\xff"),
        ((4, 4, 4), (0, 0, 3), (2, 2, 2), b"\xff"),
        ((4, 4, 4), (-1, 0, 0), (2, 2, 2), b"\xff"),
        ((4, 4, 4), (0, 0, 0), (0, 0, 0), b"\x00"),
    ],
)
def test_no_mask_that_its_grid_cannot_hold(
    shape: tuple[int, int, int], start: tuple[int, int, int], extent: tuple[int, int, int], packed: bytes
) -> None:
    with pytest.raises(ValueError, match="mask"):
        Mask(shape, start, extent, packed)


def test_voxels_that_do_not_fit_into_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="within its grid"):
        Mask.of(np.ones((5, 5, 5), np.bool_), shape=(4, 5, 5))


def test_findings_are_values() -> None:
    one, other = finding(spot(0, 0, 0)), finding(spot(0, 0, 0))
    assert one == other
    assert len({one, other}) == 1
    assert one != finding(spot(0, 0, 1))
    assert one.title == "Tumour 1"


def test_somebody_made_every_finding() -> None:
    with pytest.raises(ValueError, match="from a model, an object or a reader"):
        finding(spot(0, 0, 0), model=None, acts=())


def test_an_edited_finding_keeps_what_the_model_drew_first() -> None:
    drawn = finding(spot(0, 0, 0))
    once = drawn.redrawn(spot(1, 1, 1), None, ACT)
    twice = once.redrawn(spot(2, 2, 2), Measures(1, 1, 1, 1, 1), ACT)
    assert once.original == twice.original == drawn.mask
    assert twice.mask == spot(2, 2, 2)
    assert twice.measures == Measures(1, 1, 1, 1, 1)
    assert twice.model == MODEL
    assert twice.status is Status.EDITED
    assert twice.touched
    assert twice.reader == READER
    assert drawn.original is None
    assert not drawn.touched
    assert drawn.reader is None


def test_what_a_model_drew_may_have_been_nothing() -> None:
    nothing = Mask.of(np.zeros((4, 4, 4), np.bool_))
    once = finding(nothing).redrawn(spot(1, 1, 1), None, ACT)
    assert once.redrawn(spot(2, 2, 2), None, ACT).original == nothing


def test_a_drawing_of_the_reader_has_no_model_behind_it() -> None:
    assert finding(spot(0, 0, 0), model=None).redrawn(spot(1, 1, 1), None, ACT).original is None


def test_a_verdict_is_one_act_more_and_drawing_takes_a_rejection_back() -> None:
    rejected = finding(spot(0, 0, 0)).judged(Status.REJECTED, Act(READER, "reject", WHEN), "vessel")
    assert (rejected.status, rejected.reason, len(rejected.acts)) == (Status.REJECTED, "vessel", 1)
    again = rejected.redrawn(spot(1, 1, 1), None, ACT)
    assert (again.status, again.reason, [act.verb for act in again.acts]) == (Status.EDITED, "", ["reject", "brush"])
    assert {status for status in Status if status.leaves} == {Status.ACCEPTED, Status.EDITED}


def named(*ids: str, **facts: object) -> tuple[Finding, ...]:
    return tuple(finding(spot(0, 0, n % 4), id=i, number=n, **facts) for n, i in enumerate(ids, 1))


def test_a_change_replaces_and_something_new_comes_last() -> None:
    a, b, c = named("a", "b", "c")
    moved = replace(b, label="Cyst")
    assert with_finding((a, b), moved) == (a, moved)
    assert with_finding((a, b), c) == (a, b, c)
    assert find((a, b), "b") == b
    assert find((a, b), "c") is None


VERDICTS = st.sampled_from((None, Status.ACCEPTED, Status.EDITED, Status.REJECTED))


@given(
    st.lists(st.tuples(st.integers(0, 6), VERDICTS, st.booleans(), st.booleans()), unique_by=lambda row: row[0]),
    st.lists(st.integers(0, 6)),
)
def test_a_model_run_leaves_people_and_other_series_alone(
    rows: list[tuple[int, Status | None, bool, bool]], proposed: list[int]
) -> None:
    before = []
    for number, (name, verdict, here, other_model) in enumerate(rows, 1):
        model = replace(MODEL, id="other") if other_model else MODEL
        made = finding(spot(0, 0, 0), model, id=str(name), number=number, stack_uid="stack" if here else "elsewhere")
        before.append(made.judged(verdict, ACT) if verdict else made)
    proposals = [finding(spot(0, 0, 1), id=str(name), number=1) for name in proposed]
    after = merged(tuple(before), proposals, MODEL.id, "stack")
    for old in before:
        gives_way = not old.touched and old.stack_uid == "stack" and old.model == MODEL
        if not gives_way:
            assert old in after
        elif old.id not in {p.id for p in proposals}:
            assert find(after, old.id) is None
    ids = [new.id for new in after]
    assert len(ids) == len(set(ids))
    assert set(ids) >= {p.id for p in proposals}
    assert merged(after, proposals, MODEL.id, "stack") == after, "a second run adds nothing"
    numbers = [new.number for new in after if new.stack_uid == "stack" and new not in before]
    assert len(numbers) == len(set(numbers)), "two findings of one series never share a name"
