"""What the readers of derived objects have in common: codes, sources, and what they hand back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset

from overread.dicom.quiet import quiet
from overread.domain.errors import UserError
from overread.domain.finding import Code, Finding, Kind, Mask, ModelSource, Status
from overread.domain.geometry import Index
from overread.domain.heatmap import Heatmap
from overread.domain.objects import ObjectSource
from overread.domain.study import DerivedObject, Stack, Window
from overread.domain.uids import uid_of

# What is drawn without a code is some tissue: more is not known.
TISSUE = Code("85756007", "SCT", "Tissue")
# For what brings no colour of its own: told apart also by the colour-blind (Okabe and Ito, 2008).
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


@dataclass(frozen=True)
class Found:
    """What an object holds for one stack.

    `notices` name, one sentence each, what could not be shown; `windows` are those that it offers. `segments` tells
    which finding a segment of a segmentation has become, by SOP Instance UID and number; `maps` holds the values of
    parametric maps, slice by slice, by the finding that they belong to.
    """

    findings: tuple[Finding, ...] = ()
    notices: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    segments: Mapping[tuple[str, int], Finding] = field(default_factory=dict)
    maps: Mapping[str, tuple[Heatmap, ...]] = field(default_factory=dict)


def opened(derived: DerivedObject) -> Dataset:
    """The object itself. UserError where the file is gone, or another one by now."""
    path = Path(derived.path)
    try:
        stat = path.stat()
        if (stat.st_size, stat.st_mtime_ns) != derived.stamp:
            raise UserError(f"{derived.source.title}: the file changed since the study was opened.")
        with quiet():
            return pydicom.dcmread(path)
    except OSError as error:
        raise UserError(f"{derived.source.title}: the file cannot be read any more.") from error


def blank(
    stack: Stack,
    derived: DerivedObject,
    tracking_uid: str,
    place: str,
    number: int,
    *,
    said: tuple[tuple[str, str], ...] = (),
    **facts: Any,
) -> Finding:
    """A proposal read from an object, with nothing in it yet.

    Its id is the tracking UID; where there is none, one that follows from the object, the stack and its `place` in
    the object, so that the same file read again says nothing new.
    """
    known: dict[str, Any] = {
        "id": tracking_uid or uid_of(derived.source.sop_instance_uid, stack.uid, place),
        "stack_uid": stack.uid,
        "series_uid": stack.identity.series_uid,
        "number": number,
        "label": "Finding",
        "concept": TISSUE,
        "category": TISSUE,
        "anatomy": None,
        "colour": _COLOURS[(number - 1) % len(_COLOURS)],
        "mask": nothing(stack.grid.shape),
        "measures": None,
        "score": None,
        "model": None,
        "status": Status.PROPOSED,
        "source": replace(derived.source, said=said),
        "kind": Kind.SEGMENTATION,
    }
    return Finding(**{**known, **facts})


def nothing(shape: Index) -> Mask:
    """No voxel of a grid."""
    return Mask(shape, (0, 0, 0), (0, 0, 0), b"")


def remarked(source: ObjectSource, *remarks: str) -> ObjectSource:
    """The source with what it took to show the finding."""
    return replace(source, remark=" ".join(filter(None, (source.remark, *remarks))))


def code_of(sequence: Any) -> Code | None:
    """The first code of a sequence, long and URN codes too (PS3.3 8.8); None where there is none."""
    item = sequence[0] if sequence else None
    if item is None:
        return None
    value = str(item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or "")
    meaning = str(item.get("CodeMeaning") or "")
    return Code(value, str(item.get("CodingSchemeDesignator") or ""), meaning) if value or meaning else None


def moment(derived: DerivedObject) -> datetime:
    """Content date and time; the file's own where the header is silent. A time without a zone counts as UTC."""
    digits = derived.when.split(".")[0]
    for form in ("%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d"):
        try:
            return datetime.strptime(digits, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return datetime.fromtimestamp(derived.stamp[1] / 1e9, UTC)


def model_source(name: str, version: str, sha256: str, backend: str, derived: DerivedObject) -> ModelSource:
    """An algorithm as the object names it; by our own names ("id sha256:…") the id stands before the hash."""
    own = name.split(" sha256:")[0].strip()
    digest = sha256 or (name.split(" sha256:")[1].strip() if " sha256:" in name else "")
    return ModelSource(own, own, version, digest, backend, moment(derived))


def count(number: int, one: str, several: str) -> str:
    """A number and what it counts: 1 contour, 3 contours."""
    return f"{number} {one if number == 1 else several}"


def masked(parts: dict[int, np.ndarray[Any, np.dtype[np.bool_]]], shape: Index) -> Mask:
    """Pictures of slices (rows, columns) by their number, as one mask of the grid."""
    held = {k: picture for k, picture in parts.items() if picture.any()}
    if not held:
        return nothing(shape)
    rows = np.flatnonzero(np.any([picture.any(axis=1) for picture in held.values()], axis=0))
    columns = np.flatnonzero(np.any([picture.any(axis=0) for picture in held.values()], axis=0))
    k, j, i = min(held), int(rows[0]), int(columns[0])
    block = np.zeros((max(held) - k + 1, int(rows[-1]) - j + 1, int(columns[-1]) - i + 1), np.bool_)
    for number, picture in held.items():
        block[number - k] = picture[j : j + block.shape[1], i : i + block.shape[2]]
    return Mask.of(block, (k, j, i), shape)


def colour_of(lab: Any) -> str:
    """A Recommended Display CIELab Value as "#RRGGBB"."""
    from highdicom.color import CIELabColor  # a slow import, wanted with the first object and not at start-up

    return "#{:02X}{:02X}{:02X}".format(*CIELabColor.from_dicom_value(tuple(lab)).to_rgb())
