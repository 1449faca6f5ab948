"""Every transfer syntax against references and other decoders: the same values, or the loss that the codec may take."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from overread.dicom.codecs import Undecodable
from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.domain.study import Stack
from overread.domain.volume import Volume


def stack_of(path: Path, scratch: Path) -> Stack:
    (stack,) = scanned((path,), scratch).stacks
    return stack


def volume_of(path: Path, scratch: Path) -> Volume:
    return loaded(stack_of(path, scratch))


def real(volume: Volume) -> NDArray[Any]:
    return volume.voxels * volume.slope[:, None, None] + volume.intercept[:, None, None]


SIXTEEN = {  # codec: largest error allowed, None where stored values differ by design
    "BigEndianExplicit_1.2.840.10008.1.2.2": 0,
    "DeflatedExplicitVRLittleEndian_1.2.840.10008.1.2.1.99": 0,
    "JPEG2000LosslessOnly_1.2.840.10008.1.2.4.90": 0,
    "JPEG2000_1.2.840.10008.1.2.4.91": 5,
    "JPEGLSLossless_1.2.840.10008.1.2.4.80": 0,
    "JPEGLSLossy_1.2.840.10008.1.2.4.81": 1,
    "JPEGProcess14SV1_1.2.840.10008.1.2.4.70": 0,
    "JPEGProcess14_1.2.840.10008.1.2.4.57": 0,
    "LittleEndianImplicit_1.2.840.10008.1.2": 0,
    "RLELossless_1.2.840.10008.1.2.5": 0,
    "JPEGProcess1_1.2.840.10008.1.2.4.50": None,
    "JPEGProcess2_4_1.2.840.10008.1.2.4.51": None,
    "JPEGProcess6_8_1.2.840.10008.1.2.4.53": None,
    "JPEGProcess10_12_1.2.840.10008.1.2.4.55": None,
}


@pytest.mark.parametrize(("name", "limit"), SIXTEEN.items())
def test_one_image_in_every_syntax(data: Path, tmp_path: Path, name: str, limit: int | None) -> None:
    folder = data / "dicom" / "codecs" / "ct-16-syntaxes"
    path = folder / f"CTImage_{name}.dcm"
    volume = volume_of(path, tmp_path)
    assert volume.stack.frames[0].transfer_syntax == name.rsplit("_", 1)[1]
    reference = volume_of(folder / "CTImage_LittleEndianExplicit_1.2.840.10008.1.2.1.dcm", tmp_path).voxels
    if limit is not None:
        assert volume.voxels.dtype == np.int16
        assert np.abs(volume.voxels.astype(int) - reference).max() <= limit
    else:
        assert np.abs(real(volume) - sitk.GetArrayFromImage(sitk.ReadImage(str(path)))).max() <= 1
        assert np.corrcoef(volume.voxels.ravel(), reference.ravel())[0, 1] > 0.97


def test_the_reference_itself_is_read_right(data: Path, tmp_path: Path) -> None:
    path = data / "dicom" / "codecs" / "ct-16-syntaxes" / "CTImage_LittleEndianExplicit_1.2.840.10008.1.2.1.dcm"
    assert np.array_equal(volume_of(path, tmp_path).voxels[0], pydicom.dcmread(path).pixel_array)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        *[(f"CT1_{kind}", 0) for kind in ("J2KR", "JPLL", "JLSL", "RLE")],
        *[(f"US1_{kind}", 0) for kind in ("J2KR", "RLE")],
        ("CT1_JLSN", 4),
        ("CT1_J2KI", 352),
        ("NM1_JPLY", 36),
        ("MR4_JPLY", 40),
    ],
)
def test_the_standards_own_samples(data: Path, tmp_path: Path, name: str, limit: int) -> None:
    folder = data / "dicom" / "codecs" / "wg04"
    got = volume_of(folder / f"{name}.dcm", tmp_path)
    reference = volume_of(folder / f"{name[:3]}_UNC.dcm", tmp_path).voxels
    assert np.abs(got.voxels.astype(int) - reference).max() <= limit
    assert np.array_equal(reference[0], pydicom.dcmread(folder / f"{name[:3]}_UNC.dcm").pixel_array)
    assert bool(got.stack.lossy) == (limit > 0)


def test_frames_in_fragments_with_and_without_offset_table(data: Path, tmp_path: Path) -> None:
    folder = data / "dicom" / "encapsulation"
    single = {path.name: volume_of(path, tmp_path).voxels for path in (folder / "single-frame").glob("*.dcm")}
    assert len(single) == 4
    reference = volume_of(data / "dicom" / "codecs" / "wg04" / "CT1_UNC.dcm", tmp_path).voxels
    assert all(np.array_equal(voxels, reference) for voxels in single.values())
    many = {path.name: volume_of(path, tmp_path).voxels for path in (folder / "multi-frame").glob("CT0012*")}
    lossless = [voxels for name, voxels in many.items() if ".51." not in name and ".81." not in name]
    assert len(lossless) >= 7
    assert all(voxels.shape == (2, 512, 512) and np.array_equal(voxels, lossless[0]) for voxels in lossless)
    assert not np.array_equal(lossless[0][0], lossless[0][1])
    near = next(voxels for name, voxels in many.items() if ".81." in name)
    assert np.abs(near.astype(int) - lossless[0]).max() <= 2
    assert volume_of(next((folder / "multi-frame").glob("IM00001*")), tmp_path).voxels.shape == (8, 240, 320, 3)


def test_frames_of_one_file_are_the_same_in_every_syntax(data: Path, tmp_path: Path) -> None:
    folder = data / "dicom" / "multiframe" / "enhanced-mr-emri"
    reference = pydicom.dcmread(folder / "emri_small.dcm").pixel_array
    for path in sorted(folder.glob("*.dcm")):
        if "too_short" not in path.name:
            assert np.array_equal(volume_of(path, tmp_path).voxels, reference), path.name
    with pytest.raises(Undecodable, match=r"^slice 10: the compressed pixel data is damaged or cut off$"):
        volume_of(folder / "emri_small_jpeg_2k_lossless_too_short.dcm", tmp_path)


# What SimpleITK makes of them cannot be compared: it inverts, converts, or does not read at all.
OTHERWISE = ("RG1_J2KI", "too_short", "sm_image", "emri", "philips_mprage", "IM_0027", "csa_", "JPEGProcess", "CT0012")


def test_real_values_of_every_image_are_those_of_simpleitk(data: Path, tmp_path: Path) -> None:
    compared = 0
    for stack in scanned((data / "dicom",), tmp_path).stacks:
        if (len(stack.paths) > 1 and stack.identity.modality == "MR") or any(n in stack.paths[0] for n in OTHERWISE):
            continue
        volume = loaded(stack)
        for path in stack.paths[::5]:
            ks = [k for k, frame in enumerate(stack.frames) if frame.path == path]
            theirs = sitk.GetArrayFromImage(sitk.ReadImage(path))
            mine = volume.voxels if volume.colour else real(volume)
            if len(ks) != len(theirs):
                continue
            for k in ks:
                off = np.abs(mine[k].astype(float) - theirs[stack.frames[k].index])
                assert off.max() <= (1 if stack.lossy else 1e-3), path
                compared += 1
    assert compared > 40


def test_colour_is_what_another_decoder_sees(data: Path, tmp_path: Path) -> None:
    paths = [
        data / "dicom" / "encapsulation" / "deflate" / "image_dfl.dcm",
        *sorted((data / "dicom" / "codecs" / "wg04").glob("US1*")),
        *sorted((data / "dicom" / "derived-objects" / "highdicom").glob("sm_image*")),
        *sorted((data / "dicom" / "encapsulation" / "multi-frame").glob("IM00001*")),
    ]
    assert len(paths) > 10
    for path in paths:
        volume = volume_of(path, tmp_path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            theirs = pydicom.dcmread(path).pixel_array.reshape(volume.voxels.shape)
        off = np.abs(volume.voxels.astype(int) - theirs)
        assert off.max() <= (3 if volume.stack.lossy else 0), path.name
