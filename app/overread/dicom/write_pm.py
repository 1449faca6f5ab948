"""A heatmap → a DICOM Parametric Map (PS3.3 A.75), float32, in the very cells that the model's layer has.

Nothing is interpolated: a cell of the map is a pixel of the object, as many millimetres large as it is, and lies where
the network looked. Viewers that lay it over the image interpolate as they please.
"""

from __future__ import annotations

from dataclasses import dataclass

import highdicom as hd
import numpy as np
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.valuerep import format_number_as_ds

from overread.dicom.equipment import equipment
from overread.dicom.source import SourceHeaders, carry_over, person_name
from overread.dicom.write_sc import source_item
from overread.dicom.write_seg import algorithm_name, concept
from overread.domain.finding import Finding, Reader
from overread.domain.geometry import Floats, Grid, plane_axes
from overread.domain.heatmap import Heatmap

_SOMEWHERE = CodedConcept("91723000", "SCT", "Anatomical structure")
_PAIRED = frozenset({"39607008", "76752008", "64033007", "81745001"})  # lung, breast, kidney, eye
# What a network's layer says for a class has no code in the standard yet.
ACTIVATION = CodedConcept("OR0020", "99OVERREAD", "Class activation")


@dataclass(frozen=True, eq=False)
class Lattice:
    """Where a heatmap's cells lie: LPS mm of the middle of the first cell, unit vectors along a row and down a column.

    `spacing` is the distance of cells down and across, `thickness` that of slices, mm.
    """

    position: Floats
    along: Floats
    down: Floats
    spacing: tuple[float, float]
    thickness: float

    @property
    def square(self) -> bool:
        """Whether rows and columns are at right angles, as DICOM asks (PS3.3 C.7.6.2.1.1)."""
        return abs(float(self.along @ self.down)) < 1e-4


def lattice(heatmap: Heatmap, grid: Grid) -> Lattice:
    """The cells of a heatmap in the patient."""
    axes = plane_axes(grid, heatmap.plane)
    row0, column0, row1, column1 = heatmap.extent
    rows, columns = heatmap.shape

    def middle(row: float, column: float) -> Floats:
        down = row0 + (row + 0.5) * (row1 - row0) / rows - 0.5
        across = column0 + (column + 0.5) * (column1 - column0) / columns - 0.5
        return grid.to_lps(axes.to_index(down, across, heatmap.index, grid.shape))

    first = middle(0, 0)
    down, along = middle(1, 0) - first, middle(0, 1) - first
    spacing = float(np.linalg.norm(down)), float(np.linalg.norm(along))
    return Lattice(first, along / spacing[1], down / spacing[0], spacing, grid.spacing[axes.through])


def sources(heatmap: Heatmap, headers: SourceHeaders) -> list[int]:
    """The slices (k) that a map was computed from: its own, or all that it runs across."""
    grid = headers.stack.grid
    return [heatmap.index] if plane_axes(grid, heatmap.plane).through == 0 else list(range(grid.shape[0]))


def _of(heatmap: Heatmap) -> str:
    """Which method's map, and of what class where it is of one."""
    return f"{heatmap.method} for {heatmap.label}" if heatmap.label else heatmap.method


def derivation(finding: Finding, heatmap: Heatmap, grid: Grid) -> str:
    """What the map is: class, method, layer, true resolution, model, and what ran it."""
    down, across = lattice(heatmap, grid).spacing
    rows, columns = heatmap.shape
    says = "speaks for the class, below 0 against it" if heatmap.label else "stands out to the network"
    model = ""
    if finding.model is not None:
        backend = heatmap.backend or finding.model.backend
        model = f" Model: {algorithm_name(finding.model)}, version {finding.model.version}, run by {backend}."
    return (
        f"{_of(heatmap)}, layer {heatmap.layer}: {rows} x {columns} cells of {down:.1f} x {across:.1f} mm, in the "
        f"units of the network's activations; the greater, the more {says}. Finding {finding.title}, tracking UID "
        f"{finding.id}.{model} Not for diagnosis."
    )


def write_pm(
    headers: SourceHeaders,
    finding: Finding,
    heatmap: Heatmap,
    reader: Reader,
    series_uid: str,
    series_number: int,
    instance_number: int,
) -> Dataset:
    """One parametric map with one frame: the heatmap of a finding, on a stack that lies in the patient."""
    stack, values, cells = headers.stack, heatmap.values, lattice(heatmap, headers.stack.grid)
    greatest = max(float(values.max()), 1e-6)
    orientation = [float(format_number_as_ds(float(part))) for part in (*cells.along, *cells.down)]
    parametric = ParametricMap(
        source_images=list(headers.images),
        pixel_array=values[None],
        series_instance_uid=series_uid,
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=instance_number,
        **equipment(),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            RealWorldValueMapping(
                lut_label="ACTIVATION",
                lut_explanation=_of(heatmap)[:64],
                unit=codes.UCUM.NoUnits,
                value_range=(float(values.min()), greatest),
                quantity_definition=ACTIVATION,
            )
        ],
        # Exact: activations are often below 1, and the other function asks for a width of at least 1 (C.11.2.1.2.1).
        voi_lut_transformations=[
            hd.VOILUTTransformation(window_center=greatest / 2, window_width=greatest, voi_lut_function="LINEAR_EXACT")
        ],
        content_label="HEATMAP",
        content_description=f"{heatmap.method}, layer {heatmap.layer}"[:64],
        content_creator_name=person_name(reader.name),
        pixel_measures=hd.PixelMeasuresSequence(
            pixel_spacing=cells.spacing, slice_thickness=cells.thickness, spacing_between_slices=cells.thickness
        ),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", orientation),
        plane_positions=[hd.PlanePositionSequence("PATIENT", [float(part) for part in cells.position])],
        series_description=f"AI {stack.identity.series_description} heatmap".strip()[:64],
    )
    carry_over(headers.first, parametric)
    (frame,) = parametric.PerFrameFunctionalGroupsSequence
    parametric.SharedFunctionalGroupsSequence[0].pop("DerivationImageSequence", None)
    frame.DerivationImageSequence = [_derived(finding, heatmap, headers)]
    frame.FrameAnatomySequence = [_anatomy(finding, headers)]
    return parametric


def _anatomy(finding: Finding, headers: SourceHeaders) -> Dataset:
    """The Frame Anatomy Macro (PS3.3 C.7.6.16.2.8), without which dcmqi ends in a fault.

    The side is that of the image where its header has one; else a slice shows both sides of what is paired.
    """
    item, region = Dataset(), concept(finding.anatomy) if finding.anatomy else _SOMEWHERE
    stated = headers.first.get("ImageLaterality") or headers.first.get("Laterality")
    item.FrameLaterality = stated or ("B" if region.CodeValue in _PAIRED else "U")
    item.AnatomicRegionSequence = [region]
    return item


def _derived(finding: Finding, heatmap: Heatmap, headers: SourceHeaders) -> Dataset:
    """The Derivation Image Macro (PS3.3 C.7.6.16.2.6) of the one frame."""
    item = Dataset()
    item.DerivationDescription = derivation(finding, heatmap, headers.stack.grid)[:1024]
    item.DerivationCodeSequence = [CodedConcept.from_code(codes.DCM.UnspecifiedMethodOfCalculation)]
    item.SourceImageSequence = [source_item(headers, k) for k in sources(heatmap, headers)]
    return item
