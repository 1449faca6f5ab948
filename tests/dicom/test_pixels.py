"""Pixels in every layout that DICOM allows: the values, signs and colours that were meant."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pack_bits
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from overread.dicom.codecs import Undecodable, compressed
from overread.dicom.load import empty_volume, load, loaded
from overread.dicom.scan import scanned
from overread.domain.study import Encoding, Stack
from support.series import changed, write_series

PICTURE = np.arange(6 * 8, dtype=np.uint16).reshape(6, 8)
COLOUR = np.random.default_rng(5).integers(0, 256, (6, 8, 3), np.uint8)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., NDArray[Any]]:
    """Write one file with the given pixel data and attributes, and read its voxels."""

    def write_and_read(data: bytes, shape: tuple[int, ...] = (6, 8), syntax: str = "", **attributes: Any) -> Any:
        return loaded(file_of(tmp_path / "in", data, shape, syntax, **attributes)).voxels

    return write_and_read


def file_of(folder: Path, data: bytes, shape: tuple[int, ...], syntax: str = "", **attributes: Any) -> Stack:
    (path,) = write_series(folder, np.zeros((1, *shape[:2]), np.int16))
    image = pydicom.dcmread(path)
    for keyword, value in attributes.items():
        image.add_new(keyword, pydicom.datadict.dictionary_VR(keyword)[:2], value)
    image.PixelData = data + b"\0" * (len(data) % 2)
    if syntax:
        image.file_meta.TransferSyntaxUID = syntax
    if image.file_meta.TransferSyntaxUID.is_encapsulated:
        image.PixelData = encapsulate([data])
        image["PixelData"].VR = "OB"
    else:
        image["PixelData"].VR = "OW" if image.BitsAllocated > 8 else "OB"
    big = syntax == ExplicitVRBigEndian
    pydicom.dcmwrite(path, image, implicit_vr=False, little_endian=not big, force_encoding=True)
    (stack,) = scanned((folder,), folder / "scratch").stacks
    return stack


def rgb(**more: Any) -> dict[str, Any]:
    form = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    return form | {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0} | more


CODECS: dict[str, Callable[[NDArray[Any]], bytes] | None] = {
    ExplicitVRLittleEndian: None,
    ExplicitVRBigEndian: None,
    DeflatedExplicitVRLittleEndian: None,
    RLELossless: lambda a: pydicom.pixels.encoders.native._encode_frame(  # type: ignore[attr-defined]
        a.astype("<u2").tobytes(), _Runner(a)
    ),
    JPEGLSLossless: lambda a: imagecodecs.jpegls_encode(a),
    JPEG2000Lossless: lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True),
}


class _Runner:
    """What pydicom's RLE encoder asks about a frame."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.rows, self.columns, self.samples_per_pixel, self.bits_allocated = *array.shape, 1, 16
        self.number_of_frames, self.planar_configuration = 1, 0

    def get_option(self, name: str, default: Any = None) -> Any:
        return "<" if name == "byteorder" else default


@pytest.mark.parametrize("syntax", [str(syntax) for syntax in CODECS])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stored=st.integers(9, 16),
    signed=st.booleans(),
    noise=hnp.arrays(np.uint16, (6, 8)),
    dirt=st.integers(0, 0xFFFF),
)
def test_values_are_those_of_bits_stored(
    tmp_path_factory: pytest.TempPathFactory,
    syntax: str,
    stored: int,
    signed: bool,
    noise: NDArray[np.uint16],
    dirt: int,
) -> None:
    clean = noise & ((1 << stored) - 1)
    value = clean.astype(np.int32)
    if signed:
        value = np.where(value >= 1 << (stored - 1), value - (1 << stored), value)
    codec = CODECS[syntax]
    # Only raw and run-length pixels can hold anything above Bits Stored.
    words = clean if codec and syntax != RLELossless else clean | np.uint16(dirt << stored & 0xFFFF)
    data = codec(words) if codec else words.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes()
    form = {"BitsStored": stored, "HighBit": stored - 1, "PixelRepresentation": int(signed)}
    volume = loaded(file_of(tmp_path_factory.mktemp("bits"), data, (6, 8), syntax, **form))
    assert volume.voxels.dtype == (np.int16 if signed else np.uint16)
    assert np.array_equal(volume.voxels[0], value)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_every_width_keeps_its_values(read: Callable[..., NDArray[Any]], dtype: Any, syntax: str) -> None:
    limits = np.iinfo(dtype)
    picture = np.linspace(limits.min, limits.max, 48).astype(dtype).reshape(6, 8)
    form = {"BitsAllocated": limits.bits, "BitsStored": limits.bits, "HighBit": limits.bits - 1}
    data = picture.astype(picture.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")).tobytes()
    got = read(data, syntax=syntax, PixelRepresentation=int(limits.min < 0), **form)
    assert got.dtype == dtype
    assert np.array_equal(got[0], picture)


def test_single_bits(read: Callable[..., NDArray[Any]]) -> None:
    picture = np.random.default_rng(2).integers(0, 2, (6, 8), np.uint8)
    got = read(pack_bits(picture), BitsAllocated=1, BitsStored=1, HighBit=0, PixelRepresentation=0)
    assert np.array_equal(got[0], picture)


def test_inverted_pictures_keep_their_stored_values(read: Callable[..., NDArray[Any]]) -> None:
    got = read(PICTURE.tobytes(), PhotometricInterpretation="MONOCHROME1", PixelRepresentation=0)
    assert np.array_equal(got[0], PICTURE)


# Colour

ROTATED = np.moveaxis(COLOUR, -1, 0)


@pytest.mark.parametrize(
    ("data", "more"),
    [
        (COLOUR.tobytes(), {}),
        (ROTATED.tobytes(), {"PlanarConfiguration": 1}),
        ((COLOUR.astype("<u2") * 257).tobytes(), {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}),
        ((COLOUR.astype("<u2") * 16).tobytes(), {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}),
    ],
    ids=["pixel by pixel", "plane by plane", "16 bits", "12 bits"],
)
def test_colour_comes_as_bytes_of_red_green_and_blue(
    read: Callable[..., NDArray[Any]], data: bytes, more: dict[str, Any]
) -> None:
    got = read(data, **rgb(**more))
    assert got.dtype == np.uint8
    assert np.array_equal(got[0], COLOUR)


def ybr(colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pydicom.pixels.convert_color_space(colour, "RGB", "YBR_FULL")


def test_luminance_and_chrominance_become_red_green_and_blue(read: Callable[..., NDArray[Any]]) -> None:
    smooth = np.repeat(COLOUR[:, ::2], 2, axis=1)
    full = ybr(smooth)
    whole = read(full.tobytes(), **rgb(PhotometricInterpretation="YBR_FULL"))[0]
    assert np.abs(whole.astype(int) - smooth).max() <= 2
    halved = np.stack([full[:, ::2, 0], full[:, 1::2, 0], full[:, ::2, 1], full[:, ::2, 2]], axis=-1)
    half = read(halved.tobytes(), **rgb(PhotometricInterpretation="YBR_FULL_422"))[0]
    assert np.abs(half.astype(int) - smooth).max() <= 2


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "RGB"])
def test_jpeg_colour_follows_the_header(read: Callable[..., NDArray[Any]], photometric: str) -> None:
    smooth = np.kron(np.array([[[200, 30, 60], [20, 180, 90]]], np.uint8), np.ones((16, 16, 1), np.uint8))
    space = "YCBCR" if photometric.startswith("YBR") else "RGB"
    data = imagecodecs.jpeg8_encode(smooth, level=98, colorspace="RGB", outcolorspace=space)
    got = read(data, (16, 32), JPEGBaseline8Bit, **rgb(PhotometricInterpretation=photometric))
    away = np.r_[2:12, 20:30]  # from the edge, where chrominance of half the resolution bleeds
    assert np.abs(got[0].astype(int) - smooth)[:, away].max() <= 6


@pytest.mark.parametrize("bits", [8, 16])
def test_palettes_become_colours(read: Callable[..., NDArray[Any]], bits: int) -> None:
    table = np.random.default_rng(1).integers(0, 256, (3, 48)).astype("u1" if bits == 8 else "<u2")
    form: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR", "PixelRepresentation": 0}
    for name, entries in zip(("Red", "Green", "Blue"), table, strict=True):
        form[f"{name}PaletteColorLookupTableDescriptor"] = [48, 0, bits]
        form[f"{name}PaletteColorLookupTableData"] = (entries if bits == 8 else entries * 257).tobytes()
    got = read(PICTURE.astype("<u2").tobytes(), **form)
    assert np.array_equal(got[0], table.T[PICTURE])


# Damage


@pytest.mark.parametrize("keep", [0, 40, 95])
def test_a_slice_that_is_cut_off_is_named_and_the_others_are_read(tmp_path: Path, keep: int) -> None:
    paths = write_series(tmp_path / "in", np.stack([PICTURE + k for k in range(4)]).astype(np.int16))
    data = paths[2].read_bytes()
    paths[2].write_bytes(data[: len(data) - 96 + keep])
    (stack,) = scanned((tmp_path / "in",), tmp_path).stacks
    _, voxels = empty_volume(stack)
    arrivals = list(load(stack, voxels))
    assert [failed for arrived in arrivals for failed in arrived.failed] == [(2, "the pixel data is cut off")]
    assert np.array_equal(voxels[[0, 1, 3]], np.stack([PICTURE + k for k in (0, 1, 3)]))


def test_pixel_data_that_is_too_short_is_not_filled_from_what_follows(tmp_path: Path) -> None:
    for stored in (16, 12):
        (path,) = write_series(tmp_path / str(stored), PICTURE[None].astype(np.int16), BitsStored=stored)
        image = pydicom.dcmread(path)
        image.PixelData = image.PixelData[:-20]
        image.DataSetTrailingPadding = b"\0" * 400
        image.save_as(path)
        (stack,) = scanned((path,), tmp_path).stacks
        (arrived,) = load(stack, empty_volume(stack)[1])
        assert arrived.failed == ((0, "the pixel data is cut off"),)


@pytest.mark.parametrize("syntax", [str(s) for s in CODECS if CODECS[s]])
def test_damaged_compressed_frames_fail_with_a_plain_sentence(tmp_path: Path, syntax: str) -> None:
    codec = CODECS[syntax]
    assert codec is not None
    data = codec(PICTURE)
    for number, spoiled in enumerate((b"\0\0", data[: len(data) // 3], bytes(len(data)), data[::-1])):
        stack = file_of(tmp_path / str(number), spoiled, (6, 8), syntax, PixelRepresentation=0)
        (arrived,) = load(stack, empty_volume(stack)[1])
        for _, reason in arrived.failed:
            assert "damaged" in reason or "the picture is" in reason
            assert "\n" not in reason
        assert arrived.failed or syntax != JPEGLSLossless


@pytest.mark.parametrize("syntax", [*(str(s) for s in CODECS if CODECS[s]), JPEGLosslessSV1, JPEGBaseline8Bit])
def test_no_damage_to_a_frame_ends_the_program(syntax: str) -> None:
    lossy = syntax == JPEGBaseline8Bit
    picture = np.random.default_rng(3).integers(0, 200 if lossy else 4000, (24, 20)).astype("u1" if lossy else "u2")
    codec = CODECS.get(syntax) or (lambda a: imagecodecs.jpeg8_encode(a, lossless=not lossy, predictor=1))
    data = codec(picture)
    encoding = Encoding(24, 20, bits_allocated=8 * picture.itemsize, bits_stored=8 * picture.itemsize)
    assert np.array_equal(compressed(data, syntax, encoding), picture) or lossy
    chance, refused = random.Random(7), 0
    for _ in range(150):
        spoiled = bytearray(data)
        for _ in range(chance.randrange(1, 6)):
            spoiled[chance.randrange(0 if syntax == RLELossless else 30, len(data))] = chance.randrange(256)
        if syntax != JPEGLSLossless and chance.random() < 0.3:  # CharLS takes seconds to find its end missing
            del spoiled[chance.randrange(30, len(data)) :]
        try:
            assert compressed(bytes(spoiled), syntax, encoding).shape == (24, 20)
        except Undecodable:
            refused += 1
    assert refused


def test_frames_of_another_size_than_the_header_says_are_not_shown(tmp_path: Path) -> None:
    data = imagecodecs.jpegls_encode(PICTURE[:5])
    stack = file_of(tmp_path / "in", data, (6, 8), JPEGLSLossless, PixelRepresentation=0)
    (arrived,) = load(stack, empty_volume(stack)[1])
    assert arrived.failed == ((0, "the picture is (5, 8), its header says (6, 8)"),)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEGLosslessSV1, JPEG2000Lossless])
def test_a_frame_that_states_a_huge_size_is_not_even_begun(syntax: str) -> None:
    codec = CODECS.get(syntax) or (lambda a: imagecodecs.jpeg8_encode(a, lossless=True, predictor=1))
    data = bytearray(codec(PICTURE))
    if syntax == JPEG2000Lossless:
        data[8:16] = b"\0\0\xff\xff" * 2
    else:
        at = data.index(b"\xff\xf7" if syntax == JPEGLSLossless else b"\xff\xc3") + 5
        data[at : at + 4] = b"\xff" * 4
    with pytest.raises(Undecodable, match=r"^the picture is \(65535, 65535\), its header says \(6, 8\)$"):
        compressed(bytes(data), syntax, Encoding(6, 8))


def test_an_unknown_transfer_syntax_is_named(tmp_path: Path) -> None:
    stack = file_of(tmp_path / "in", b"\0" * 96, (6, 8))
    path = changed(Path(stack.paths[0]))
    image = pydicom.dcmread(path)
    image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    image.PixelData = encapsulate([b"\0\0"])
    image["PixelData"].is_undefined_length = True
    image.save_as(path, implicit_vr=False, little_endian=True)
    (stack,) = scanned((path,), tmp_path).stacks
    (arrived,) = load(stack, empty_volume(stack)[1])
    assert "MPEG-4" in arrived.failed[0][1]
    assert "not known here" in arrived.failed[0][1]
