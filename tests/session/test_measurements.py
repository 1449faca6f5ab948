"""What a reader measures is a finding: added, changed, deleted, each as one named step that the journal keeps."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from overread.domain.errors import UserError
from overread.domain.finding import Kind, Status
from overread.domain.geometry import Plane
from overread.domain.measurement import Measurement, Shape
from overread.imaging.measuring import measured
from overread.session.boxes import new_box
from overread.session.measurements import TERMS, delete, measure_new, remeasure
from overread.session.records import from_record, read_probabilities, to_record
from overread.session.review import accept, reject, restore
from support.sitting import DOE, box_mask, finding_of, stack_of

STACK = stack_of()


def length(end: float = 9.0) -> Measurement:
    return measured(Shape.LENGTH, ((1.0, 2.0, 3.0), (1.0, 2.0, end)), Plane.AXIAL, STACK)


def test_measured_changed_and_deleted() -> None:
    label, (made,), new_id = measure_new((), length(), STACK, DOE)
    assert (label, made.id, made.kind, made.status) == ("Measure Length 1", new_id, Kind.MEASUREMENT, Status.EDITED)
    assert (made.model, made.erased, made.bounds, made.positive) == (None, False, None, None)
    assert [value.number for value in length().values] == [6.0]
    assert remeasure((made,), new_id, length(), DOE)[1] == (made,), "the same points are no change"
    label, (longer,) = remeasure((made,), new_id, length(12.0), DOE)
    assert (label, longer.measurement) == ("Change Length 1", length(12.0))
    assert [act.verb for act in longer.acts] == ["measure", "measure"]
    assert delete((longer,), new_id) == ("Delete Length 1", ())


def test_each_shape_has_a_name_and_its_number() -> None:
    findings: tuple = (finding_of(STACK, box_mask(STACK.grid.shape, (1, 2, 3), (2, 2, 2))),)
    for number, shape in enumerate(Shape, start=2):
        points = tuple((1.0, 2.0 + n, 3.0 + n * n) for n in range(shape.size))
        _, findings, new_id = measure_new(findings, measured(shape, points, Plane.AXIAL, STACK), STACK, DOE)
        assert findings[-1].title == f"{TERMS[shape].label} {number}"
        assert findings[-1].id == new_id
    assert len({finding.id for finding in findings}) == 5


def test_verdicts_on_measurements() -> None:
    _, (made,), new_id = measure_new((), length(), STACK, DOE)
    (gone,) = reject((made,), [new_id], DOE, "artefact")[1]
    assert not gone.status.leaves
    (back,) = accept((gone,), [new_id], DOE)[1]
    assert back.status.leaves
    with pytest.raises(KeyError):
        restore((made,), new_id, STACK, DOE)


def test_only_what_a_reader_made_is_deleted() -> None:
    proposal = finding_of(STACK, box_mask(STACK.grid.shape, (1, 2, 3), (2, 2, 2)))
    with pytest.raises(UserError, match="rejected, not deleted"):
        delete((proposal,), proposal.id)
    _, boxed, box_id = new_box((proposal,), (1, 2, 3, 2, 4, 6), STACK, DOE)
    assert delete(boxed, box_id)[1] == (proposal,)
    with pytest.raises(KeyError):
        delete((), "nobody")


def test_the_journal_gives_it_back() -> None:
    _, (made,), _ = measure_new((), length(), STACK, DOE)
    assert (
        from_record(json.loads(json.dumps(to_record(made))), lambda _: made.mask, lambda r: read_probabilities(r, b""))
        == made
    )


def test_nothing_else_has_points_and_a_measurement_has_them() -> None:
    _, (made,), _ = measure_new((), length(), STACK, DOE)
    with pytest.raises(ValueError, match="points"):
        replace(made, measurement=None)
    with pytest.raises(ValueError, match="points"):
        replace(finding_of(STACK, box_mask(STACK.grid.shape, (1, 2, 3), (2, 2, 2))), measurement=length())
    with pytest.raises(ValueError, match="no voxels"):
        replace(made, mask=box_mask(STACK.grid.shape, (1, 2, 3), (2, 2, 2)))
    with pytest.raises(ValueError, match="2 points"):
        replace(length(), points=((0.0, 0.0, 0.0),))
