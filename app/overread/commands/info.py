"""`overread info`: what a path holds."""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from overread.commands.answers import emit, numbers, say
from overread.dicom.codecs import Undecodable
from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.domain.errors import UserError
from overread.domain.study import Catalogue, DerivedObject, Series, Stack, Study
from overread.session.scratch import Scratch


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("path", nargs="+", type=Path, help="file, folder, zip or DICOMDIR")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--hash", action="store_true", help="add the SHA-256 of the stored voxels")


def run(arguments: argparse.Namespace) -> int:
    """Scan and print."""
    with Scratch() as scratch:
        catalogue = scanned(tuple(arguments.path), scratch)
        if not catalogue.patients:
            reasons = {skipped.reason for skipped in catalogue.skipped}
            why = f" ({'; '.join(sorted(reasons))})" if reasons else ""
            raise UserError(f"No DICOM images were found{why}.", "Name the folder that holds the study.")
        if arguments.json:
            emit(answer(catalogue, with_hash=arguments.hash))
        else:
            _print(catalogue, with_hash=arguments.hash)
    return 0


def answer(catalogue: Catalogue, *, with_hash: bool) -> dict[str, Any]:
    """The JSON answer."""
    return {
        "patients": [
            {
                "id": patient.id,
                "name": patient.name,
                "studies": [
                    {
                        "uid": study.uid,
                        "date": study.date,
                        "description": study.description,
                        "series": [_series(series, with_hash) for series in study.series],
                        "objects": [_object(each, study) for each in study.objects],
                    }
                    for study in patient.studies
                ],
            }
            for patient in catalogue.patients
        ],
        "skipped": [{"path": skipped.path, "reason": skipped.reason} for skipped in catalogue.skipped],
    }


def _series(series: Series, with_hash: bool) -> dict[str, Any]:
    return {
        "uid": series.uid,
        "number": series.number,
        "modality": series.modality,
        "description": series.description,
        "stacks": [_stack(stack, with_hash) for stack in series.stacks],
    }


def _object(each: DerivedObject, study: Study) -> dict[str, Any]:
    """A segmentation, report and the like, and the series of the study that it speaks of."""
    of = each.source
    return {
        "path": each.path,
        "kind": of.kind,
        "sop_class_uid": of.sop_class_uid,
        "sop_instance_uid": of.sop_instance_uid,
        "description": of.description,
        "manufacturer": of.manufacturer,
        "model": of.model_name,
        "date": of.date,
        "series": [s.uid for s in study.series if any(stack.uid in each.stacks for stack in s.stacks)],
    }


def _stack(stack: Stack, with_hash: bool) -> dict[str, Any]:
    grid, first = stack.grid, stack.frames[0]
    slopes, intercepts = {f.slope for f in stack.frames}, {f.intercept for f in stack.frames}
    problems = [{"code": problem.code, "text": problem.text} for problem in stack.problems]
    described: dict[str, Any] = {
        "shape": list(grid.shape),
        "spacing_mm": numbers(grid.spacing) if grid.calibrated else None,
        "origin_mm": numbers(grid.origin) if grid.oriented else None,
        "direction": [numbers(row, 9) for row in grid.directions[:, ::-1]] if grid.oriented else None,
        "dtype": stack.encoding.dtype.name,
        "slope": first.slope if len(slopes) == 1 else [frame.slope for frame in stack.frames],
        "intercept": first.intercept if len(intercepts) == 1 else [frame.intercept for frame in stack.frames],
        "transfer_syntax": first.transfer_syntax,
        "frames": len(stack.frames),
        "role": stack.role,
        "problems": problems,
    }
    if stack.made_from:
        described["made_from"] = stack.made_from
    if with_hash:
        digest, trouble = voxel_hash(stack)
        described["sha256"] = digest
        if trouble:
            problems.append({"code": "unreadable", "text": trouble})
    return described


def voxel_hash(stack: Stack) -> tuple[str | None, str]:
    """SHA-256 of the stored voxels, little-endian, C order (k, j, i), and why there is none."""
    try:
        voxels = loaded(stack).voxels
    except Undecodable as error:
        return None, str(error)
    little = np.ascontiguousarray(voxels, dtype=voxels.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest(), ""


def _print(catalogue: Catalogue, *, with_hash: bool) -> None:
    for patient in catalogue.patients:
        say(f"{patient.name or 'No name'} · {patient.id or 'no ID'}")
        for study in patient.studies:
            say(f"  {study.date or 'no date'} · {study.description or 'no description'}")
            for series in study.series:
                for stack in series.stacks:
                    shape = "×".join(str(n) for n in stack.grid.shape)
                    digest = f" · {' '.join(filter(None, voxel_hash(stack)))}" if with_hash else ""
                    say(f"    {series.number or '–'} {series.modality} {series.description} · {shape}{digest}")
                    for problem in stack.problems:
                        say(f"      ⚠ {problem.text}")
            for each in study.objects:
                say(f"    {each.source.title}{f' · {each.source.date}' if each.source.date else ''}")
    if catalogue.skipped:
        say(f"{len(catalogue.skipped)} other files left out:")
        for skipped in catalogue.skipped:
            say(f"  {skipped.path}: {skipped.reason}")
    sys.stdout.flush()
