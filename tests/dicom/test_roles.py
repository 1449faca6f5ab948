"""Which MR contrast a series is: by what people wrote, in the ways people write, and by physics where they did not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from overread.dicom.roles import role
from overread.dicom.scan import scanned


def named(description: str, **more: Any) -> str:
    return role({"Modality": "MR", "SeriesDescription": description} | more)


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("FLAIR AX", "FLAIR"),
        ("AX T2 FLAIR FS", "FLAIR"),
        ("t2_tirm_tra_dark-fluid", "FLAIR"),
        ("sag 3D SPACE FLAIR", "FLAIR"),
        ("T2-FLAIR POST", "FLAIR"),
        ("AX T2 TSE", "T2"),
        ("t2w_tse", "T2"),
        ("T2 AX", "T2"),
        ("AX T1", "T1"),
        ("T1 AX POST GAD", "T1C"),
        ("AX T1 +C", "T1C"),
        ("AX T1+C", "T1C"),
        ("AX T1 C+", "T1C"),
        ("T1 C+ FS", "T1C"),
        ("T1_Gd", "T1C"),
        ("T1GD", "T1C"),
        ("T1CE", "T1C"),
        ("t1c", "T1C"),
        ("T1ce_mprage", "T1C"),
        ("t1_mpr_sag_p2_iso_KM", "T1C"),
        ("MPRAGE Gd", "T1C"),
        ("AX T1 POST-CONTRAST", "T1C"),
        ("T1 WITH CONTRAST", "T1C"),
        ("AX T1 PRE", "T1"),
        ("AX T1 PRE GAD", "T1"),
        ("T1 PRE-CONTRAST", "T1"),
        ("T1 WITHOUT CONTRAST", "T1"),
        ("T1 w/o contrast", "T1"),
        ("T1 NON-CONTRAST", "T1"),
        ("T1 non contrast", "T1"),
        ("T1 NO GAD", "T1"),
        ("t1_se_tra_nativ", "T1"),
        ("T1 ohne KM", "T1"),
        ("3D BRAVO", "T1"),
        ("Ax FSPGR 3D", "T1"),
        ("T1 POSTERIOR FOSSA", "T1"),
        ("PD AXIAL", "PD"),
        ("FSE PD AXIAL OBL", "PD"),
        ("ADC", "ADC"),
        ("Apparent Diffusion Coefficient (mm2/s)", "ADC"),
        ("ep2d_diff_3scan_trace", "DWI"),
        ("DWI b1000", "DWI"),
        ("ep2d_perf", "PERFUSION"),
        ("DSC perfusion", "PERFUSION"),
        ("SWI_Images", "SWI"),
        ("AX T2* GRE", "SWI"),
        ("3-plane localizer", "LOCALIZER"),
        ("AAHead_Scout", "LOCALIZER"),
        ("TOF 3D MRA", "MRA"),
        ("something else", ""),
        ("", ""),
    ],
)
def test_series_are_known_by_what_people_call_them(description: str, expected: str) -> None:
    assert named(description) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"SeriesDescription": "T1 FLAIR", "InversionTime": 900, "EchoTime": 10}, "T1"),
        ({"SeriesDescription": "SAG T1 FLAIR"}, "T1"),
        ({"SeriesDescription": "AX FLAIR", "ProtocolName": "Brain T1 T2 FLAIR", "EchoTime": 110}, "FLAIR"),
        ({"SeriesDescription": "AX FLAIR", "ProtocolName": "T1", "InversionTime": 2500, "EchoTime": 110}, "FLAIR"),
        ({"SeriesDescription": "AX FLAIR", "ProtocolName": "BRAIN MRA PERFUSION DTI"}, "FLAIR"),
        ({"SeriesDescription": "AX", "ProtocolName": "t2_tse_tra"}, "T2"),
        ({"SeriesDescription": "T1 AX", "ProtocolName": "BRAIN WITH CONTRAST"}, "T1"),
        ({"SeriesDescription": "T1 AX", "ContrastBolusAgent": "Gadavist 7 ml"}, "T1C"),
        ({"SeriesDescription": "T1 AX", "ContrastBolusAgent": "NONE"}, "T1"),
        ({"SeriesDescription": "T1 AX", "ContrastBolusAgent": "no"}, "T1"),
        ({"SeriesDescription": "T1 AX PRE", "ContrastBolusAgent": "Gadavist"}, "T1"),
        ({"SeriesDescription": "T1 AX", "ContrastBolusAgent": ""}, "T1"),
        ({"SeriesDescription": "T1 AX POST", "ProtocolName": "BRAIN W WO CONTRAST"}, "T1C"),
        ({"SeriesDescription": "AX", "SequenceName": "*tir2d1_21", "EchoTime": 120, "InversionTime": 2400}, "FLAIR"),
        ({"EchoTime": 110, "RepetitionTime": 9000, "InversionTime": 2500}, "FLAIR"),
        ({"EchoTime": 100, "RepetitionTime": 4000}, "T2"),
        ({"EchoTime": 100, "RepetitionTime": 4000, "InversionTime": 0}, "T2"),
        ({"EchoTime": 100, "RepetitionTime": 4000, "InversionTime": 160}, ""),
        ({"EchoTime": 12, "RepetitionTime": 550}, "T1"),
        ({"EchoTime": 12, "RepetitionTime": 550, "ContrastBolusAgent": "Dotarem"}, "T1C"),
        ({"EchoTime": "", "RepetitionTime": None}, ""),
        ({"EchoTime": "x", "RepetitionTime": "y"}, ""),
        ({"Modality": "CT", "SeriesDescription": "FLAIR"}, ""),
    ],
)
def test_what_else_the_header_says_decides_where_words_do_not(more: dict[str, Any], expected: str) -> None:
    assert role({"Modality": "MR"} | more) == expected


def test_the_real_series_have_the_roles_that_they_were_made_for(data: Path, tmp_path: Path) -> None:
    (patient,) = scanned((data / "dicom" / "glioma-fg6692",), tmp_path).patients
    assert [stack.role for stack in patient.studies[0].stacks] == ["T2", "FLAIR", "T1", "T1C"]
    (stack,) = scanned((data / "dicom" / "brain-mr-oblique",), tmp_path).stacks
    assert stack.role == "PD"
