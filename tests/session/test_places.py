"""Where findings are: said by the reader, the model's place kept, kept in the journal's records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from overread.domain.errors import UserError
from overread.domain.finding import Act, Code, Status
from overread.session import codes
from overread.session.records import from_record, to_record
from overread.session.review import accept, now, reject, restore
from overread.session.terms import place, places
from support.sitting import DOE, box_mask, detectors, finding_of, stack_of

STACK = stack_of()
BRAIN, FRONTAL = Code("12738006", "SCT", "Brain"), Code("83251001", "SCT", "Frontal lobe")
MASK = box_mask(STACK.grid.shape, (1, 2, 3), (2, 2, 2))
ID = "2.25.1"


@pytest.mark.parametrize("model", [BRAIN, None])
def test_placed_and_back(model: Code | None) -> None:
    first = finding_of(STACK, MASK, anatomy=model)
    label, (placed,) = place((first,), ID, FRONTAL, DOE)
    assert label == "Place Bright 1 in Frontal lobe"
    assert (placed.anatomy, placed.proposed_site) == (FRONTAL, () if model is None else (model,))
    assert (placed.status, placed.changed, placed.restorable) == (Status.PROPOSED, True, True), "no verdict"
    assert place((placed,), ID, FRONTAL, DOE)[1] == (placed,)
    assert accept((placed,), [ID], DOE)[1][0].status is Status.EDITED
    (back,) = place((placed,), ID, model, DOE)[1]
    assert (back.anatomy, back.proposed_site, back.changed) == (model, None, False)
    (restored,) = restore((placed,), ID, STACK, DOE)[1]
    assert (restored.anatomy, restored.proposed_site, restored.status) == (model, None, Status.PROPOSED)
    (nowhere,) = place((placed,), ID, None, DOE)[1]
    assert nowhere.anatomy is None
    assert nowhere.changed is (model is not None)


def test_what_was_judged_before() -> None:
    first = finding_of(STACK, MASK, anatomy=BRAIN)
    (placed,) = place(accept((first,), [ID], DOE)[1], ID, FRONTAL, DOE)[1]
    assert placed.status is Status.EDITED, "it leaves otherwise than it was proposed"
    (placed,) = place(reject((first,), [ID], DOE, "vessel")[1], ID, FRONTAL, DOE)[1]
    assert (placed.status, placed.reason) == (Status.REJECTED, "vessel")
    drawn = {"model": None, "status": Status.EDITED, "acts": (Act(DOE, "draw", now()),)}
    own = replace(finding_of(STACK, MASK, anatomy=None), **drawn)  # type: ignore[arg-type]
    (placed,) = place((own,), ID, FRONTAL, DOE)[1]
    assert (placed.anatomy, placed.proposed_site, placed.changed) == (FRONTAL, None, False)


@pytest.mark.parametrize("held", [None, (), (BRAIN,)])
def test_records_keep_it(held: tuple[Code, ...] | None) -> None:
    made = finding_of(STACK, MASK, anatomy=FRONTAL, proposed_site=held)
    record = json.loads(json.dumps(to_record(made)))
    assert from_record(record, lambda _: MASK, lambda _: pytest.fail("it has none")) == made
    del record["proposed_site"]  # as journals of before have it
    assert from_record(record, lambda _: MASK, lambda _: pytest.fail("it has none")).proposed_site is None


def test_what_can_be_chosen_begins_with_what_models_say(models: Path) -> None:
    spec = detectors(models)[0].spec
    said = spec.outputs[0].anatomy
    first = finding_of(STACK, MASK, anatomy=FRONTAL)
    found = places("", [spec], (first,))
    assert found[: 2 if said else 1] == ((said, FRONTAL) if said else (FRONTAL,))
    assert len(set(found)) == len(found)
    assert places("frontal lobe", [spec], ())[0] == FRONTAL
    assert Code("39607008", "SCT", "Lung") in places("lung", [spec], ())


def test_a_place_of_ones_own_is_kept_among_places() -> None:
    own = codes.typed("77 99MINE Third ventricle, roof", "place")
    assert own is not None
    codes.add(own)
    assert places("roof", (), ()) == (Code("77", "99MINE", "Third ventricle, roof"),)
    assert codes.search("roof of") == codes.search("roof of", "finding")
    assert not [one for one in codes.search("third ventricle, roof") if one.code.value == "77"]
    with pytest.raises(UserError):
        codes.add(codes.Concept("place", Code("1", "HTTP", "x")))
