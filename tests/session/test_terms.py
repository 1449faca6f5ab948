"""Other names for findings: coded, the model's own kept, a class turned over by the reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from overread.domain.finding import Code, Finding, Kind, Mask, Status, Term
from overread.imaging.paint import empty
from overread.session.review import accept, restore
from overread.session.terms import relabel, suggested, turn
from support.sitting import DOE, box_mask, detectors, finding_of, stack_of

STACK = stack_of()
NODULE = Term(
    "Nodule", Code("27925004", "SCT", "Nodule"), Code("49755003", "SCT", "Morphologically Abnormal Structure")
)


def a_class(score: float = 0.8) -> Finding:
    facts: dict[str, Any] = {"kind": Kind.CLASSIFICATION, "score": score, "threshold": 0.5}
    return finding_of(STACK, empty(STACK.grid.shape), **facts)


def test_relabelled_and_back() -> None:
    first = finding_of(STACK, box_mask(STACK.grid.shape, (1, 2, 3), (2, 2, 2)))
    label, (named,) = relabel((first,), "2.25.1", NODULE, DOE)
    assert label == "Relabel Bright 1 as Nodule"
    assert (named.term, named.proposed, named.status, named.title) == (NODULE, first.term, Status.EDITED, "Nodule 1")
    assert accept((named,), ["2.25.1"], DOE)[1][0].status is Status.EDITED
    (again,) = relabel((named,), "2.25.1", first.term, DOE)[1]
    assert (again.term, again.proposed) == (first.term, None)
    assert relabel((named,), "2.25.1", NODULE, DOE)[1] == (named,)
    (back,) = restore((named,), "2.25.1", STACK, DOE)[1]
    assert (back.term, back.proposed, back.status) == (first.term, None, Status.PROPOSED)


def test_a_class_is_turned_over_and_back() -> None:
    label, (gone,) = turn((a_class(),), "2.25.1", DOE)
    assert (label, gone.positive, gone.status, gone.score) == ("Bright is absent", False, Status.EDITED, 0.8)
    label, (there,) = turn((gone,), "2.25.1", DOE)
    assert (label, there.positive, there.present, there.changed) == ("Bright is present", True, None, False)


def test_a_class_under_another_name_is_there_because_the_reader_says_so() -> None:
    (named,) = relabel((a_class(0.2),), "2.25.1", NODULE, DOE)[1]
    assert (named.positive, named.proposed and named.proposed.label) == (True, "Bright")
    with pytest.raises(KeyError):
        turn((named,), "2.25.1", DOE)
    (back,) = restore((named,), "2.25.1", STACK, DOE)[1]
    assert (back.positive, back.present, back.label) == (False, None, "Bright")


def test_what_can_be_chosen_begins_with_what_models_say(models: Path) -> None:
    spec = detectors(models)[0].spec
    named = suggested("", [spec], ())
    assert named[0].label == spec.outputs[0].label
    assert "Nodule" in [term.label for term in suggested("nodul", [spec], ())]
    assert next(term.label for term in suggested("nodul", [spec], ())) != spec.outputs[0].label
    keys = [(term.label.lower(), term.concept.value) for term in suggested("", [spec], (a_class(),))]
    assert len(keys) == len(set(keys))


def test_nothing_of_the_mask_is_touched() -> None:
    mask: Mask = box_mask(STACK.grid.shape, (1, 2, 3), (2, 2, 2))
    (named,) = relabel((finding_of(STACK, mask),), "2.25.1", NODULE, DOE)[1]
    assert (named.mask, named.original) == (mask, None)
