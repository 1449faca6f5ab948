"""Findings → files, all of them or none."""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    OphthalmicPhotography8BitImageStorage,
    OphthalmicPhotography16BitImageStorage,
    SecondaryCaptureImageStorage,
)

from overread.dicom.check import check
from overread.dicom.quiet import quiet
from overread.dicom.source import SourceHeaders, source_headers
from overread.dicom.write_seg import write_seg
from overread.dicom.write_sr import write_sr
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Reader
from overread.domain.study import Stack

# Pictures whose kind of object asks for no frame of reference, so that segmentations of them need none either.
_PLACELESS = frozenset(
    {
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        OphthalmicPhotography8BitImageStorage,
        OphthalmicPhotography16BitImageStorage,
        SecondaryCaptureImageStorage,
    }
)
# Far above what scanners use, so that derived series sort behind the images.
_SERIES_NUMBERS = 9000


@dataclass(frozen=True)
class Written:
    """A file that was put in place. `remark` says in a sentence what could not go with it; "" where all went."""

    path: Path
    kind: str
    sop_instance_uid: str
    remark: str = ""


def carries_outlines(stack: Stack) -> bool:
    """Whether a segmentation can refer to a stack: by its place in the patient, or to the one picture that it is."""
    return stack.grid.oriented or (len(stack.frames) == 1 and stack.sop_class_uid in _PLACELESS)


def export(stack: Stack, findings: Sequence[Finding], folder: Path, reader: Reader) -> tuple[Written, ...]:
    """Write what a reader accepted on one stack as SEG and SR, check it, and put it into `folder` in one go.

    Findings without voxels need no SEG: the SR leaves alone then. Where the stack cannot carry a SEG, findings with
    voxels stay behind, and the SR's `remark` says so. UserError where there is nothing to export, the check fails or
    the disk does; nothing is left behind then.
    """
    leaving = [finding for finding in findings if finding.status.leaves and not finding.erased]
    if not leaving:
        raise UserError("There is nothing to export.", "Accept or edit a finding first.")
    remark, staying = "", [finding for finding in leaving if finding.mask and not carries_outlines(stack)]
    if staying:
        leaving = [finding for finding in leaving if finding not in staying]
        remark = "This image has no place in the patient, so no segmentation can refer to it"
        if not leaving:
            raise UserError(f"{remark}.")
        remark += f": {', '.join(finding.title for finding in staying)} did not leave."
    place = (stack.identity.study_uid, stack.identity.series_uid, *(frame.sop_instance_uid for frame in stack.frames))
    if not all(place):
        raise UserError("These images carry no UIDs, so nothing can refer to them.")
    try:
        # Names of one component and the like are copied as they are, whatever the libraries think of them.
        with quiet():
            headers = source_headers(stack)
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".overread-", dir=folder) as partial:
                written = _write(stack, headers, leaving, Path(partial), reader)
                check([item.path for item in written], headers, leaving)
                return _put_in_place([*written[:-1], replace(written[-1], remark=remark)], folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror or error}.", "Choose another folder or free some space."
        ) from error


def _write(
    stack: Stack, headers: SourceHeaders, findings: list[Finding], folder: Path, reader: Reader
) -> list[Written]:
    number = _SERIES_NUMBERS + 2 * ((stack.identity.series_number or 0) % 400)
    drawn = [finding for finding in findings if finding.mask]
    segmentation = write_seg(stack, headers, drawn, reader, number) if drawn else None
    report = write_sr(stack, headers, findings, segmentation, reader, number + 1)
    written = [] if segmentation is None else [_save(segmentation, "SEG", stack, folder)]
    return [*written, _save(report, "SR", stack, folder)]


def _save(dataset: Dataset, kind: str, stack: Stack, folder: Path) -> Written:
    name = re.sub(r"[^A-Za-z0-9]+", "-", stack.identity.series_description).strip("-") or "series"
    uid = str(dataset.SOPInstanceUID)
    path = folder / f"{kind}_{stack.identity.series_number or 0:03d}_{name[:40]}_{uid[-8:]}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return Written(path, kind, uid)


def _put_in_place(written: Sequence[Written], folder: Path) -> tuple[Written, ...]:
    """Move the files; if one cannot be moved, those already there are taken back. What was there stays."""
    placed: list[Written] = []
    try:
        for item in written:
            target = folder / item.path.name
            if target.exists():
                raise FileExistsError(errno.EEXIST, f"{target.name} is there already")
            item.path.replace(target)
            placed.append(replace(item, path=target))
    except OSError:
        for item in placed:
            item.path.unlink(missing_ok=True)
        raise
    return tuple(placed)
