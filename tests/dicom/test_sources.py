"""What the reader names, archives above all: everything in it is found, nothing gets mixed, nothing gets out."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from overread.dicom import sources
from overread.dicom.scan import scan, scanned
from overread.dicom.sources import files
from overread.domain.errors import UserError
from overread.domain.study import Catalogue, Skipped
from support.series import write_series

VOXELS = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)


def zipped(archive: Path, members: list[tuple[str, bytes | Path]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", method) as opened:
        for name, content in members:
            opened.writestr(name, content.read_bytes() if isinstance(content, Path) else content)
    return archive


@pytest.fixture
def series(tmp_path: Path) -> Callable[..., list[Path]]:
    def make(name: str = "ONE", **more: str) -> list[Path]:
        return write_series(tmp_path / "made" / name, VOXELS, patient=(f"TEST^{name}", name), **more)

    return make


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def reasons(catalogue: Catalogue) -> dict[str, str]:
    return {Path(skipped.path).name: skipped.reason for skipped in catalogue.skipped}


def people(catalogue: Catalogue) -> dict[str, list[int]]:
    return {p.id: [len(stack.frames) for s in p.studies for stack in s.stacks] for p in catalogue.patients}


def test_folders_files_and_links_are_looked_at_once_in_order(tmp_path: Path, scratch: Path) -> None:
    folder = tmp_path / "study"
    for name in ("b/2", "b/1", "a/9", ".hidden/1", "__MACOSX/1", "c/.DS_Store", "DICOMDIR", "a/dicomdir"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "b" / "3").symlink_to(folder / "a" / "9")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    expected = ["a/9", "b/1", "b/2"]
    for given in ((folder,), (folder / "DICOMDIR",), (folder, folder / "b", folder / "b" / "2")):
        assert [str(path.relative_to(folder)) for path in files(given, scratch)] == expected  # type: ignore[union-attr]
    assert list(files((folder / "b" / "2", folder / "b" / "1"), scratch)) == [folder / "b" / "2", folder / "b" / "1"]


@pytest.mark.parametrize("path", ["nowhere", "x" * 5000, "nul\0l", "~nobody-of-that-name/x"])
def test_a_path_that_leads_nowhere_is_said_so(tmp_path: Path, scratch: Path, path: str) -> None:
    with pytest.raises(UserError, match=r"does not exist|cannot be opened"):
        list(files((Path(path) if path.startswith("~") else tmp_path / path,), scratch))


def test_an_archive_with_junk_and_archives_in_it_gives_all_its_images(
    tmp_path: Path, scratch: Path, series: Callable[..., list[Path]]
) -> None:
    one, two = series("ONE"), series("TWO")
    inner = zipped(tmp_path / "inner.zip", [(f"two/{path.name}", path) for path in two])
    outer = zipped(
        tmp_path / "outer.zip",
        [
            *((f"one/{path.name}", path) for path in one),
            ("deep/inner.ZIP", inner),
            ("readme.txt", b"hello"),
            ("__MACOSX/one/._000.dcm", b"junk"),
            ("one/.DS_Store", b"junk"),
            ("one/DICOMDIR", b"junk"),
            ("empty/", b""),
        ],
    )
    for given in (outer, tmp_path):
        catalogue = scanned((given,), scratch)
        assert people(catalogue) == {"ONE": [3], "TWO": [3]}
    assert list(reasons(scanned((outer,), scratch)).values()) == ["not a DICOM file"]


def test_members_of_one_name_do_not_replace_each_other(
    tmp_path: Path, scratch: Path, series: Callable[..., list[Path]]
) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = zipped(tmp_path / "twice.zip", [("IM1", path) for path in (*series("ONE"), *series("TWO"))])
    assert people(scanned((archive,), scratch)) == {"ONE": [3], "TWO": [3]}


def test_archives_alike_in_name_size_and_time_are_kept_apart(
    tmp_path: Path, scratch: Path, series: Callable[..., list[Path]]
) -> None:
    archives = [
        zipped(tmp_path / "in" / name / "study.zip", [(p.name, p) for p in series(name)], zipfile.ZIP_STORED)
        for name in ("ONE", "TWO")
    ]
    largest = max(archive.stat().st_size for archive in archives)
    for archive in archives:
        with zipfile.ZipFile(archive, "a") as opened:  # UIDs differ in length
            opened.comment = b" " * (largest - archive.stat().st_size)
        os.utime(archive, ns=(10**18, 10**18))
    assert archives[0].stat().st_size == archives[1].stat().st_size
    assert people(scanned((tmp_path / "in",), scratch)) == {"ONE": [3], "TWO": [3]}


def test_nothing_is_written_outside_the_scratch_folder(tmp_path: Path, series: Callable[..., list[Path]]) -> None:
    one = series("ONE")
    names = ["../../escaped.dcm", "/" + str(tmp_path / "absolute.dcm"), "a/../../../up.dcm", "..\\win.dcm", "C:\\x.dcm"]
    names += ["a" * 300 + ".dcm", "a" * 200 + "/" + "b" * 250 + "/c.dcm", "\u5c71\u7530.dcm"]
    archive = zipped(tmp_path / "slip.zip", [(name, one[0]) for name in names])
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(link, str(tmp_path / "made"))
    before = set(tmp_path.rglob("*"))
    found = list(files((archive,), tmp_path / "box" / "scratch"))
    assert len(found) == len(names) + 1
    new = set(tmp_path.rglob("*")) - before
    assert all((tmp_path / "box" / "scratch") in (path, *path.parents) for path in new - {tmp_path / "box"})
    assert not any(path.is_symlink() for path in new)


def encrypted(archive: Path) -> Path:
    """Mark every member as encrypted, as a reader without password sees it."""
    data = bytearray(archive.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(signature, at + 4)
    archive.write_bytes(data)
    return archive


def cut(archive: Path) -> Path:
    archive.write_bytes(archive.read_bytes()[:-40])
    return archive


@pytest.mark.parametrize(("spoil", "why"), [(encrypted, "it is encrypted"), (cut, "it is damaged")])
def test_a_shut_archive_is_named_and_takes_nothing_along(
    tmp_path: Path, scratch: Path, series: Callable[..., list[Path]], spoil: Callable[[Path], Path], why: str
) -> None:
    series("ONE")
    archive = spoil(zipped(tmp_path / "made" / "shut.zip", [(path.name, path) for path in series("TWO")]))
    with pytest.raises(UserError, match=rf"^shut.zip cannot be unpacked: {why}\."):
        scanned((archive,), scratch)
    archive.with_name("TWO").rename(tmp_path / "elsewhere")
    catalogue = scanned((tmp_path / "made",), scratch)
    assert people(catalogue) == {"ONE": [3]}
    assert why in reasons(catalogue)["shut.zip"]
    assert not [path for path in scratch.rglob("*") if path.is_file()]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_costs_itself_alone(
    tmp_path: Path, scratch: Path, series: Callable[..., list[Path]], method: int
) -> None:
    archive = zipped(tmp_path / "bad.zip", [(path.name, path) for path in series()], method)
    with zipfile.ZipFile(archive) as opened:
        second = opened.infolist()[1]
    data = bytearray(archive.read_bytes())
    start = second.header_offset + 30 + len(second.filename)
    middle = start + second.compress_size // 2
    data[middle : middle + 20] = bytes(byte ^ 0xFF for byte in data[middle : middle + 20])
    archive.write_bytes(data)
    catalogue = scanned((archive,), scratch)
    assert people(catalogue) == {"ONE": [2]}
    assert reasons(catalogue) == {second.filename: "cannot be unpacked: it is damaged"}
    assert len([path for path in scratch.rglob("*") if path.is_file()]) == 2


def test_archives_within_archives_come_to_an_end(tmp_path: Path, scratch: Path) -> None:
    archive = zipped(tmp_path / "0.zip", [("x.txt", b"x")])
    for level in range(1, 8):
        archive = zipped(tmp_path / f"{level}.zip", [(f"{level}.zip", archive)])
    (skipped,) = scanned((archive,), scratch).skipped
    assert "too deep" in skipped.reason


def test_an_archive_is_unpacked_once(tmp_path: Path, scratch: Path, series: Callable[..., list[Path]]) -> None:
    archive = zipped(tmp_path / "once.zip", [(path.name, path) for path in series()])
    first = {path: path.stat().st_mtime_ns for path in files((archive,), scratch) if isinstance(path, Path)}
    again = {path: path.stat().st_mtime_ns for path in files((archive,), scratch) if isinstance(path, Path)}
    assert first == again


def test_a_scan_called_off_while_unpacking_stops_there(
    tmp_path: Path, scratch: Path, series: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped(tmp_path / "many.zip", [(path.name, path) for path in series()])
    monkeypatch.setattr("overread.dicom.scan._EVERY_S", -1.0)
    running = scan((archive,), scratch)
    next(running)
    running.close()
    assert len([path for path in scratch.rglob("*") if path.is_file()]) == 1


def test_a_full_disk_ends_the_scan_with_a_plain_sentence(
    tmp_path: Path, scratch: Path, series: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped(tmp_path / "big.zip", [(path.name, path) for path in series()])
    usage = sources.shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(sources.shutil, "disk_usage", lambda _: usage._replace(free=100))
        with pytest.raises(UserError, match="disk is full"):
            list(files((archive,), scratch))
    blocked = tmp_path / "blocked"
    blocked.write_bytes(b"")
    with pytest.raises(UserError, match="cannot be unpacked"):
        list(files((archive,), blocked / "scratch"))


def test_a_dicom_file_that_ends_like_an_archive_is_read_as_dicom(
    tmp_path: Path, scratch: Path, series: Callable[..., list[Path]]
) -> None:
    other = zipped(tmp_path / "tail.zip", [("x", b"x")])
    image = series()[0]
    image.write_bytes(image.read_bytes() + other.read_bytes())
    renamed = image.rename(image.with_suffix(".zip"))
    assert list(files((renamed,), scratch)) == [renamed]
    assert people(scanned((renamed,), scratch)) == {"ONE": [1]}


def test_every_part_of_an_archive_that_fails_is_reported_as_skipped_not_raised(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "not.zip").write_bytes(b"no archive at all")
    (tmp_path / "in" / "empty.zip").write_bytes(b"")
    found = list(files((tmp_path / "in",), scratch))
    assert [type(item) for item in found] == [Skipped, Skipped]


def test_what_is_left_out_bears_the_name_it_has_in_its_archive(tmp_path: Path, scratch: Path) -> None:
    inner, outer = tmp_path / "inner.zip", tmp_path / "study.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("deep/notes.txt", "no image")
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("letter.txt", "no image")
        archive.write(inner, "more/inner.zip")
    skipped = scanned((outer,), scratch).skipped
    assert [left.path for left in skipped] == [f"{outer}/letter.txt", f"{outer}/more/inner.zip/deep/notes.txt"]
