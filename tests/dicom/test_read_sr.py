"""Measurement reports on their images: our own bring the review back, others' say whose word they are."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from highdicom.sr import (
    CodedConcept,
    Comprehensive3DSR,
    FindingSite,
    GraphicTypeValues,
    GraphicTypeValues3D,
    ImageRegion,
    ImageRegion3D,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceImageForRegion,
    SourceImageForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.sr.codedict import codes

from overread.dicom.check_sr import SR
from overread.dicom.export import Terms, export, shipment
from overread.dicom.found import Found
from overread.dicom.read_objects import read_objects
from overread.dicom.scan import scanned
from overread.domain.finding import Act, Kind, Mask, Status
from overread.domain.geometry import Plane
from overread.domain.mark import Drawn
from overread.domain.measurement import Point, Shape
from overread.domain.study import Stack
from overread.imaging.measuring import measured
from support.findings import MODEL, READER, WHEN, blob, finding, opened, three
from support.series import write_series

SHAPE = (4, 16, 20)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    write_series(tmp_path / "in", np.zeros(SHAPE, np.int16), spacing=(0.9, 0.8), step=3.0, SliceThickness=3)
    return tmp_path / "in"


def read(*paths: Path, scratch: Path) -> tuple[Stack, Found]:
    catalogue = scanned(paths, scratch)
    (stack,) = catalogue.stacks
    return stack, read_objects(stack, catalogue.objects_on(stack))


def test_our_own_bring_verdict_reader_model_and_score_back(series: Path, tmp_path: Path) -> None:
    stack = opened(series, tmp_path)
    voxels = np.zeros(SHAPE, bool)
    voxels[1:3, 4:8, 5:9] = True
    box = finding(stack, voxels, 4, kind=Kind.DETECTION, box=(1, 4, 5, 3, 8, 9), label="Nodule", measures=None)
    around = replace(box, id="1.2.826.0.1.5", number=5, mask=Mask.of(voxels & blob(stack, 3)))
    whole = finding(
        stack,
        np.zeros(SHAPE, bool),
        6,
        kind=Kind.CLASSIFICATION,
        score=0.25,
        threshold=0.5,
        measures=None,
        label="Oedema",
    )
    kinds = finding(stack, blob(stack, 5), 7, classes=(("Glioma", 0.75), ("Other", 0.25)))
    meant = [*three(stack), box, around, whole, kinds]
    seg, report = export(stack, meant, tmp_path / "out", READER)
    _, found = read(series, seg.path, report.path, scratch=tmp_path)
    assert not found.notices
    back = {each.id: each for each in found.findings}
    assert back.keys() == {each.id for each in meant}
    for each in meant:
        got = back[each.id]
        assert (got.status, got.kind, got.label, got.mask.digest, got.concept, got.category, got.anatomy) == (
            (each.status, each.kind, each.label, each.mask.digest, each.concept, each.category, each.anatomy)
        )
        assert got.reader == READER
        assert got.given == (each.model is not None), "what a reader drew stays the reader's own"
        assert got.acts[0].verb == (
            "draw" if each.model is None else "edit" if each.status is Status.EDITED else "accept"
        )
        assert (got.model and (got.model.id, got.model.version)) == (each.model and (MODEL.id, MODEL.version))
        if each.kind is not Kind.SEGMENTATION:
            assert (got.score, got.threshold) == (each.score, each.threshold)
        if got.mask and got.model:
            assert MODEL.sha256.startswith(got.model.sha256)
    assert back[box.id].box == box.box
    denied = replace(box, status=Status.REJECTED, reason="vessel", id="1.2.826.0.1.8")
    with shipment(tmp_path / "more", terms=Terms(rejected=True)) as shipping:
        shipping.add(stack, [denied], READER)
    _, found = read(series, *(written.path for written in shipping.written), scratch=tmp_path)
    (got,) = found.findings
    assert (got.status, got.reason, got.reader) == (Status.REJECTED, "vessel", READER)
    assert [mark.index for mark in got.marks] == [1, 2]
    assert back[kinds.id].classes == (("Glioma", 0.75),)


def test_exported_again_the_younger_of_two_holds(series: Path, tmp_path: Path) -> None:
    stack = opened(series, tmp_path)
    before = finding(stack, blob(stack, 1))
    after = replace(before, mask=Mask.of(blob(stack, 2)), status=Status.EDITED, original=before.mask)
    old = export(stack, [before], tmp_path / "out", READER)
    new = export(stack, [after], tmp_path / "out", READER)
    for written in old:
        made = pydicom.dcmread(written.path)
        made.ContentDate = "20200101"
        made.save_as(written.path)
    _, found = read(series, *(written.path for written in (*old, *new)), scratch=tmp_path)
    (got,) = found.findings
    assert (got.id, got.mask, got.status) == (before.id, after.mask, Status.EDITED)


def test_others_measurements_on_ct(data: Path, tmp_path: Path) -> None:
    folder = data / "dicom" / "derived-objects" / "highdicom"
    _, found = read(
        folder / "ct_image.dcm",
        folder / "sr_document.dcm",
        folder / "sr_document_with_multiple_groups.dcm",
        scratch=tmp_path,
    )
    by_label = {each.label: each for each in found.findings}
    assert by_label.keys() == {"Image0001", "Nodule", "Aorta", "Vertebra", "Spinal cord"}
    assert {each.status for each in found.findings} == {Status.PROPOSED}
    assert all(each.model is None and not each.acts for each in found.findings)
    nodule = by_label["Nodule"]
    assert nodule.source is not None
    assert nodule.source.said == (
        ("Diameter", "10.0 mm"), ("Level of Significance", "Not significant"), ("Observer", "John Doe"),
    )  # fmt: skip
    # CIRCLE with the centre 45\55 and the edge 45\65: pixels count from their corner
    j, i = np.indices((128, 128)) + 0.5
    circle = (i - 45) ** 2 + (j - 55) ** 2 < 10**2
    assert int((nodule.mask.voxels[0] ^ circle).sum()) <= 4
    assert [mark.drawn for mark in by_label["Aorta"].marks] == [Drawn.LINE]
    assert by_label["Aorta"].marks[0].points[0] == (0.0, 44.5, 24.5)
    assert by_label["Vertebra"].kind is Kind.ANNOTATION
    assert [mark.drawn for mark in by_label["Image0001"].marks] == [Drawn.IMAGE]
    assert not found.notices


def images(series: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(series.iterdir())]


def report(series: Path, path: Path, groups: list[Any], evidence: list[Any] | None = None) -> Path:
    observer = ObserverContext(codes.DCM.Person, PersonObserverIdentifyingAttributes("Else^Somebody"))
    content = MeasurementReport(
        ObservationContext(observer), codes.LN.CTUnspecifiedBodyRegion, imaging_measurements=groups
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Comprehensive3DSR(
            evidence or images(series),
            content[0],
            hd.UID(),
            7,
            hd.UID(),
            1,
            "Somebody",
            is_complete=True,
            is_final=True,
            is_verified=True,
            verifying_observer_name="Doe^Jane",
            verifying_organization="Elsewhere",
        )
        made.save_as(path)
    return path


def planar(region: Any, name: str = "A") -> PlanarROIMeasurementsAndQualitativeEvaluations:
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(name, hd.UID()),
        referenced_region=region,
        finding_type=codes.SCT.Nodule,
        finding_sites=[FindingSite(codes.SCT.Lung)],
        measurements=[Measurement(codes.SCT.Diameter, 4.25, codes.UCUM.Millimeter)],
        qualitative_evaluations=[
            QualitativeEvaluation(CodedConcept("1", "99X", "Margin"), CodedConcept("2", "99X", "Sharp"))
        ],
    )


def on_image(series: Path, k: int, kind: GraphicTypeValues, points: list[tuple[float, float]]) -> ImageRegion:
    return ImageRegion(kind, np.array(points, float), SourceImageForRegion.from_source_image(images(series)[k]))


def test_coordinates_on_images_and_in_the_patient_go_where_they_lie(series: Path, tmp_path: Path) -> None:
    frame = images(series)[0].FrameOfReferenceUID
    square = [(2.0, 3.0), (8.0, 3.0), (8.0, 7.0), (2.0, 7.0), (2.0, 3.0)]
    slanted = [(4.0, 2.0), (9.0, 6.0), (5.0, 10.0), (4.0, 2.0)]
    polygon = [(1.2, 1.35, 6.0), (8.4, 1.35, 6.0), (8.4, 8.55, 6.0), (1.2, 8.55, 6.0), (1.2, 1.35, 6.0)]
    path = report(
        series,
        tmp_path / "sr.dcm",
        [
            planar(on_image(series, 2, GraphicTypeValues.POLYLINE, square), "square"),
            planar(on_image(series, 1, GraphicTypeValues.POLYLINE, slanted), "slanted"),
            planar(on_image(series, 0, GraphicTypeValues.POINT, [(3.5, 4.5)]), "point"),
            planar(on_image(series, 3, GraphicTypeValues.ELLIPSE, [(2, 8), (12, 8), (7, 5), (7, 11)]), "ellipse"),
            planar(ImageRegion3D(GraphicTypeValues3D.POLYGON, np.array(polygon), frame), "polygon"),
        ],
    )
    _, found = read(series, path, scratch=tmp_path)
    box, slanting, point, ellipse, planted = found.findings
    assert (box.kind, box.box) == (Kind.DETECTION, (2, 3, 2, 3, 7, 8))
    assert box.mask.count == 4 * 6
    assert slanting.kind is Kind.SEGMENTATION
    assert slanting.mask.box[0] == slice(1, 2)
    assert (point.kind, point.marks[0].points) == (Kind.ANNOTATION, ((0.0, 4.0, 3.0),))
    j, i = np.indices(SHAPE[1:]) + 0.5
    inside = ((i - 7) / 5) ** 2 + ((j - 8) / 3) ** 2 < 1
    assert int((ellipse.mask.voxels[3] ^ inside).sum()) <= 2
    voxels = np.zeros(SHAPE, bool)
    voxels[2, 2:10, 2:11] = True
    assert np.array_equal(planted.mask.voxels, voxels)
    assert planted.source is not None
    assert planted.source.said == (
        ("Diameter", "4.25 mm"), ("Margin", "Sharp"), ("Observer", "Somebody Else"), ("Verified by", "Jane Doe"),
    )  # fmt: skip
    assert planted.anatomy is not None
    assert planted.anatomy.meaning == "Lung"


def test_an_ellipsoid_is_filled_in_every_slice(series: Path, tmp_path: Path) -> None:
    from overread.dicom.graphics import Graphics
    from overread.dicom.places import Places

    stack = opened(series, tmp_path)
    centre, half = np.array([8.0, 7.2, 4.5]), (4.0, 3.6, 4.0)
    ends = [centre + sign * half[axis] * np.eye(3)[axis] for axis in range(3) for sign in (-1, 1)]
    graphics = Graphics(Places(stack))
    graphics.in_patient("ELLIPSOID", ends)
    where = stack.grid.to_lps(np.moveaxis(np.indices(SHAPE), 0, -1))
    inside = (((where - centre) / half) ** 2).sum(axis=-1) <= 1
    assert set(graphics.slices) == set(np.flatnonzero(inside.any(axis=(1, 2))).tolist())
    assert all(np.array_equal(graphics.slices[k], inside[k]) for k in graphics.slices)


def test_a_segment_of_others_gets_what_their_report_says(series: Path, tmp_path: Path) -> None:
    stack = opened(series, tmp_path)
    seg, own = export(stack, three(stack), tmp_path / "out", READER)
    own.path.unlink()
    made = pydicom.dcmread(seg.path)
    made.Manufacturer = "Somebody"
    made.save_as(seg.path)
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier("theirs", hd.UID()),
        referenced_segment=ReferencedSegment(
            made.SOPClassUID,
            made.SOPInstanceUID,
            2,
            source_images=[SourceImageForSegmentation.from_source_image(images(series)[1])],
        ),
        measurements=[Measurement(codes.SCT.Volume, 12.5, codes.UCUM.CubicMillimeter)],
    )
    path = report(series, tmp_path / "sr.dcm", [group], [*images(series), made])
    _, found = read(series, seg.path, path, scratch=tmp_path)
    assert len(found.findings) == 3
    told = found.findings[1]
    assert told.mask == Mask.of(blob(stack, 2))
    assert told.status is Status.PROPOSED
    assert told.source is not None
    assert told.source.kind == "SR"
    assert ("Volume", "12.5 mm3") in told.source.said
    seg.path.unlink()
    _, found = read(series, path, scratch=tmp_path)
    (alone,) = found.findings
    assert (alone.kind, [mark.index for mark in alone.marks]) == (Kind.ANNOTATION, [1])


def test_reports_by_other_templates_are_named(series: Path, tmp_path: Path) -> None:
    path = report(series, tmp_path / "sr.dcm", [planar(on_image(series, 0, GraphicTypeValues.POINT, [(3.5, 4.5)]))])
    made = pydicom.dcmread(path)
    made.ContentTemplateSequence[0].TemplateIdentifier = "2000"
    made.ConceptNameCodeSequence[0].CodeMeaning = "Chest CT report"
    made.save_as(path)
    catalogue = scanned((series, path), tmp_path)
    assert [skipped.reason for skipped in catalogue.skipped] == [
        "a structured report ‘Chest CT report’ (template 2000); only measurement reports, template 1500, are shown"
    ]


def test_a_report_about_images_that_are_not_here_is_named(data: Path, tmp_path: Path, series: Path) -> None:
    catalogue = scanned((series, data / "dicom" / "derived-objects" / "dcmqi" / "sr-example"), tmp_path)
    reasons = sorted(skipped.reason for skipped in catalogue.skipped)
    assert [reason.split(" ")[0] for reason in reasons] == ["Real", "SEG", "SR"]
    assert all("not here" in reason for reason in reasons[1:])


@pytest.mark.parametrize(
    ("shape", "points"),
    [
        (Shape.LENGTH, ((1.0, 3.0, 4.0), (1.0, 9.5, 12.0))),
        (Shape.BIDIRECTIONAL, ((2.0, 3.0, 4.0), (2.0, 9.0, 4.0), (2.0, 6.0, 3.0), (2.0, 6.0, 7.0))),
        (Shape.ANGLE, ((0.0, 3.0, 4.0), (0.0, 9.0, 4.0), (0.0, 9.0, 11.0))),
    ],
)
def test_what_we_measured_comes_back_as_a_measurement(
    series: Path, tmp_path: Path, shape: Shape, points: tuple[Point, ...]
) -> None:
    stack = opened(series, tmp_path)
    made = measured(shape, points, Plane.AXIAL, stack)
    none = finding(stack, np.zeros(SHAPE, bool), model=None, score=None, status=Status.EDITED, measures=None)
    meant = replace(none, kind=Kind.MEASUREMENT, measurement=made, acts=(Act(READER, "draw", WHEN),))
    (written,) = export(stack, [meant], tmp_path / "out", READER, (SR,))
    _, found = read(series, written.path, scratch=tmp_path)
    (got,) = found.findings
    assert (got.kind, got.id, got.marks) == (Kind.MEASUREMENT, meant.id, ())
    back = got.measurement
    assert back is not None
    assert (back.shape, back.plane, back.index, back.scale) == (made.shape, made.plane, made.index, made.scale)
    assert np.allclose(back.points, made.points, atol=1e-5)
    assert [(v.name.value, v.number, v.unit.value) for v in back.values] == [
        (v.name.value, v.number, v.unit.value) for v in made.values
    ]
