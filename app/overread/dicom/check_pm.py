"""The self-check of parametric maps: the very activations, in the very cells, of the very finding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset

from overread.dicom.product import require
from overread.dicom.source import SourceHeaders
from overread.dicom.write_pm import ACTIVATION, sources
from overread.domain.finding import Finding
from overread.domain.geometry import plane_axes
from overread.domain.heatmap import Heatmap

# In pixels of the source's slice.
_NEAR = 1e-3


def check_pm(path: Path, headers: SourceHeaders, finding: Finding, heatmap: Heatmap) -> Dataset:
    """Read a map back and compare it with the heatmap of the finding; returns its header. Wrong where it differs."""
    written = pydicom.dcmread(path)
    values = np.atleast_3d(np.asarray(written.pixel_array))
    require(written.pixel_array.dtype == np.float32, "its values are no 32-bit floating-point numbers")
    require(np.array_equal(values.reshape(heatmap.shape), heatmap.values), "its values are not those of the heatmap")
    require(int(written.get("NumberOfFrames", 1)) == 1, "it has another number of frames")
    _geometry(written, headers, heatmap)
    (frame,) = written.PerFrameFunctionalGroupsSequence
    (derived,) = frame.DerivationImageSequence
    named = [
        (str(item.ReferencedSOPInstanceUID), int(item.get("ReferencedFrameNumber", 1)) - 1)
        for item in derived.SourceImageSequence
    ]
    expected = [
        (source.sop_instance_uid, source.index)
        for source in (headers.stack.frames[k] for k in sources(heatmap, headers))
    ]
    require(named == expected, "it refers to other images than it was computed from")
    said = str(derived.DerivationDescription)
    about = [finding.id, heatmap.method, heatmap.layer, heatmap.label, f"{heatmap.shape[0]} x {heatmap.shape[1]} cells"]
    if finding.model is not None:
        about += [finding.model.sha256[:12], finding.model.version, heatmap.backend or finding.model.backend]
    require(
        all(part in said for part in about), "it does not say of what it is, by which method and model, or how fine"
    )
    mapping = _macro("RealWorldValueMappingSequence", written)
    require((mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0), "its values mean something else")
    quantity = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    require(quantity.CodeValue == ACTIVATION.value, "it is the map of another quantity")
    return written


def _macro(keyword: str, written: Dataset) -> Dataset:
    """A functional group of the frame, which stands with the frame or with all of them (PS3.3 C.7.6.16.1)."""
    shared = written.SharedFunctionalGroupsSequence[0]
    found: Dataset = (written.PerFrameFunctionalGroupsSequence[0].get(keyword) or shared[keyword].value)[0]
    return found


def _geometry(written: Dataset, headers: SourceHeaders, heatmap: Heatmap) -> None:
    """The corners of the written cells, taken back to pixels of the source's slice, are the heatmap's extent."""
    grid = headers.stack.grid
    require(
        written.get("FrameOfReferenceUID") == headers.first.FrameOfReferenceUID, "it has another frame of reference"
    )
    measures, turned = _macro("PixelMeasuresSequence", written), _macro("PlaneOrientationSequence", written)
    corner = np.array(_macro("PlanePositionSequence", written).ImagePositionPatient, float)
    cosines = np.array(turned.ImageOrientationPatient, float)
    down_mm, across_mm = (float(value) for value in measures.PixelSpacing)
    axes = plane_axes(grid, heatmap.plane)
    row0, column0, row1, column1 = heatmap.extent
    for row, column in ((-0.5, -0.5), (heatmap.shape[0] - 0.5, heatmap.shape[1] - 0.5)):
        index = grid.to_index(corner + cosines[:3] * column * across_mm + cosines[3:] * row * down_mm)
        require(abs(float(index[axes.through]) - heatmap.index) < _NEAR, "it lies on another slice")
        there = np.array(axes.to_picture(index, grid.shape)) + 0.5
        meant = np.array((row0, column0) if row < 0 else (row1, column1))
        require(bool(np.abs(there - meant).max() < _NEAR), "it lies in another place")
