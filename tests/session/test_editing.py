"""Changes to outlines: one named step each, made on a worker, dropped where the finding is another by then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from overread.domain.finding import Mask, Status
from overread.imaging.editing import parts, shape
from overread.imaging.editing.limits import Limits
from overread.session import editing
from overread.session.editing import Change, Editing
from overread.session.review import draw_new, redraw
from support.series import head_like, write_series
from support.sitting import Sitting, box_mask, finding_of

SHAPE = (12, 64, 64)
START, SIZE = (3, 20, 20), (5, 16, 16)


class Desk:
    """A sitting with a model's finding selected, and what it was told."""

    def __init__(self, folder: Path) -> None:
        write_series(folder / "a", head_like(SHAPE), step=3.0, study="1.2.3", series="1.2.3.1")
        write_series(folder / "b", head_like(SHAPE), step=3.0, study="1.2.3", series="1.2.3.2", description="T1")
        self.sitting = Sitting()
        self.session = self.sitting.session
        self.said: list[str] = []
        self.editing = Editing(self.session, lambda title, hint, kind: self.said.append(f"{title} {hint}".strip()))
        self.sitting.open(folder)
        assert self.session.image is not None
        self.image = self.session.image
        first = finding_of(self.image.stack, box_mask(SHAPE, START, SIZE), number=1)
        second = finding_of(self.image.stack, box_mask(SHAPE, (4, 30, 30), (2, 12, 12)), number=2)
        self.session.edit("two", (first, second))
        self.choose("2.25.1")

    def choose(self, finding_id: str | None) -> None:
        from dataclasses import replace

        self.session.set_view(replace(self.session.view, selected=finding_id))

    def mask(self, number: int = 1) -> Mask:
        return next(f for f in self.session.findings if f.number == number).mask


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "study")
    yield made
    made.sitting.close()


def changes(desk: Desk) -> dict[str, tuple[Change, Callable[[Mask], Mask]]]:
    """Each change by the name its step is to have, and what it is to do."""
    volume, grid = desk.image.volume, desk.image.volume.grid
    other = desk.session.findings[1]
    points = np.array([(5, 10.5, 10.5), (5, 10.5, 27.5), (5, 27.5, 27.5), (5, 27.5, 10.5)])
    return {
        "Margin +3 mm of": (editing.margin(grid, 3), lambda m: shape.margin(m, grid, 3)),
        "Margin -1.5 mm of": (editing.margin(grid, -1.5), lambda m: shape.margin(m, grid, -1.5)),
        "Smooth 2 mm (median)": (
            editing.smooth(grid, shape.Smoothing.MEDIAN, 2),
            lambda m: shape.smooth(m, grid, shape.Smoothing.MEDIAN, 2),
        ),
        "Keep values 250 to 310 of": (
            editing.keep_range(volume, 250, 310),
            lambda m: Mask.of(m.voxels & (volume.voxels >= 250) & (volume.voxels <= 310)),
        ),
        "Copy slice 8 to 9 of": (editing.copy_slice(0, 7, 1), lambda m: parts.copied(m, 0, 7, 1)),
        "Add Bright 2 to": (editing.combine(other, parts.Logic.UNION), lambda m: Mask.of(m.voxels | other.mask.voxels)),
        "Subtract Bright 2 from": (
            editing.combine(other, parts.Logic.SUBTRACT),
            lambda m: Mask.of(m.voxels & ~other.mask.voxels),
        ),
        "Cut inside an outline, slices 1 to 5:": (
            editing.cut(points, 0, (0, 4), keep_inside=False),
            lambda m: Mask.of(_without(m.voxels)),
        ),
    }


def _without(voxels: np.ndarray) -> np.ndarray:
    voxels[:5, 11:28, 11:28] = False
    return voxels


def test_each_change_is_one_named_step_that_can_be_taken_back(desk: Desk) -> None:
    for name, (change, expected) in changes(desk).items():
        before = desk.session.findings
        desk.editing.apply(change)
        assert desk.session.findings == before, "nothing happens on the main thread"
        assert desk.editing.busy
        desk.sitting.settle()
        assert not desk.editing.busy
        assert desk.mask() == expected(before[0].mask), name
        assert desk.mask() != before[0].mask, name
        finding = desk.session.findings[0]
        assert (finding.original, finding.status) == (before[0].mask, Status.EDITED)
        assert finding.measures is not None
        assert finding.acts[-1].verb == name.removesuffix(" of").rstrip(":").lower()
        assert desk.session.undo_label == f"{name} Bright 1"
        desk.session.undo()
        assert desk.session.findings == before
        desk.session.redo()
        assert desk.mask() == expected(before[0].mask)
        desk.session.undo()
    assert not desk.sitting.errors


def test_what_drew_meanwhile_wins(desk: Desk) -> None:
    grid = desk.image.volume.grid
    desk.editing.apply(editing.margin(grid, 3))
    drawn = box_mask(SHAPE, START, (5, 16, 17))
    desk.session.edit(*redraw(desk.session.findings, "2.25.1", drawn, desk.image.stack, desk.session.reader, "Brush"))
    desk.sitting.settle()
    assert desk.mask() == drawn
    assert "changed meanwhile" in desk.said[-1]


def test_changes_wait_for_each_other(desk: Desk) -> None:
    grid, before = desk.image.volume.grid, desk.mask()
    desk.editing.apply(editing.margin(grid, 3))
    desk.editing.apply(editing.margin(grid, 2))
    desk.sitting.settle()
    assert desk.mask() == shape.margin(shape.margin(before, grid, 3), grid, 2)
    assert desk.session.undo_label == "Margin +2 mm of Bright 1"
    desk.session.undo()
    assert desk.session.undo_label == "Margin +3 mm of Bright 1"


def test_called_off_or_on_another_series_nothing_of_it_arrives(desk: Desk) -> None:
    grid, before = desk.image.volume.grid, desk.session.findings
    desk.editing.apply(editing.margin(grid, 3))
    desk.editing.apply(editing.margin(grid, 3))
    desk.editing.stop()
    desk.sitting.settle()
    assert (desk.session.findings, desk.editing.busy) == (before, False)
    desk.editing.apply(editing.margin(grid, 3))
    other = next(s for s in desk.session.sources.catalogue.stacks if s.uid != desk.image.stack.uid)
    desk.session.select(other)
    desk.sitting.settle()
    assert (desk.session.findings, desk.editing.busy) == (before, False)


def test_with_nothing_selected_a_lasso_begins_a_finding_and_a_margin_says_what_it_wants(desk: Desk) -> None:
    desk.choose(None)
    desk.editing.apply(editing.margin(desk.image.volume.grid, 3))
    assert desk.said[-1].startswith("Select the finding")
    box, voxels = (slice(2, 3), slice(5, 9), slice(5, 9)), np.ones((1, 4, 4), np.bool_)
    limits = Limits(desk.image.volume)
    desk.editing.apply(editing.draw("Lasso", box, voxels, limits, erase=False))
    more = (slice(3, 4), *box[1:])
    desk.editing.apply(editing.draw("Lasso", more, voxels, limits, erase=False))
    desk.sitting.settle()
    drawn = desk.session.selected
    assert drawn is not None
    assert (drawn.model, drawn.mask.count) == (None, 32), "the second one goes on on what the first began"
    desk.editing.apply(editing.draw("Lasso", box, voxels, limits, erase=True))
    desk.sitting.settle()
    assert desk.session.undo_label == f"Lasso: erase from {drawn.title}"
    assert desk.session.selected is not None
    assert desk.session.selected.mask.count == 16


def test_a_change_that_changes_nothing_is_no_step(desk: Desk) -> None:
    before = desk.session.undo_label
    desk.editing.apply(editing.fill_holes(None))
    desk.sitting.settle()
    assert desk.session.undo_label == before
    assert desk.said[-1].endswith("nothing to change.")


def test_seeds_replace_what_was_there_within_their_box(desk: Desk) -> None:
    k, j, i = 5, 38, 39  # the middle of the bright spot
    inside, outside = np.zeros(SHAPE, np.bool_), np.zeros(SHAPE, np.bool_)
    inside[k, j - 1 : j + 2, i - 1 : i + 2] = True
    outside[k, j - 14 : j + 15, (i - 14, i + 14)] = True
    outside[k, (j - 14, j + 14), i - 14 : i + 15] = True
    image, before = desk.image, desk.mask()
    for walk in (True, False):
        limits = Limits(image.volume)
        desk.editing.apply(editing.seeds(image.volume, Mask.of(inside), Mask.of(outside), 0, limits, walk=walk))
        desk.sitting.settle()
        got, bright = desk.mask().voxels, image.volume.voxels[k] > 500
        assert (got[k] == bright)[j - 12 : j + 13, i - 12 : i + 13].mean() > 0.97
        assert np.array_equal(np.delete(got, k, axis=0), np.delete(before.voxels, k, axis=0)), "other slices stay"
        desk.session.undo()
    assert not desk.sitting.errors


def test_looking_changes_nothing_and_the_last_one_asked_is_answered(desk: Desk) -> None:
    grid, before, seen = desk.image.volume.grid, desk.session.findings, []
    desk.editing.look(editing.margin(grid, 3), seen.append)
    desk.editing.look(editing.margin(grid, 6), seen.append)
    desk.sitting.settle()
    assert seen == [shape.margin(before[0].mask, grid, 6)]
    assert desk.session.findings == before


def test_a_rejected_finding_is_left_alone(desk: Desk) -> None:
    from overread.session.review import reject

    desk.session.edit(*reject(desk.session.findings, ["2.25.1"], desk.session.reader, "artefact"))
    desk.editing.apply(editing.keep_largest())
    assert desk.said[-1].startswith("Select the finding")
    _, findings, new_id = draw_new(
        desk.session.findings, box_mask(SHAPE, START, SIZE), desk.image.stack, desk.session.reader
    )
    assert desk.session.edit("Draw", findings)
    assert new_id


def test_a_colour_is_a_step_and_no_verdict(desk: Desk) -> None:
    before = desk.session.findings
    reader = desk.session.reader
    assert desk.session.edit(*editing.recolour(before, "2.25.1", "#56B4E9", reader))
    coloured = desk.session.findings[0]
    assert (coloured.tint, coloured.colour, coloured.status) == ("#56B4E9", "#56B4E9", before[0].status)
    assert (before[0].tint, desk.session.undo_label) == (None, "Colour Bright 1")
    assert not desk.session.edit(*editing.recolour(desk.session.findings, "2.25.1", "#56B4E9", reader)), (
        "once is enough"
    )
    desk.session.undo()
    assert desk.session.findings == before
