"""Key images, presentation states and parametric maps on the slices that they speak of."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextObject,
)
from pydicom.sr.codedict import codes

from overread.dicom.export import export
from overread.dicom.found import Found
from overread.dicom.groups import COMMENT
from overread.dicom.read_objects import read_objects
from overread.dicom.scan import scanned
from overread.dicom.sr_items import concept, walk
from overread.domain.errors import UserError
from overread.domain.finding import Act, Finding, Kind, Mask, Status
from overread.domain.geometry import Plane
from overread.domain.heatmap import Heatmap
from overread.domain.mark import Drawn, Mark
from overread.domain.study import Stack
from overread.domain.uids import uid_of
from overread.session.products import products
from overread.session.products_documents import GSPS
from overread.session.products_maps import PM
from overread.session.products_pictures import SC
from support.findings import READER, WHEN, blob, finding, opened, three
from support.leaving import faults, spoil
from support.series import write_series

SHAPE = (4, 16, 20)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    write_series(tmp_path / "in", np.zeros(SHAPE, np.int16), spacing=(0.9, 0.8), step=3.0, SliceThickness=3)
    return tmp_path / "in"


def images(series: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(series.iterdir())]


def read(*paths: Path, scratch: Path) -> tuple[Stack, Found]:
    catalogue = scanned(paths, scratch)
    (stack,) = catalogue.stacks
    assert not catalogue.skipped
    return stack, read_objects(stack, catalogue.objects_on(stack))


def saved(made: pydicom.Dataset, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.save_as(path)
    return path


def test_key_images_are_marked_under_their_title(series: Path, tmp_path: Path) -> None:
    chosen = images(series)[1:3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = KeyObjectSelection(codes.DCM.ForReferringProvider, chosen, description="Look here")
        made = KeyObjectSelectionDocument(chosen, content, hd.UID(), 3, hd.UID(), 1, "Somebody")
    _, found = read(series, saved(made, tmp_path / "ko.dcm"), scratch=tmp_path)
    (key,) = found.findings
    assert (key.kind, key.status, key.label) == (Kind.ANNOTATION, Status.PROPOSED, "For Referring Provider")
    assert [(mark.index, mark.drawn) for mark in key.marks] == [(1, Drawn.IMAGE), (2, Drawn.IMAGE)]
    assert key.source is not None
    assert key.source.said == (("Description", "Look here"),)


def state(series: Path, path: Path) -> Path:
    """A presentation state of somebody else: a line and a text on slice 2, a circle on slice 3, and a window."""
    of = images(series)
    layer = GraphicLayer("NOTES", 1, description="Notes of Doe")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = GrayscaleSoftcopyPresentationState(
            of,
            hd.UID(),
            4,
            hd.UID(),
            1,
            "Somebody",
            "Viewer",
            "1",
            "2",
            "NOTES",
            content_creator_name="Doe^Jane",
            graphic_layers=[layer],
            graphic_annotations=[
                GraphicAnnotation(
                    [of[2]],
                    layer,
                    graphic_objects=[GraphicObject("POLYLINE", np.array([(2.0, 3.0), (8.5, 3.0)]), "PIXEL")],
                    text_objects=[TextObject("cyst?", "PIXEL", anchor_point=(9.0, 4.0))],
                ),
                GraphicAnnotation(
                    [of[3]],
                    layer,
                    graphic_objects=[GraphicObject("CIRCLE", np.array([(10.0, 8.0), (10.0, 11.0)]), "PIXEL")],
                ),
            ],
            voi_lut_transformations=[SoftcopyVOILUTTransformation(window_center=40.0, window_width=350.0)],
        )
    return saved(made, path)


def test_others_annotations_stay_lines_and_text_and_their_window_is_offered(series: Path, tmp_path: Path) -> None:
    _, found = read(series, state(series, tmp_path / "pr.dcm"), scratch=tmp_path)
    (notes,) = found.findings
    assert (notes.kind, notes.label) == (Kind.ANNOTATION, "Notes of Doe")
    line, text, circle = notes.marks
    assert (line.drawn, line.points) == (Drawn.LINE, ((2.0, 2.5, 1.5), (2.0, 2.5, 8.0)))
    assert (text.drawn, text.points, text.text) == (Drawn.TEXT, ((2.0, 3.5, 8.5),), "cyst?")
    assert (circle.drawn, circle.index) == (Drawn.OUTLINE, 3)
    away = np.hypot(*(np.array(circle.points)[:, 1:] - (7.5, 9.5)).T)
    assert np.allclose(away, 3)
    assert [(w.center, w.width, w.name) for w in found.windows] == [(40.0, 350.0, "GSPS ‘NOTES’ of Somebody")]
    assert notes.source is not None
    assert ("Creator", "Jane Doe") in notes.source.said


def test_outlines_in_our_own_states_are_the_findings_again(series: Path, tmp_path: Path) -> None:
    stack = opened(series, tmp_path)
    meant = three(stack)
    written = export(stack, meant, tmp_path / "out", READER, (GSPS,))
    _, found = read(series, *(item.path for item in written), scratch=tmp_path)
    assert [(f.id, f.label, f.mask.digest) for f in found.findings] == [(f.id, f.label, f.mask.digest) for f in meant]


def test_a_map_of_values_lies_on_its_slices(series: Path, tmp_path: Path) -> None:
    of = images(series)
    values = np.random.default_rng(2).normal(900, 200, SHAPE).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = ParametricMap(
            of,
            values,
            hd.UID(),
            5,
            hd.UID(),
            1,
            "Somebody",
            "Mapper",
            "1",
            "2",
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[
                RealWorldValueMapping(
                    "ADC",
                    "Apparent diffusion",
                    codes.UCUM.SquareMillimeterPerSecond,
                    (0.0, 5000.0),
                    slope=2.0,
                    intercept=1.0,
                    quantity_definition=codes.DCM.ADC if hasattr(codes.DCM, "ADC") else codes.SCT.Volume,
                )
            ],
            voi_lut_transformations=[hd.VOILUTTransformation(window_center=900, window_width=500)],
        )
    _, found = read(series, saved(made, tmp_path / "pm.dcm"), scratch=tmp_path)
    (named,) = found.findings
    assert named.kind is Kind.ANNOTATION
    assert [mark.index for mark in named.marks] == [0, 1, 2, 3]
    maps = found.maps[named.id]
    assert sorted(seen.index for seen in maps) == [0, 1, 2, 3]
    for seen in maps:
        assert (seen.plane, seen.method) == (Plane.AXIAL, "Parametric map")
        assert np.allclose(seen.extent, (0, 0, 16, 20), atol=1e-6)
        assert np.allclose(seen.values, values[seen.index] * 2 + 1, rtol=1e-6)


@pytest.mark.parametrize("plane", list(Plane))
def test_our_own_heatmap_comes_back_where_the_network_looked(tmp_path: Path, plane: Plane) -> None:
    write_series(tmp_path / "in", np.zeros((12, 16, 20), np.int16), spacing=(0.9, 0.8), step=1.1, SliceThickness=1.1)
    stack = opened(tmp_path / "in", tmp_path)
    values = np.random.default_rng(1).random((3, 4)).astype(np.float32)
    seen = Heatmap.of(values, (-1.0, 2.0, 11.0, 14.0), plane, 5, "Glioma", "Grad-CAM", "layer")
    made = replace(finding(stack, blob(stack)), heatmap=seen)
    written = export(stack, [made], tmp_path / "out", READER, (PM,))
    _, found = read(tmp_path / "in", *(item.path for item in written), scratch=tmp_path)
    ((back,),) = found.maps.values()
    assert (back.plane, back.index) == (plane, 5)
    assert np.allclose(back.extent, seen.extent, atol=1e-3)
    assert np.allclose(back.values, values)


def accepted(found: Found) -> list[Finding]:
    return [each.judged(Status.ACCEPTED, Act(READER, "accept", WHEN)) for each in found.findings]


def test_a_note_that_was_accepted_leaves_in_states_and_reports_alone(series: Path, tmp_path: Path) -> None:
    stack, found = read(series, state(series, tmp_path / "pr.dcm"), scratch=tmp_path)
    own = finding(stack, blob(stack))
    written = export(stack, [own, *accepted(found)], tmp_path / "out", READER, products(["seg", "rtstruct"]))
    why = "It is a note of others, which presentation states and reports alone have room for."
    assert written[-1].remark == f"Notes of Doe 1 did not leave. {why}"
    assert Mask.of(blob(stack)) == own.mask


def test_a_note_comes_back_as_it_was_drawn_under_the_name_of_whose_it_is(
    series: Path, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    stack, found = read(series, state(series, tmp_path / "pr.dcm"), scratch=tmp_path)
    notes, *_ = accepted(found)
    marked = replace(
        notes,
        id=uid_of("notes", "two"),
        number=2,
        label="Others",
        marks=(
            Mark(Drawn.POINTS, ((1.0, 2.0, 3.5), (1.0, 5.25, 6.0))),
            Mark(Drawn.IMAGE, ((0.0, 0.0, 0.0),), "look here"),
            Mark(Drawn.IMAGE, ((3.0, 0.0, 0.0),)),
        ),
    )
    own = finding(stack, blob(stack), 3)
    (left,) = export(stack, [notes, marked, own], tmp_path / "out", READER, products(["gsps"]))
    assert not faults(left.path, tool)
    done = subprocess.run([tool("dcmpschk"), str(left.path)], capture_output=True, text=True, check=True)
    assert "Test passed" in done.stdout + done.stderr
    _, back = read(series, left.path, scratch=tmp_path)
    first, second, third = back.findings
    assert [(one.kind, one.label, one.id) for one in (first, second)] == [
        (Kind.ANNOTATION, "Notes of Doe", notes.id),
        (Kind.ANNOTATION, "Others", marked.id),
    ]
    line, text, circle = notes.marks
    again, words, round_ = first.marks
    assert (again.drawn, again.points) == (line.drawn, line.points)
    assert (words.drawn, words.points, words.text) == (text.drawn, text.points, "cyst?")
    assert round_.drawn is Drawn.OUTLINE
    assert np.allclose(round_.points[: len(circle.points)], circle.points, atol=1e-4)
    assert [(mark.drawn, mark.index, mark.text) for mark in second.marks] == [
        (Drawn.IMAGE, 0, "look here"),
        (Drawn.POINTS, 1, ""),
        (Drawn.POINTS, 1, ""),
        (Drawn.IMAGE, 3, ""),
    ]
    assert [mark.points[0] for mark in second.marks[1:3]] == list(marked.marks[0].points)
    assert third.mask == own.mask
    for one in (first, second):
        assert one.source is not None
        assert ("Noted", "from GSPS 'NOTES' of Somebody") in one.source.said


def test_a_report_says_what_was_noted_and_whose_it_is(series: Path, tmp_path: Path, tool: Callable[[str], str]) -> None:
    stack, found = read(series, state(series, tmp_path / "pr.dcm"), scratch=tmp_path)
    (notes,) = accepted(found)
    (left,) = export(stack, [notes], tmp_path / "out", READER, products(["sr"]))
    assert not faults(left.path, tool)
    report = pydicom.dcmread(left.path)
    said = [item.TextValue for item in walk(report) if concept(item) == COMMENT.value]
    assert notes.source is not None
    assert said == [
        f"From GSPS ‘NOTES’ of Somebody, {notes.source.sop_instance_uid}",
        "Creator: Jane Doe",
        "cyst?",
    ]
    named = [item.ReferencedSOPSequence[0] for item in walk(report) if item.ValueType == "IMAGE"]
    assert [item.ReferencedSOPInstanceUID for item in named] == [stack.frames[k].sop_instance_uid for k in (2, 3)]
    _, back = read(series, left.path, scratch=tmp_path)
    (again,) = back.findings
    assert (again.kind, again.id, again.status) == (Kind.ANNOTATION, notes.id, Status.ACCEPTED)
    assert again.source is not None
    assert ("Comment", "cyst?") in again.source.said


@pytest.mark.parametrize("wrong", ["text", "place", "line", "whose"])
def test_notes_that_were_changed_on_their_way_never_leave(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    stack, found = read(series, state(series, tmp_path / "pr.dcm"), scratch=tmp_path)

    def change(made: pydicom.Dataset) -> None:
        item = made.GraphicAnnotationSequence[0]
        banner, text = item.TextObjectSequence
        if wrong == "text":
            text.UnformattedTextValue = "metastasis"
        elif wrong == "place":
            text.AnchorPoint = [1.0, 1.0]
        elif wrong == "line":
            item.GraphicObjectSequence[0].GraphicData = [1.0, 3.0, 8.5, 3.0]
        else:
            banner.UnformattedTextValue = "Notes of Doe 1  accepted"

    spoil(monkeypatch, change)
    with pytest.raises(UserError, match=r"another one|other points"):
        export(stack, accepted(found), tmp_path / "out", READER, products(["gsps"]))


def test_a_capture_is_a_series_of_its_own_that_names_what_it_is_a_picture_of(series: Path, tmp_path: Path) -> None:
    stack = opened(series, tmp_path)
    written = export(stack, three(stack), tmp_path / "out", READER, (SC,))
    catalogue = scanned((series, *(item.path for item in written)), tmp_path)
    captures = [each for each in catalogue.stacks if each.uid != stack.uid]
    assert captures
    assert {each.made_from for each in captures} == {"series 1 · FLAIR AX"}
    assert [each.made_from for each in catalogue.stacks if each.uid == stack.uid] == [""]
    alone = scanned(tuple(item.path for item in written), tmp_path)
    assert {each.made_from for each in alone.stacks} == {""}
