"""Presentation states: what others say of them, how DCMTK shows an image through them, and what the check notices."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from overread.dicom.check import gate
from overread.dicom.load import loaded
from overread.dicom.product import Parcel
from overread.dicom.quiet import quiet
from overread.domain.errors import UserError
from overread.domain.finding import Act, Code, Finding, Kind, Mask, Status
from overread.domain.geometry import Plane, acquired_plane
from overread.domain.heatmap import Heatmap
from overread.domain.measurement import Measurement, Shape, Value
from overread.domain.study import Stack, Window
from overread.render.grey import grey
from overread.session.products_documents import GSPS
from support.findings import READER, WHEN, finding, opened
from support.parcels import faults, lump, lumps, parcel
from support.series import write_series

REAL = [
    "glioma-fg6692/05_FLAIR_AX",
    "ct-gantry-tilt",
    "multiframe/enhanced-mr-philips-fieldmap",
    "codecs/wg04/US1_UNC.dcm",
    "chest-xray",
]


def written(made: Parcel) -> list[Path]:
    with quiet():
        paths = list(GSPS.write(made))
    gate(made, GSPS, paths)
    return paths


def filled_by_opencv(path: Path, stack: Stack, name: str) -> NDArray[np.bool_]:
    """The voxels within the outlines on a layer, filled by OpenCV at four times the size."""
    order = {(frame.sop_instance_uid, frame.index + 1): k for k, frame in enumerate(stack.frames)}
    voxels = np.zeros(stack.grid.shape, bool)
    for item in pydicom.dcmread(path).GraphicAnnotationSequence:
        (image,) = item.ReferencedImageSequence
        if item.GraphicLayer == name:
            lines = [np.array(graphic.GraphicData).reshape(-1, 2) for graphic in item.GraphicObjectSequence]
            large = np.zeros([4 * size for size in stack.grid.shape[1:]], np.uint8)
            cv2.fillPoly(large, [np.rint(4 * line).astype(np.int32) for line in lines], 1)
            k = order[image.ReferencedSOPInstanceUID, int(image.get("ReferencedFrameNumber", 1))]
            voxels[k] = large[2::4, 2::4]
    return voxels


@pytest.mark.parametrize("name", REAL)
def test_real_series_give_states_that_others_accept(
    data: Path, tmp_path: Path, tool: Callable[[str], str], name: str
) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    findings = lumps(stack)
    (path,) = written(parcel(stack, findings, tmp_path / "out", "gsps"))
    assert not faults(path, tool)
    done = subprocess.run([tool("dcmpschk"), str(path)], capture_output=True, text=True, check=True)
    assert "Test passed" in done.stdout + done.stderr
    state = pydicom.dcmread(path)
    colour = stack.encoding.samples == 3
    assert state.SOPClassUID.name.startswith("Color Softcopy" if colour else "Grayscale Softcopy")
    for number, meant in enumerate(findings, start=1):
        assert np.array_equal(filled_by_opencv(path, stack, f"FINDING {number}"), meant.mask.voxels)
    texts = {text.UnformattedTextValue for item in state.GraphicAnnotationSequence for text in item.TextObjectSequence}
    assert "Glioma 2  0.90  edited  (glioma-flair 1.2.0)" in texts
    assert "Läsion 3  edited" in texts


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("glioma-fg6692/05_FLAIR_AX", None),
        ("codecs/wg04/CT1_UNC.dcm", Window(40, 400)),
        ("codecs/wg04/CT1_UNC.dcm", Window(40.5, 300.25, "", "LINEAR_EXACT")),
        ("codecs/wg04/MR4_UNC.dcm", None),
    ],
)
def test_dcmtk_shows_the_image_through_a_state_as_we_show_it(
    data: Path, tmp_path: Path, tool: Callable[[str], str], name: str, window: Window | None
) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    volume = loaded(stack)
    made = parcel(stack, lumps(stack), tmp_path / "out", "gsps", given=volume, window=window)
    (path,) = written(made)
    state = pydicom.dcmread(path).SoftcopyVOILUTSequence[0]
    seen = window or Window(float(state.WindowCenter), float(state.WindowWidth), "", state.get("VOILUTFunction"))
    k, picture = len(stack.frames) // 2, tmp_path / "theirs.pgm"
    command = [tool("dcmp2pgm"), "-p", str(path), stack.frames[k].path, str(picture)]
    subprocess.run(command, capture_output=True, check=True)
    theirs = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    ours = grey(volume.real((slice(k, k + 1), slice(None), slice(None)))[0], stack, seen, False)
    assert np.ptp(ours) > 100
    assert np.abs(theirs.astype(int) - ours).max() <= 1


@pytest.mark.parametrize(
    ("part", "side", "written_side"),
    [("KNEE", "L", "L"), ("ORBIT", None, ""), (None, None, ""), ("BRAIN", None, None), ("CHEST", None, None)],
)
def test_the_side_is_said_of_what_is_there_twice(
    tmp_path: Path, tool: Callable[[str], str], part: str | None, side: str | None, written_side: str | None
) -> None:
    facts = {"BodyPartExamined": part, "Laterality": side}
    write_series(tmp_path / "in", np.zeros((2, 8, 9), np.int16), **{name: of for name, of in facts.items() if of})
    stack = opened(tmp_path / "in", tmp_path)
    made = parcel(stack, [finding(stack, lump(stack))], tmp_path / "out", "gsps", window=Window(50, 100))
    (path,) = written(made)
    assert not faults(path, tool)
    state = pydicom.dcmread(path)
    assert (None if "Laterality" not in state else state.Laterality or "") == written_side


def test_a_negative_stays_one(tmp_path: Path, tool: Callable[[str], str]) -> None:
    ramp = np.arange(64 * 64, dtype=np.int16).reshape(1, 64, 64)
    write_series(tmp_path / "in", ramp, PhotometricInterpretation="MONOCHROME1", WindowCenter=2048, WindowWidth=4096)
    stack = opened(tmp_path / "in", tmp_path)
    (path,) = written(parcel(stack, [finding(stack, lump(stack), measures=None)], tmp_path / "out", "gsps"))
    picture = tmp_path / "theirs.pgm"
    subprocess.run([tool("dcmp2pgm"), "-p", str(path), stack.frames[0].path, str(picture)], check=True)
    theirs = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    ours = grey(ramp[0].astype(float), stack, Window(2048, 4096), False)
    assert ours[0, 0] > ours[-1, -1]
    assert np.abs(theirs.astype(int) - ours).max() <= 1


def test_slices_that_are_scaled_in_different_ways_get_states_of_their_own(
    tmp_path: Path, tool: Callable[[str], str]
) -> None:
    slopes = (1.0, 1.0, 2.5, 2.5, 0.125)
    write_series(tmp_path / "in", np.zeros((5, 16, 18), np.int16), RescaleSlope=slopes, RescaleIntercept=0)
    stack = opened(tmp_path / "in", tmp_path)
    voxels = np.zeros(stack.grid.shape, bool)
    voxels[1:4, 4:9, 5:10] = True
    made = parcel(stack, [finding(stack, voxels)], tmp_path / "out", "gsps", window=Window(50, 100))
    paths = written(made)
    states = [pydicom.dcmread(path) for path in paths]
    assert [float(state.RescaleSlope) for state in states] == [1.0, 2.5]
    assert [len(state.ReferencedSeriesSequence[0].ReferencedImageSequence) for state in states] == [2, 2]
    assert len({state.SeriesInstanceUID for state in states}) == 1
    assert not [fault for path in paths for fault in faults(path, tool)]


def _table(first: int, values: list[int], bits: int) -> Dataset:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [len(values), first, bits])
    table.add_new("LUTData", "OW", np.array(values, "<u2").tobytes())
    table.LUTExplanation = "Bone"
    return table


def test_tables_of_values_and_of_greys_go_with_the_state(tmp_path: Path, tool: Callable[[str], str]) -> None:
    ramp = np.arange(32 * 32, dtype=np.uint16).reshape(1, 32, 32)
    real = _table(0, [60 * value for value in range(1024)], 16)
    real.ModalityLUTType = "US"
    shades = _table(6000, [round(4095 * (at / 49999) ** 2) for at in range(50000)], 12)
    write_series(tmp_path / "in", ramp, ModalityLUTSequence=[real], VOILUTSequence=[shades])
    stack = opened(tmp_path / "in", tmp_path)
    volume = loaded(stack)
    (path,) = written(parcel(stack, [finding(stack, lump(stack), measures=None)], tmp_path / "out", "gsps"))
    assert not faults(path, tool)
    picture = tmp_path / "theirs.pgm"
    subprocess.run([tool("dcmp2pgm"), "-p", str(path), stack.frames[0].path, str(picture)], check=True)
    theirs = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    ours = grey(volume.real((slice(0, 1), slice(None), slice(None)))[0], stack, Window(0, 1, "", "LUT"), False)
    assert np.ptp(ours) > 200
    assert np.abs(theirs.astype(int) - ours).max() <= 1


def test_lines_too_long_for_one_object_go_on_in_the_next(tmp_path: Path, tool: Callable[[str], str]) -> None:
    write_series(tmp_path / "in", np.zeros((1, 200, 220), np.int16))
    stack = opened(tmp_path / "in", tmp_path)
    row, column = np.indices((200, 220))
    comb = np.asarray((column % 4 == 0) | (row == 0) | ((column % 4 == 1) & (row % 2 == 0)))[None]
    made = parcel(stack, [finding(stack, comb, measures=None)], tmp_path / "out", "gsps", window=Window(50, 100))
    (path,) = written(made)
    assert not faults(path, tool)
    (item,) = pydicom.dcmread(path).GraphicAnnotationSequence
    assert len(item.GraphicObjectSequence) > 1


# What is no outline


def test_a_box_is_a_rectangle(stack: Stack, tmp_path: Path) -> None:
    voxels = np.zeros(stack.grid.shape, bool)
    voxels[2:4, 3:7, 5:11] = True
    box = finding(stack, voxels, kind=Kind.DETECTION, box=(2, 3, 5, 4, 7, 11), measures=None)
    (path,) = written(parcel(stack, [box], tmp_path / "out", "gsps", window=Window(50, 100)))
    items = pydicom.dcmread(path).GraphicAnnotationSequence
    assert len(items) == 2
    for item in items:
        (line,) = item.GraphicObjectSequence
        corners = np.array(line.GraphicData).reshape(-1, 2).tolist()
        assert corners == [[5, 3], [11, 3], [11, 7], [5, 7], [5, 3]]
        assert list(item.TextObjectSequence[0].AnchorPoint) == [11, 3]


def _class(stack: Stack, **more: object) -> Finding:
    known = {"kind": Kind.CLASSIFICATION, "measures": None, "threshold": 0.5, "label": "Pneumonia", **more}
    return finding(stack, np.zeros(stack.grid.shape, bool), 4, **known)


def _length(stack: Stack, plane: Plane) -> Finding:
    name, unit = Code("410668003", "SCT", "Length"), Code("mm", "UCUM", "mm")
    points = ((2.0, 3.0, 4.25), (2.0, 9.5, 10.0))
    of = Measurement(Shape.LENGTH, plane, 2, points, (Value(name, 8.7, unit),))
    return finding(
        stack,
        np.zeros(stack.grid.shape, bool),
        5,
        kind=Kind.MEASUREMENT,
        measures=None,
        measurement=of,
        model=None,
        score=None,
        label="Length",
        status=Status.ACCEPTED,
        acts=(Act(READER, "measure", WHEN),),
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("gsps")
    write_series(folder / "in", np.zeros((6, 12, 14), np.int16), spacing=(0.9, 0.8), step=3.3)
    return opened(folder / "in", folder)


def test_classes_and_measurements_are_said_and_drawn(stack: Stack, tmp_path: Path, tool: Callable[[str], str]) -> None:
    plane = acquired_plane(stack.grid)
    heat = Heatmap.of(np.ones((2, 2), np.float32), (0, 0, 12, 14), plane, 3, "Pneumonia", "CAM", "last")
    across = next(other for other in Plane if other is not plane)
    findings = [_class(stack), _class(stack, heatmap=heat, id="1.2.9"), _length(stack, plane)]
    assert [GSPS.refuse(stack, item) for item in findings] == ["", "", ""]
    assert "reformatted plane" in GSPS.refuse(stack, _length(stack, across))
    (path,) = written(parcel(stack, findings, tmp_path / "out", "gsps", window=Window(50, 100)))
    assert not faults(path, tool)
    whole, one, line = pydicom.dcmread(path).GraphicAnnotationSequence
    assert len(whole.ReferencedImageSequence) == 6
    assert one.ReferencedImageSequence[0].ReferencedSOPInstanceUID == stack.frames[3].sop_instance_uid
    assert whole.TextObjectSequence[0].UnformattedTextValue.startswith("Pneumonia 4  present  0.90  accepted")
    assert list(line.GraphicObjectSequence[0].GraphicData) == [4.75, 3.5, 10.5, 10.0]
    assert line.TextObjectSequence[0].UnformattedTextValue == "Length 5  Length 8.7 mm  accepted"


def test_colours_from_a_table_are_refused(tmp_path: Path, stack: Stack) -> None:
    palette = replace(stack, encoding=replace(stack.encoding, photometric="PALETTE COLOR"))
    assert "come from a table" in GSPS.refuse(palette, lumps(stack)[0])


# What the check notices


def _first(d: Dataset) -> Dataset:
    return d.GraphicAnnotationSequence[0]


def _bent(d: Dataset) -> None:
    points = list(_first(d).GraphicObjectSequence[0].GraphicData)
    _first(d).GraphicObjectSequence[0].GraphicData = [points[0] + 1, *points[1:-2], points[0] + 1, points[-1]]


SPOILED: dict[str, Callable[[Dataset], object]] = {
    "bent": _bent,
    "open": lambda d: setattr(
        _first(d).GraphicObjectSequence[0], "GraphicData", list(_first(d).GraphicObjectSequence[0].GraphicData)[:-2]
    ),
    "annotation gone": lambda d: d.GraphicAnnotationSequence.pop(),
    "annotation twice": lambda d: d.GraphicAnnotationSequence.append(_first(d)),
    "other slice": lambda d: setattr(
        _first(d), "ReferencedImageSequence", [d.ReferencedSeriesSequence[0].ReferencedImageSequence[-1]]
    ),
    "foreign image": lambda d: setattr(_first(d).ReferencedImageSequence[0], "ReferencedSOPInstanceUID", "1.2.3"),
    "other layer": lambda d: setattr(_first(d), "GraphicLayer", "FINDING 2"),
    "no layer": lambda d: setattr(_first(d), "GraphicLayer", "OTHER"),
    "text": lambda d: setattr(_first(d).TextObjectSequence[0], "UnformattedTextValue", "Glioma 7"),
    "tracking": lambda d: setattr(_first(d).GraphicObjectSequence[0], "TrackingUID", "1.2.3"),
    "units": lambda d: setattr(_first(d).GraphicObjectSequence[0], "GraphicAnnotationUnits", "DISPLAY"),
    "window": lambda d: setattr(d.SoftcopyVOILUTSequence[0], "WindowWidth", "101"),
    "function": lambda d: setattr(d.SoftcopyVOILUTSequence[0], "VOILUTFunction", "SIGMOID"),
    "rescaling": lambda d: setattr(d, "RescaleIntercept", "-1024"),
    "polarity": lambda d: setattr(d, "PresentationLUTShape", "INVERSE"),
    "area": lambda d: setattr(d.DisplayedAreaSelectionSequence[0], "DisplayedAreaTopLeftHandCorner", [2, 1]),
    "spacing": lambda d: setattr(d.DisplayedAreaSelectionSequence[0], "PresentationPixelSpacing", ["0.8", "0.9"]),
    "series": lambda d: setattr(d.ReferencedSeriesSequence[0], "SeriesInstanceUID", "1.2.3"),
    "images": lambda d: d.ReferencedSeriesSequence[0].ReferencedImageSequence.pop(),
    "layer's name": lambda d: setattr(d.GraphicLayerSequence[0], "GraphicLayerDescription", "Glioma 7"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_the_check_notices_what_was_tampered_with(stack: Stack, tmp_path: Path, what: str) -> None:
    made = parcel(stack, lumps(stack), tmp_path / "out", "gsps", window=Window(50, 100))
    (path,) = written(made)
    spoiled = pydicom.dcmread(path)
    SPOILED[what](spoiled)
    spoiled.save_as(path)
    with pytest.raises(UserError, match="failed the check before export"):
        gate(made, GSPS, [path])


def test_the_check_compares_with_what_is_on_the_screen(stack: Stack, tmp_path: Path) -> None:
    findings = lumps(stack)
    made = parcel(stack, findings, tmp_path / "out", "gsps", window=Window(50, 100))
    paths = written(made)
    voxels = findings[0].mask.voxels
    voxels[3, 4, 5] ^= True
    for other in (
        replace(made, findings=(replace(findings[0], mask=Mask.of(voxels)), *findings[1:])),
        replace(made, findings=tuple(findings[:2])),
        replace(made, window=Window(50, 99)),
    ):
        with pytest.raises(UserError, match="failed the check"):
            gate(other, GSPS, paths)
