"""What a reader may do to findings, and what no model may."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread.domain.finding import Act, Finding, Findings, Mask, Reader, Status, find
from overread.domain.merging import merged
from overread.domain.ports import Proposal
from overread.domain.probability import Probabilities
from overread.domain.study import Problem
from overread.imaging.measure import measure
from overread.session.review import accept, draw_new, now, proposed, redraw, reject, restore
from support.sitting import ABNORMAL, DOE, LESION, box_mask, finding_of, model_source, stack_of

STACK, OTHER = stack_of(), stack_of(series="1.2.3.5")
SHAPE = STACK.grid.shape
ROE = Reader("Roe")
EMPTY = Mask.of(np.zeros(SHAPE, np.bool_))
SMALL, LARGE = box_mask(SHAPE, (1, 4, 4), (2, 4, 4)), box_mask(SHAPE, (1, 4, 4), (3, 6, 6))


def one(**changes: Any) -> Finding:
    return finding_of(STACK, SMALL, measures=measure(SMALL, STACK.grid), **changes)


def test_a_verdict_keeps_source_voxels_and_everybody_else() -> None:
    findings = (one(), finding_of(STACK, LARGE, number=2), finding_of(OTHER, SMALL, number=3))
    label, after = accept(findings, ["2.25.2"], DOE)
    assert label == "Accept Bright 2"
    assert (after[0], after[2]) == (findings[0], findings[2])
    assert after[1].status is Status.ACCEPTED
    assert (after[1].mask, after[1].model, after[1].original) == (LARGE, findings[1].model, None)
    assert [(act.reader, act.verb) for act in after[1].acts] == [(DOE, "accept")]

    label, after = reject(after, ["2.25.2"], ROE, "artefact")
    assert label == "Reject Bright 2 (artefact)"
    assert (after[1].status, after[1].reason, after[1].reader) == (Status.REJECTED, "artefact", ROE)
    assert not after[1].status.leaves
    _, again = accept(after, ["2.25.2"], ROE)
    assert (again[1].status, again[1].reason, again[1].mask) == (Status.ACCEPTED, "", LARGE)
    assert [act.verb for act in again[1].acts] == ["accept", "reject", "accept"]

    label, all_of_them = accept(findings, [finding.id for finding in findings], DOE)
    assert label == "Accept 3 findings"
    assert {finding.status for finding in all_of_them} == {Status.ACCEPTED}


def test_the_same_verdict_twice_is_one() -> None:
    _, once = accept((one(),), ["2.25.1"], DOE)
    assert accept(once, ["2.25.1"], DOE)[1] == once
    _, by_another = accept(once, ["2.25.1"], ROE)
    assert [act.reader for act in by_another[0].acts] == [DOE, ROE]
    _, no = reject(once, ["2.25.1"], DOE, "vessel")
    assert reject(no, ["2.25.1"], DOE, "vessel")[1] == no
    assert reject(no, ["2.25.1"], DOE, "artefact")[1][0].reason == "artefact"
    assert accept((), ["2.25.1"], DOE)[1] == ()


def test_an_edited_finding_is_the_models_edited_by_the_reader() -> None:
    findings: Findings = (one(),)
    label, after = redraw(findings, "2.25.1", LARGE, STACK, DOE, "Brush")
    assert label == "Brush Bright 1"
    (edited,) = after
    assert (edited.model, edited.reader, edited.status) == (findings[0].model, DOE, Status.EDITED)
    assert (edited.mask, edited.original) == (LARGE, SMALL)
    assert edited.measures == measure(LARGE, STACK.grid)
    (accepted,) = accept(after, ["2.25.1"], ROE)[1]
    assert accepted.status is Status.EDITED, "what was edited stays edited"
    (more,) = redraw((accepted,), "2.25.1", box_mask(SHAPE, (0, 0, 0), (1, 1, 1)), STACK, ROE, "Erase")[1]
    assert more.original == SMALL, "the original is what the model drew, not the last version"
    (back,) = accept(redraw((more,), "2.25.1", SMALL, STACK, ROE, "Brush")[1], ["2.25.1"], ROE)[1]
    assert back.status is Status.ACCEPTED, "the model's voxels again are the model's"


def test_a_stroke_that_changes_nothing_accepts_nothing() -> None:
    findings = (one(),)
    assert redraw(findings, "2.25.1", box_mask(SHAPE, (1, 4, 4), (2, 4, 4)), STACK, DOE, "Erase")[1] == findings
    no = reject(findings, ["2.25.1"], DOE, "vessel")[1]
    assert redraw(no, "2.25.1", SMALL, STACK, DOE, "Brush")[1] == no


def test_all_of_a_finding_erased_is_a_rejection_until_it_is_drawn_again() -> None:
    (gone,) = redraw((one(),), "2.25.1", EMPTY, STACK, DOE, "Erase")[1]
    assert (gone.status, gone.reason, gone.measures, gone.original) == (Status.REJECTED, "erased", None, SMALL)
    assert accept((gone,), ["2.25.1"], DOE)[1] == (gone,), "there is nothing to agree with"
    (restored,) = restore((gone,), "2.25.1", STACK, DOE)[1]
    assert (restored.status, restored.mask, restored.original, restored.reason) == (Status.PROPOSED, SMALL, None, "")
    assert restored.measures == one().measures
    assert restored.touched, "a model run leaves it alone all the same"
    (again,) = redraw((gone,), "2.25.1", LARGE, STACK, DOE, "Brush")[1]
    assert (again.status, again.original, again.reason) == (Status.EDITED, SMALL, "")


def test_a_finding_cut_in_two_and_one_over_another() -> None:
    cut = SMALL.voxels
    cut[:, 5] = False
    under = finding_of(STACK, LARGE, number=2)
    (first, second) = redraw((one(), under), "2.25.1", Mask.of(cut), STACK, DOE, "Erase")[1]
    assert np.array_equal(first.mask.voxels, cut)
    assert first.measures is not None
    assert first.measures.volume_ml == round(int(cut.sum()) * 3 / 1000, 3)
    assert second == under, "drawing on one never changes another that overlaps it"


def test_a_finding_of_ones_own() -> None:
    label, findings, new_id = draw_new((one(), finding_of(OTHER, SMALL, number=9)), SMALL, STACK, DOE)
    drawn = find(findings, new_id)
    assert drawn is not None
    assert (label, drawn.title, drawn.model, drawn.status) == ("Draw Lesion 2", "Lesion 2", None, Status.EDITED)
    assert (drawn.reader, drawn.status.leaves, drawn.touched) == (DOE, True, True)
    with pytest.raises(KeyError):
        restore(findings, new_id, STACK, DOE)
    ids = {draw_new(findings, SMALL, STACK, DOE)[2] for _ in range(3)}
    assert len(ids | {new_id}) == 4
    (gone,) = redraw((drawn,), new_id, EMPTY, STACK, DOE, "Erase")[1]
    assert (gone.status, gone.original) == (Status.REJECTED, None)


def test_where_millimetres_do_not_hold_nothing_is_measured() -> None:
    crooked = replace(STACK, problems=(Problem("drift", "Shifted.", measurable=False),))
    proposal = Proposal("Bright", LESION, ABNORMAL, SMALL, 0.5)
    (made,) = proposed([proposal], crooked, model_source())
    assert made.measures is None
    assert redraw((one(),), "2.25.1", LARGE, crooked, DOE, "Brush")[1][0].measures is None
    assert draw_new((), SMALL, crooked, DOE)[1][0].measures is None


def test_what_the_model_held_for_likely_stays_whatever_a_reader_does() -> None:
    kept = Probabilities.of(np.full(SMALL.extent, 200, np.uint8), SMALL.start, SHAPE)
    (made,) = proposed([Proposal("Bright", LESION, ABNORMAL, SMALL, 0.5, probabilities=kept)], STACK, model_source())
    assert kept is not None
    assert made.probabilities == kept
    _, redrawn = redraw((made,), made.id, LARGE, STACK, DOE, "Brush")
    _, turned_down = reject(redrawn, [made.id], DOE, "vessel")
    _, back = restore(turned_down, made.id, STACK, DOE)
    assert [f.probabilities for (f,) in (redrawn, turned_down, back)] == [kept] * 3
    elsewhere = Probabilities.of(np.full((1, 1, 1), 200, np.uint8), (0, 0, 0), (2, 2, 2))
    with pytest.raises(ValueError, match="on the grid of its mask"):
        proposed([Proposal("Bright", LESION, ABNORMAL, SMALL, 0.5, probabilities=elsewhere)], STACK, model_source())


def test_the_same_voxels_of_the_same_model_have_the_same_id() -> None:
    proposals = [Proposal("Bright", LESION, ABNORMAL, mask, 0.5) for mask in (SMALL, LARGE)]
    source = model_source()
    ids = [f.id for f in proposed(proposals, STACK, source)]
    assert ids == [f.id for f in proposed(proposals, STACK, replace(source, when=now(), backend="another"))]
    assert all(len(uid) <= 64 and uid.startswith("2.25.") for uid in ids)
    others = [
        proposed(proposals, OTHER, source),
        proposed(proposals, STACK, replace(source, version="2")),
        proposed(proposals, STACK, replace(source, sha256="cd" * 32)),
        proposed(proposals, STACK, replace(source, id="dark")),
        proposed([replace(p, label="Dark") for p in proposals], STACK, source),
    ]
    every = [*ids, *(f.id for findings in others for f in findings)]
    assert len(set(every)) == len(every)


# A small world: two stacks, two models, findings known by their number, some of them touched.
numbers = st.lists(st.integers(1, 8), unique=True, max_size=6)
kinds = st.fixed_dictionaries({n: st.tuples(st.booleans(), st.booleans(), st.booleans()) for n in range(1, 9)})


def there(number: int, kind: tuple[bool, bool, bool]) -> Finding:
    touched, elsewhere, other = kind
    acts = (Act(DOE, "accept", now()),) if touched else ()
    return finding_of(
        OTHER if elsewhere else STACK, SMALL, number=number, model="dark" if other else "bright", acts=acts
    )


@given(kinds, numbers, numbers)
def test_a_model_run_changes_nothing_of_a_persons_and_says_nothing_twice(
    kinds: dict[int, tuple[bool, bool, bool]], held: list[int], seen: list[int]
) -> None:
    findings = tuple(there(number, kinds[number]) for number in held)
    proposals = [finding_of(STACK, LARGE, number=n) for n in seen]
    after = merged(findings, proposals, "bright", STACK.uid)
    for finding in findings:
        stays = finding.touched or finding.stack_uid != STACK.uid or finding.model != model_of(finding, "bright")
        if stays or finding.id in {proposal.id for proposal in proposals}:
            assert find(after, finding.id) == finding
        else:
            assert find(after, finding.id) is None, "an earlier run's proposal that nobody touched gives way"
    assert {proposal.id for proposal in proposals} <= {finding.id for finding in after}
    assert len({finding.id for finding in after}) == len(after)
    fresh = [finding for finding in after if find(findings, finding.id) is None]
    on_stack = [finding.number for finding in after if finding.stack_uid == STACK.uid]
    assert all(on_stack.count(finding.number) == 1 for finding in fresh)
    assert merged(after, proposals, "bright", STACK.uid) == after, "once more is no news"
    assert merged(after, (p for p in proposals), "bright", STACK.uid) == after


def model_of(finding: Finding, model_id: str) -> object:
    return finding.model if finding.model is not None and finding.model.id == model_id else None
