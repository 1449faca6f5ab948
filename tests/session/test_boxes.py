"""What a reader does to boxes: the model's own stays, each step has a name, nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from overread.domain.errors import UserError
from overread.domain.finding import Finding, Kind, Mask, Status, VoxelBox
from overread.imaging.boxes import filled
from overread.session import boxes
from overread.session.review import accept, redraw, restore
from support.sitting import DOE, box_mask, finding_of, model_source, stack_of

STACK = stack_of((8, 40, 40))
SHAPE = STACK.grid.shape
BOX: VoxelBox = (2, 10, 10, 5, 18, 16)
FAR: VoxelBox = (1, 30, 30, 2, 34, 34)


def detection(box: VoxelBox = BOX, mask: Mask | None = None, number: int = 1, **facts: object) -> Finding:
    return finding_of(
        STACK,
        filled(box, SHAPE) if mask is None else mask,
        number=number,
        kind=Kind.DETECTION,
        box=box,
        score=0.5,
        **facts,
    )


def test_a_moved_box_keeps_what_the_model_drew() -> None:
    label, (moved,) = boxes.put((detection(),), "2.25.1", (3, 11, 10, 6, 19, 16), STACK, DOE, "Move")
    assert label == "Move Bright 1"
    assert (moved.box, moved.moved, moved.bounds) == (BOX, (3, 11, 10, 6, 19, 16), (3, 11, 10, 6, 19, 16))
    assert (moved.status, moved.original, moved.boxed, moved.measures) == (
        Status.EDITED,
        filled(BOX, SHAPE),
        True,
        None,
    )
    assert moved.mask == filled((3, 11, 10, 6, 19, 16), SHAPE)
    assert [(act.verb, act.reader) for act in moved.acts] == [("move", DOE)]
    # Accepting it does not make it the model's again; restoring does.
    assert accept((moved,), ["2.25.1"], DOE)[1][0].status is Status.EDITED
    (back,) = restore((moved,), "2.25.1", STACK, DOE)[1]
    assert (back.status, back.moved, back.bounds, back.mask) == (Status.PROPOSED, None, BOX, filled(BOX, SHAPE))


def test_the_same_place_is_no_step() -> None:
    before = (detection(),)
    assert boxes.put(before, "2.25.1", BOX, STACK, DOE, "Move")[1] == before


def test_an_outline_stays_on_the_picture_when_its_box_moves() -> None:
    outline = box_mask(SHAPE, (2, 12, 12), (3, 4, 3))
    drawn = detection(mask=outline)
    (wider,) = boxes.put((drawn,), "2.25.1", (1, 8, 8, 6, 20, 20), STACK, DOE, "Resize")[1]
    assert (wider.mask, wider.boxed) == (outline, False)
    assert wider.measures is not None
    (less,) = boxes.put((drawn,), "2.25.1", (2, 10, 10, 3, 14, 16), STACK, DOE, "Resize")[1]
    assert less.mask == box_mask(SHAPE, (2, 12, 12), (1, 2, 3))
    assert less.original == outline
    (gone,) = boxes.put((drawn,), "2.25.1", FAR, STACK, DOE, "Move")[1]
    assert (gone.boxed, gone.mask, gone.original) == (True, filled(FAR, SHAPE), outline)


def test_what_reaches_out_of_the_box_is_cut_by_the_sides_that_are_pulled_in_alone() -> None:
    outline = box_mask(SHAPE, (1, 9, 12), (5, 4, 3))  # a slice and a row beyond the box on three sides
    drawn = detection(mask=outline)
    (wider,) = boxes.put((drawn,), "2.25.1", (2, 10, 10, 5, 18, 20), STACK, DOE, "Resize")[1]
    assert wider.mask == outline
    (lower,) = boxes.put((drawn,), "2.25.1", (2, 11, 10, 5, 18, 16), STACK, DOE, "Resize")[1]
    assert lower.mask == box_mask(SHAPE, (1, 11, 12), (5, 2, 3))
    _, (one, two) = boxes.split((drawn,), "2.25.1", 0, 3, STACK, DOE)
    assert (one.mask, two.mask) == (box_mask(SHAPE, (1, 9, 12), (2, 4, 3)), box_mask(SHAPE, (3, 9, 12), (3, 4, 3)))


def test_painting_on_a_moved_box_makes_it_an_outline() -> None:
    moved = boxes.put((detection(),), "2.25.1", (3, 11, 10, 6, 19, 16), STACK, DOE, "Move")[1]
    painted = box_mask(SHAPE, (3, 11, 10), (2, 3, 4))
    (drawn,) = redraw(moved, "2.25.1", painted, STACK, DOE, "Erase")[1]
    assert (drawn.moved, drawn.box, drawn.bounds) == (None, BOX, (3, 11, 10, 5, 14, 14))


def test_a_box_of_the_readers_own() -> None:
    label, (made,), new_id = boxes.new_box((), BOX, STACK, DOE)
    assert (label, made.id, made.model, made.kind) == ("Add box Lesion 1", new_id, None, Kind.DETECTION)
    assert (made.bounds, made.boxed, made.score, made.status) == (BOX, True, None, Status.EDITED)
    (moved,) = boxes.put((made,), new_id, FAR, STACK, DOE, "Move")[1]
    assert (moved.bounds, moved.original) == (FAR, None)


def test_split_in_two_that_both_remember_the_model() -> None:
    label, (one, two) = boxes.split((detection(),), "2.25.1", 0, 4, STACK, DOE)
    assert label == "Split Bright 1"
    assert (one.bounds, two.bounds) == ((2, 10, 10, 4, 18, 16), (4, 10, 10, 5, 18, 16))
    assert (one.id, two.number, two.model) == ("2.25.1", 2, one.model)
    assert two.id != one.id
    assert one.box == two.box == BOX
    assert one.original == two.original == filled(BOX, SHAPE)
    assert {one.status, two.status} == {Status.EDITED}
    with pytest.raises(UserError, match="cannot be split"):
        boxes.split((detection(),), "2.25.1", 0, 2, STACK, DOE)


def test_splitting_an_outline_splits_its_voxels() -> None:
    outline = box_mask(SHAPE, (2, 12, 12), (3, 4, 3))
    _, (one, two) = boxes.split((detection(mask=outline),), "2.25.1", 1, 14, STACK, DOE)
    assert np.array_equal(one.mask.voxels | two.mask.voxels, outline.voxels)
    assert not (one.mask.voxels & two.mask.voxels).any()
    assert one.measures is not None
    assert two.measures is not None


def test_merge_with_the_one_that_overlaps_most() -> None:
    second = replace(detection((4, 12, 12, 7, 22, 20), number=2), score=0.8)
    third = detection(FAR, number=3)
    findings = (detection(), second, third)
    assert boxes.partner(findings, "2.25.1") == second
    assert boxes.partner(findings, "2.25.3") is None
    label, (one, two, three) = boxes.merge(findings, ["2.25.1", "2.25.2"], STACK, DOE)
    assert label == "Merge Bright 1 and Bright 2"
    assert (one.bounds, one.score, one.box) == ((2, 10, 10, 7, 22, 20), 0.8, BOX)
    assert (two.status, two.reason, three) == (Status.REJECTED, "merged into Bright 1", third)
    with pytest.raises(UserError, match="no second box"):
        boxes.merge(findings, ["2.25.3"], STACK, DOE)


def test_outlines_are_united_and_a_box_among_them_makes_it_a_box() -> None:
    a, b = box_mask(SHAPE, (2, 12, 12), (2, 4, 3)), box_mask(SHAPE, (3, 14, 12), (3, 4, 3))
    both = (detection(mask=a), detection((3, 12, 10, 6, 20, 18), mask=b, number=2))
    (one, _) = boxes.merge(both, ["2.25.1", "2.25.2"], STACK, DOE)[1]
    assert np.array_equal(one.mask.voxels, a.voxels | b.voxels)
    mixed = (detection(mask=a), detection(FAR, number=2))
    (one, _) = boxes.merge(mixed, ["2.25.1", "2.25.2"], STACK, DOE)[1]
    assert (one.boxed, one.bounds) == (True, (1, 10, 10, 5, 34, 34))


def test_an_outline_by_a_model_in_a_box_of_either() -> None:
    outline = box_mask(SHAPE, (2, 12, 12), (3, 4, 3))
    source = model_source("lung-nodule")
    (own,) = boxes.outlined((detection(),), "2.25.1", outline, source, STACK, DOE)[1]
    assert (own.mask, own.bounds, own.status, own.model) == (outline, BOX, Status.EDITED, detection().model)
    assert own.original == filled(BOX, SHAPE)
    _, made, new_id = boxes.new_box((), BOX, STACK, DOE)
    (drawn,) = boxes.outlined(made, new_id, outline, source, STACK, DOE)[1]
    assert (drawn.model, drawn.status, drawn.measures is not None) == (source, Status.EDITED, True)
    assert [act.verb for act in drawn.acts] == ["draw", "outline"]
    # A reader put the box there: accepted or not, it is no finding of the model alone.
    assert accept((drawn,), [new_id], DOE)[1][0].status is Status.EDITED
