"""What models answered stays with findings: one answer to a question, within bounds, and only as long as it holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from overread.domain.finding import Findings
from overread.domain.geometry import Plane
from overread.domain.heatmap import Heatmap, Reason
from overread.domain.reasons import MOST_BYTES, heatmaps, with_reason
from support.sitting import box_mask, finding_of, stack_of

STACK = stack_of()
WHEN = datetime(2026, 1, 2, tzinfo=UTC)


def a_map(index: int, side: int = 2, value: float = 1.0) -> Heatmap:
    values = np.full((side, side), value, np.float32)
    return Heatmap.of(values, (0, 0, 4, 4), Plane.AXIAL, index, "Glioma", "Seg-Grad-CAM", "layer", "CPU fp32")


def asked(findings: Findings, heatmap: Heatmap) -> Findings:
    return with_reason(findings, findings[0].id, Reason(heatmap, findings[0].mask.digest, WHEN))


def test_one_answer_to_a_question_and_none_to_what_is_not_there() -> None:
    one = finding_of(STACK, box_mask(STACK.grid.shape, (1, 2, 3), (1, 2, 3)))
    findings: Findings = (one,)
    for heatmap in (a_map(1), a_map(2), a_map(1, value=3.0)):
        findings = asked(findings, heatmap)
    assert heatmaps(findings[0]) == (a_map(2), a_map(1, value=3.0))
    assert with_reason(findings, "1.2.3", Reason(a_map(1), "", WHEN)) is findings
    own = replace(findings[0], heatmap=a_map(5))
    assert heatmaps(own) == (a_map(5), a_map(2), a_map(1, value=3.0))


def test_a_stale_answer_is_none_until_the_voxels_are_back() -> None:
    one = finding_of(STACK, box_mask(STACK.grid.shape, (1, 2, 3), (1, 2, 3)))
    (held,) = asked((one,), a_map(1))
    redrawn = replace(held, mask=box_mask(STACK.grid.shape, (1, 2, 3), (1, 2, 2)))
    assert redrawn.reasons == held.reasons
    assert heatmaps(redrawn) == ()
    (both,) = asked((redrawn,), a_map(1, value=7.0))
    assert heatmaps(both) == (a_map(1, value=7.0),)
    assert heatmaps(replace(both, mask=held.mask)) == (a_map(1),)


def test_the_oldest_fall_off_and_what_is_too_large_is_not_kept() -> None:
    one = finding_of(STACK, box_mask(STACK.grid.shape, (1, 2, 3), (1, 2, 3)))
    findings: Findings = (one,)
    for k in range(6):
        findings = asked(findings, a_map(k, side=256))
    assert MOST_BYTES == 4 * 4 * 256 * 256
    assert [heatmap.index for heatmap in heatmaps(findings[0])] == [2, 3, 4, 5]
    assert sum(len(heatmap.packed) for heatmap in heatmaps(findings[0])) == MOST_BYTES
    assert asked(findings, a_map(7, side=513)) is findings
    assert [heatmap.index for heatmap in heatmaps(asked(findings, a_map(7, side=512))[0])] == [7]
