"""A model's probabilities of accepted findings → a DICOM Segmentation (PS3.3 A.51), FRACTIONAL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from highdicom.seg import SegmentationTypeValues as Types
from pydicom import Dataset

from overread.dicom.source import SourceHeaders
from overread.dicom.write_seg import segmentation
from overread.domain.finding import Finding, Reader, Status
from overread.domain.study import Stack

# How many voxels go into one file, unless a single finding has more: each takes about ten bytes of memory meanwhile.
_AT_ONCE = 64 << 20


def stated(finding: Finding) -> Finding:
    """A finding as its model stated it: under the name that the model gave it, and edited by nobody."""
    term = finding.proposed or finding.term
    return replace(
        finding, status=Status.ACCEPTED, label=term.label, concept=term.concept, category=term.category, proposed=None
    )


def batches(stack: Stack, findings: Sequence[Finding]) -> list[list[Finding]]:
    """The findings of a stack, in order, in as many files as memory asks for."""
    each = max(1, _AT_ONCE // int(np.prod(stack.grid.shape)))
    return [list(findings[at : at + each]) for at in range(0, len(findings), each)]


def write_fractional(
    stack: Stack, headers: SourceHeaders, findings: Sequence[Finding], reader: Reader, series_number: int
) -> Dataset:
    """One SEG with a segment for each finding, which has probabilities: its values are 255ths of certainty.

    It is what the model stated, so it is AUTOMATIC whatever a reader did afterwards; the tracking UID is the finding's.
    """
    pixels = np.zeros((*stack.grid.shape, len(findings)), np.float32)
    for at, finding in enumerate(findings):
        kept = finding.probabilities
        assert kept is not None
        pixels[(*kept.box, at)] = kept.inner.astype(np.float32) / 255  # highdicom multiplies and rounds
    said = "A model's probabilities of findings. Not for clinical use."
    states = [stated(finding) for finding in findings]
    return segmentation(stack, headers, states, reader, series_number, Types.FRACTIONAL, pixels, said)
