"""Findings as the journal writes them: JSON for all but the voxels, which are packed and checked."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from overread.domain.finding import Act, Finding, Kind, Mask, Measures, ModelSource, Reader, Status, Term
from overread.domain.geometry import Plane
from overread.domain.heatmap import Heatmap
from overread.domain.mark import Drawn, Mark
from overread.domain.measurement import Measurement, Shape, Value
from overread.domain.objects import ObjectSource
from overread.domain.probability import Probabilities
from overread.domain.ruler import Scale
from overread.session.records import (
    Record,
    from_record,
    pack,
    read_mask,
    read_probabilities,
    to_record,
    voxels_of,
    voxels_record,
)
from support.sitting import ABNORMAL, LESION, box_mask, finding_of, stack_of

SHAPE = stack_of().grid.shape
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
moments = st.datetimes(timezones=st.just(UTC))
masks = hnp.arrays(np.bool_, SHAPE).map(Mask.of)
acts = st.lists(st.builds(Act, st.builds(Reader, texts), texts, moments), min_size=1, max_size=3).map(tuple)
amounts = st.floats(allow_nan=False, allow_infinity=False)
numbers_in_32_bits = st.floats(width=32)
heatmaps = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=numbers_in_32_bits).flatmap(
    lambda values: st.builds(
        Heatmap.of,
        st.just(values),
        st.tuples(*(st.floats(low, low + 9) for low in (-20, -20, 0, 0))),
        st.sampled_from(Plane),
        st.integers(0, 5),
        texts,
        texts,
        texts,
    )
)
LENGTH = Measurement(
    Shape.LENGTH,
    Plane.CORONAL,
    2,
    ((1.5, 2.0, 3.25), (0.0, 2.0, 9.0)),
    (Value(LESION, 12.5, ABNORMAL), Value(LESION, -3.25, ABNORMAL, ABNORMAL)),
    Scale.DETECTOR,
)
LIKELY = Probabilities.of(np.arange(60, dtype=np.uint8).reshape(3, 4, 5), (1, 2, 3), SHAPE)
# What a kind has and the others do not: its voxels, its box, its score and threshold.
kinds = st.sampled_from(
    [
        {"kind": Kind.SEGMENTATION},
        {"kind": Kind.DETECTION, "box": (0, 1, 2, 3, 4, 5)},
        {"kind": Kind.DETECTION, "box": (0, 1, 2, 3, 4, 5), "moved": (1, 1, 2, 3, 4, 6)},
        {"kind": Kind.MEASUREMENT, "mask": Mask.of(np.zeros(SHAPE, bool)), "measurement": LENGTH},
        {"kind": Kind.CLASSIFICATION, "mask": Mask.of(np.zeros(SHAPE, bool)), "score": 0.25, "threshold": 0.5},
    ]
)
pairs = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
points = st.tuples(amounts, amounts, amounts)
marks = st.builds(Mark, st.sampled_from(Drawn), st.lists(points, min_size=1, max_size=3).map(tuple), texts)
sources = st.builds(ObjectSource, *[texts] * 8, pairs)
plain = st.builds(
    Finding,
    id=texts,
    stack_uid=texts,
    series_uid=texts,
    number=st.integers(1, 99),
    label=texts,
    concept=st.just(LESION),
    category=st.just(ABNORMAL),
    anatomy=st.none() | st.just(LESION),
    colour=texts,
    mask=masks,
    measures=st.none() | st.builds(Measures, amounts, amounts, amounts, st.integers(0, 5), amounts),
    score=st.none() | amounts,
    model=st.none() | st.builds(ModelSource, texts, texts, texts, texts, texts, moments),
    status=st.sampled_from(Status),
    reason=texts,
    original=st.none() | masks,
    acts=acts,
    classes=st.lists(st.tuples(texts, amounts), max_size=3).map(tuple),
    heatmap=st.none() | heatmaps,
    proposed=st.none() | st.builds(Term, texts, st.just(LESION), st.just(ABNORMAL)),
    present=st.none() | st.booleans(),
    source=st.none() | sources,
    marks=st.lists(marks, max_size=2).map(tuple),
)
whole = plain.map(lambda finding: replace(finding, probabilities=LIKELY if finding.model else None))
findings_made = st.builds(lambda finding, kind: replace(finding, **kind), whole, kinds)


def back(record: Record, finding: Finding) -> Finding:
    """The finding of a record, with the voxels of another one as the journal holds them."""
    held = {voxels.digest: pack(voxels) for voxels in voxels_of(finding)}
    return from_record(
        record, lambda r: read_mask(r, held[r["digest"]]), lambda r: read_probabilities(r, held[r["digest"]])
    )


@given(findings_made)
def test_a_finding_comes_back_from_json_as_it_was(finding: Finding) -> None:
    record = json.loads(json.dumps(to_record(finding)))
    assert back(record, finding) == finding


def test_a_journal_from_before_there_were_kinds_is_read() -> None:
    made = finding_of(stack_of(), box_mask(SHAPE, (1, 2, 3), (1, 2, 3)))
    record = json.loads(json.dumps(to_record(made)))
    later = (
        "kind",
        "box",
        "threshold",
        "classes",
        "heatmap",
        "moved",
        "proposed",
        "present",
        "measurement",
        "source",
        "marks",
        "probabilities",
    )
    for key in later:
        del record[key]
    assert back(record, made) == made


@given(finding=findings_made, bit=st.integers(0, 7), at=st.floats(0, 1, exclude_max=True))
def test_damaged_voxels_never_come_back(finding: Finding, bit: int, at: float) -> None:
    record = to_record(finding)["mask"]
    packed = bytearray(pack(finding.mask))
    packed[int(at * len(packed))] ^= 1 << bit
    with suppress(ValueError):
        assert read_mask(record, bytes(packed)) == finding.mask  # a bit that says nothing about the voxels


@given(bit=st.integers(0, 7), at=st.floats(0, 1, exclude_max=True))
def test_damaged_probabilities_never_come_back(bit: int, at: float) -> None:
    assert LIKELY is not None
    packed = bytearray(pack(LIKELY))
    packed[int(at * len(packed))] ^= 1 << bit
    with pytest.raises(ValueError, match="damaged"):
        read_probabilities(voxels_record(LIKELY), bytes(packed))
