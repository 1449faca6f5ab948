"""The table of measurements: a line a finding, numbers that others compute alike, nobody's name but the reader's."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from overread.dicom.export import Terms, export
from overread.dicom.product import Parcel
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Kind, Status
from overread.domain.study import Stack
from overread.session.products import products
from overread.session.products_table import columns
from support.findings import READER, finding, opened
from support.leaving import smooth
from support.series import head_like, write_series


@pytest.fixture
def made(tmp_path: Path) -> Stack:
    voxels = head_like((9, 40, 48))
    write_series(
        tmp_path / "in", voxels, spacing=(0.9, 0.6), step=3.3, modality="CT", patient=("TOPSECRET^ONE", "TOPSECRET")
    )
    return opened(tmp_path / "in", tmp_path)


def table(stack: Stack, findings: list[Finding], out: Path) -> list[dict[str, str]]:
    (item,) = export(stack, findings, out, READER, products(["csv"]))
    assert item.path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert b"TOPSECRET" not in item.path.read_bytes()
    with item.path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_numbers_are_those_that_simpleitk_finds(made: Stack, tmp_path: Path) -> None:
    findings = smooth(made)
    lines = table(made, findings, tmp_path / "out")
    image = sitk.GetImageFromArray(head_like((9, 40, 48)))
    image.SetSpacing((0.6, 0.9, 3.3))
    for line, meant in zip(lines, findings, strict=True):
        labels = sitk.GetImageFromArray(meant.mask.voxels.astype(np.uint8))
        labels.CopyInformation(image)
        statistics = sitk.LabelStatisticsImageFilter()
        statistics.Execute(image, labels)
        theirs = (
            statistics.GetMean(1),
            statistics.GetSigma(1),
            statistics.GetMinimum(1),
            statistics.GetMaximum(1),
        )
        ours = [float(line[f"{name} (HU)"]) for name in ("mean", "sd", "min", "max")]
        assert np.allclose(ours, theirs, rtol=1e-6)
        shapes = sitk.LabelShapeStatisticsImageFilter()
        shapes.Execute(labels)
        assert float(line["volume (ml)"]) == pytest.approx(shapes.GetPhysicalSize(1) / 1000, abs=1e-3)
        assert int(line["voxels"]) == shapes.GetNumberOfPixels(1)
        assert int(line["slice"]) == int(meant.mask.voxels.sum(axis=(1, 2)).argmax()) + 1
        assert line["tracking uid"] == meant.id
    assert [line["label"] for line in lines] == ["Glioma", "Glioma", "Läsion"]
    assert [line["status"] for line in lines] == ["accepted", "edited", "edited"]
    assert [line["model"] for line in lines] == ["glioma-flair", "glioma-flair", ""]
    assert {line["reader"] for line in lines} == {"Ada Lovelace"}
    assert lines[2]["score"] == ""


def test_classes_boxes_and_pictures_leave_empty_what_they_have_not(made: Stack, data: Path, tmp_path: Path) -> None:
    nothing, full = np.zeros(made.grid.shape, bool), np.zeros(made.grid.shape, bool)
    full[1:4, 2:6, 2:7] = True
    about = {"kind": Kind.CLASSIFICATION, "score": 0.8, "threshold": 0.5, "measures": None}
    box = {"kind": Kind.DETECTION, "box": (1, 2, 2, 4, 6, 7), "measures": None}
    class_, boxed = table(made, [finding(made, nothing, **about), finding(made, full, 2, **box)], tmp_path / "out")
    assert (class_["score"], class_["threshold"], class_["voxels"], class_["mean (HU)"]) == ("0.8", "0.5", "", "")
    assert (boxed["kind"], boxed["voxels"], boxed["volume (ml)"]) == ("detection", "", "")
    colour = opened(data / "dicom" / "codecs" / "wg04" / "US1_UNC.dcm", tmp_path / "scratch")
    line = table(colour, smooth(colour), tmp_path / "us")[0]
    assert line["mean (stored values)"] == ""
    assert int(line["voxels"]) > 0


def test_rejected_findings_are_told_of_where_that_is_asked_for(made: Stack, tmp_path: Path) -> None:
    findings = smooth(made)
    findings[1] = replace(findings[1], status=Status.REJECTED, reason="vessel")
    (item,) = export(made, findings, tmp_path / "out", READER, products(["csv"]), Terms(rejected=True))
    with item.path.open(encoding="utf-8-sig", newline="") as file:
        told = [(line["status"], line["reason"]) for line in csv.DictReader(file)]
    assert told == [("accepted", ""), ("edited", ""), ("rejected", "vessel")]
    assert len(table(made, findings, tmp_path / "two")) == 2


def test_no_spreadsheet_takes_a_label_for_a_formula(made: Stack, tmp_path: Path) -> None:
    (line,) = table(made, [replace(smooth(made)[0], label='=HYPERLINK("x")')], tmp_path / "out")
    assert line["label"] == '\'=HYPERLINK("x")'


def test_each_column_has_a_name_of_its_own() -> None:
    assert len(set(columns("HU"))) == len(columns("HU"))
    assert "mean (stored values)" in columns("")


def test_a_table_that_went_wrong_does_not_leave(made: Stack, tmp_path: Path) -> None:
    (product,) = products(["csv"])

    def write(parcel: Parcel) -> list[Path]:
        paths = list(product.write(parcel))
        paths[0].write_bytes(paths[0].read_bytes().replace(b"edited", b"accepted"))
        return paths

    with pytest.raises(UserError, match="a line differs"):
        export(made, smooth(made), tmp_path / "out", READER, [replace(product, write=write)])
    assert not (tmp_path / "out").exists()
