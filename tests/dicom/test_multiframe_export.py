"""Several findings on one part of a multi-frame file: each frame of the SEG names the frame that it lies on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom

from overread.dicom.export import export
from overread.dicom.scan import scanned
from overread.domain.finding import Findings, Mask, Reader
from overread.session.review import draw_new

READER = Reader("Ada Lovelace")


def test_frames_of_several_segments_are_those_of_the_file(data: Path, tmp_path: Path) -> None:
    folder = data / "dicom" / "multiframe" / "enhanced-mr-philips-fieldmap"
    source = pydicom.dcmread(next(folder.glob("*.dcm")), stop_before_pixels=True)
    stacks = list(scanned((folder,), tmp_path).stacks)
    assert sorted(stack.frames[0].index for stack in stacks) == [0, 32]
    for stack in stacks:
        findings: Findings = ()
        for n in range(3):
            voxels = np.zeros(stack.grid.shape, bool)
            voxels[8 + n : 12 + n, 10:20, 10 + 12 * n : 20 + 12 * n] = True
            _, findings, _ = draw_new(findings, Mask.of(voxels), stack, READER)
        seg, _ = export(stack, findings, tmp_path / stack.uid, READER)
        numbers = []
        for group in pydicom.dcmread(seg.path).PerFrameFunctionalGroupsSequence:
            number = int(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
            theirs = source.PerFrameFunctionalGroupsSequence[number - 1].PlanePositionSequence[0]
            place = group.PlanePositionSequence[0].ImagePositionPatient
            np.testing.assert_allclose(place, theirs.ImagePositionPatient, atol=1e-3)
            numbers.append(number)
        assert set(numbers) == {frame.index + 1 for frame in stack.frames}
