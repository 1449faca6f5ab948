"""Findings for research: label maps (NIfTI, NRRD as 3D Slicer reads it) and a legend.

Nothing here names the patient: no name, no number, no dates, and the series only by its number and modality. The
tracking UID of a finding leads back to the DICOM objects that left with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from overread import __version__
from overread.dicom.product import Parcel
from overread.domain.finding import Code, Finding
from overread.domain.geometry import Floats, Grid
from overread.domain.study import Stack
from overread.domain.volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

# Uneven steps of a scanner's table may shift slices by this part of a pixel, and the stack still counts as straight.
_SIDEWAYS = 0.25


def nameless(parcel: Parcel, ending: str, detail: str) -> Path:
    """A file name that says nothing of a person: what a series is called may hold a name, its modality does not."""
    who = parcel.stack.identity
    series = f"{who.series_number or 0:03d}_{who.modality or 'OT'}"
    return parcel.folder / f"{parcel.product.upper()}_{series}_{detail}_{parcel.tag}.{ending}"


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Findings in one volume: `voxels` (k, j, i), 0 where nothing is, n in the voxels of `findings[n - 1]`."""

    voxels: NDArray[np.unsignedinteger[Any]]
    findings: tuple[Finding, ...]


def label_maps(findings: Sequence[Finding], grid: Grid) -> list[LabelMap]:
    """One label map for all findings where no two of them share a voxel, else one for each."""
    whole = np.zeros(grid.shape, np.uint8 if len(findings) < 256 else np.uint16)
    for number, finding in enumerate(findings, start=1):
        part, inner = whole[finding.mask.box], finding.mask.inner
        if part[inner].any():
            return [LabelMap(single.mask.voxels.astype(np.uint8), (single,)) for single in findings]
        part[inner] = number
    return [LabelMap(whole, tuple(findings))]


def without_volume(stack: Stack, finding: Finding) -> str:
    """Why a finding has no place in a label map, "" where it has.

    The formats know straight grids with even steps alone: a sheared or uneven stack would be drawn as another body.
    """
    if not finding.mask:
        return "It has no outline."
    if not stack.grid.oriented:
        return ""
    if sideways_mm(stack.grid) > _SIDEWAYS * min(stack.grid.spacing[1:]):
        return "Its slices are sheared, which label maps for research do not know."
    return "" if stack.measurable else "Its slices do not lie on an even grid, and label maps know no other."


def without_surface(stack: Stack, finding: Finding) -> str:
    """Why a finding has no surface in millimetres, "" where it has."""
    if not finding.mask:
        return "It has no outline."
    return "" if stack.measurable else "Millimetres do not hold on this image, so it has no surface."


def sideways_mm(grid: Grid) -> float:
    """How far the last slice lies beside the first one: 0 where the steps run along the normal."""
    step = (grid.shape[0] - 1) * grid.affine[:3, 0]
    normal = _normal(grid)
    return float(np.linalg.norm(step - (step @ normal) * normal))


def _normal(grid: Grid) -> Floats:
    """Unit vector at right angles to the slices, on the side to which k grows."""
    normal = np.cross(grid.directions[:, 2], grid.directions[:, 1])
    return np.asarray(normal * np.sign(normal @ grid.directions[:, 0]) / np.linalg.norm(normal))


def image_of(voxels: NDArray[Any], grid: Grid) -> sitk.Image:
    """Voxels (k, j, i) where the grid has them; SimpleITK turns LPS into what a format wants (RAS in NIfTI).

    Slices lie straight above each other, so the last one may be `sideways_mm` off. Without orientation the axes are
    those of the picture, in pixels unless it is calibrated.
    """
    import SimpleITK as sitk  # a slow import, wanted with the first export and not at start-up

    image = sitk.GetImageFromArray(voxels, isVector=voxels.ndim == 4)
    _, down, across = grid.spacing
    normal = _normal(grid)
    image.SetSpacing((across, down, float(normal @ grid.affine[:3, 0])))
    if grid.oriented:
        axes = np.stack([grid.directions[:, 2], grid.directions[:, 1], normal], axis=1)
        image.SetOrigin([float(part) for part in grid.origin])
        image.SetDirection([float(part) for part in axes.ravel()])
    return image


def real_voxels(volume: Volume) -> NDArray[Any]:
    """The image's values as they are stored where that is what they mean, else real values as float32."""
    plain = volume.stack.modality_lut is None and volume.uniform and (volume.slope[0], volume.intercept[0]) == (1, 0)
    if volume.colour or plain:
        return np.asarray(volume.voxels)
    whole = np.empty(volume.grid.shape, np.float32)
    for k in range(len(whole)):
        whole[k] = volume.real((slice(k, k + 1), slice(None), slice(None)))[0]
    return whole


def slicer_metadata(labels: LabelMap) -> dict[str, str]:
    """What 3D Slicer reads of a .seg.nrrd file: name, colour, label, extent and coded meaning of each segment."""
    found = {"Segmentation_MasterRepresentation": "Binary labelmap", "Segmentation_ContainedRepresentationNames": ""}
    for at, finding in enumerate(labels.findings):
        (k, j, i), (slices, rows, columns) = finding.mask.start, finding.mask.extent
        red, green, blue = (int(finding.colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
        found |= {
            f"Segment{at}_ID": f"Segment_{at + 1}",
            f"Segment{at}_Name": finding.title,
            f"Segment{at}_NameAutoGenerated": "0",
            f"Segment{at}_Color": f"{red:.6f} {green:.6f} {blue:.6f}",
            f"Segment{at}_ColorAutoGenerated": "0",
            f"Segment{at}_LabelValue": str(at + 1),
            f"Segment{at}_Layer": "0",
            f"Segment{at}_Extent": f"{i} {i + columns - 1} {j} {j + rows - 1} {k} {k + slices - 1}",
            f"Segment{at}_Tags": f"Segmentation.Status:completed|TerminologyEntry:{_terminology(finding)}|",
        }
    return found


def _terminology(finding: Finding) -> str:
    """Coded category, type and region in 3D Slicer's own notation."""
    region = _triplet(finding.anatomy) if finding.anatomy else "^^"
    return (
        f"Segmentation category and type - DICOM master list~{_triplet(finding.category)}~{_triplet(finding.concept)}"
        f"~^^~Anatomic codes - DICOM master list~{region}~^^"
    )


def _triplet(code: Code) -> str:
    return f"{code.scheme}^{code.value}^{code.meaning}"


def legend(stack: Stack, entries: Sequence[tuple[str, int, Finding]]) -> dict[str, Any]:
    """What the files of a product mean, for machines: `entries` are file name, label value and finding."""
    return {
        "made_by": f"Overread {__version__}, not for clinical use",
        "modality": stack.identity.modality,
        "series_number": stack.identity.series_number,
        "grid": {
            "shape": list(stack.grid.shape),
            "spacing_mm": list(stack.grid.spacing),
            "oriented": stack.grid.oriented,
            "calibrated": stack.grid.calibrated,
        },
        "problems": [problem.text for problem in stack.problems],
        "labels": [{"file": name, "value": value, **_entry(finding)} for name, value, finding in entries],
    }


def _entry(finding: Finding) -> dict[str, Any]:
    size, model = finding.measures, finding.model
    return {
        "name": finding.title,
        "code": _code(finding.concept),
        "category": _code(finding.category),
        "anatomy": _code(finding.anatomy) if finding.anatomy else None,
        "colour": finding.colour,
        "kind": finding.kind.value,
        "status": finding.status.value,
        "score": finding.score,
        "voxels": finding.mask.count,
        "volume_ml": size.volume_ml if size else None,
        "model": {"id": model.id, "version": model.version, "sha256": model.sha256} if model else None,
        "tracking_uid": finding.id,
    }


def _code(code: Code) -> dict[str, str]:
    return {"value": code.value, "scheme": code.scheme, "meaning": code.meaning}
