"""What the reader named (files, folders, archives, DICOMDIR) → the files to look at."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from overread.domain.errors import UserError
from overread.domain.study import Skipped

# More than any study on earth; an archive that unpacks to more is no study.
_MOST_BYTES = 64 << 30
# Archives within archives happen; archives that hold themselves do as well.
_DEEPEST = 4
_BY_HAND = "Unpack it yourself and open the folder."


class _Shut(Exception):
    """An archive, or something in it, that cannot be unpacked; the text says why."""


# What the reader knows an unpacked file by: "study.zip/IM0001".
Names = dict[Path, str]


def files(paths: tuple[Path, ...], scratch: Path, names: Names | None = None) -> Iterator[Path | Skipped]:
    """Every file below the paths, each once, in a fixed order, and what cannot be unpacked on the way.

    Archives are unpacked into `scratch`, member by member; `names` gets what each is called in its archive.
    UserError where a path does not exist, an archive that the reader named cannot be unpacked, or the disk is full.
    """
    seen: set[Path] = set()
    names = {} if names is None else names
    for path in paths:
        for found in _named(path, scratch, names):
            if isinstance(found, Skipped):
                yield found
                continue
            real = found.resolve()
            if real not in seen:
                seen.add(real)
                yield found


def _named(path: Path, scratch: Path, names: Names) -> Iterator[Path | Skipped]:
    try:
        path = path.expanduser()
        path.stat()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.", "Check the path.") from error
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise UserError(f"{path} cannot be opened: {reason}.", "Check the path.") from error
    if path.is_file() and path.name.upper() == "DICOMDIR":
        path = path.parent
    if path.is_dir():
        yield from _below(path, scratch, names)
    elif _is_archive(path):
        try:
            yield from _unpacked(path, scratch, names, _DEEPEST)
        except _Shut as reason:
            raise UserError(f"{path.name} cannot be unpacked: {reason}.", _BY_HAND) from reason
    else:
        yield path


def _below(top: Path, scratch: Path, names: Names) -> Iterator[Path | Skipped]:
    for folder, folders, entries in os.walk(top):
        folders[:] = sorted(name for name in folders if not _junk(name))
        for name in sorted(entries):
            file = Path(folder, name)
            if not _junk(name) and file.is_file():
                yield from _file(file, scratch, names, _DEEPEST)


def _junk(name: str) -> bool:
    """Whether a file or folder is of no interest by its name: what systems leave behind, and indices."""
    return name.startswith((".", "__MACOSX")) or name.upper() == "DICOMDIR"


def _file(file: Path, scratch: Path, names: Names, depth: int) -> Iterator[Path | Skipped]:
    if file.suffix.lower() != ".zip" or not _is_archive(file):
        yield file
        return
    try:
        yield from _unpacked(file, scratch, names, depth)
    except _Shut as reason:
        yield Skipped(names.get(file, str(file)), f"an archive that cannot be unpacked: {reason}")


def _is_archive(file: Path) -> bool:
    """Whether a file is, or claims to be, a zip archive. Pixels may hold anything, so DICOM files are none."""
    try:
        with file.open("rb") as opened:
            start = opened.read(132)
    except OSError:
        return False
    return start[128:] != b"DICM" and (file.suffix.lower() == ".zip" or start.startswith(b"PK"))


def _unpacked(archive: Path, scratch: Path, names: Names, depth: int) -> Iterator[Path | Skipped]:
    """Unpack into a folder of `scratch` of the archive's own; what lies there already is not unpacked again.

    _Shut where nothing can be unpacked.
    """
    if not depth:
        raise _Shut("it lies too deep in other archives")
    stat = archive.stat()
    key = hashlib.sha256(os.fsencode(archive.resolve()) + f"/{stat.st_mtime_ns}/{stat.st_size}".encode())
    home = scratch / key.hexdigest()[:16]
    reasons: list[str] = []
    taken = 0
    try:
        opened = zipfile.ZipFile(archive)
    except Exception as error:
        raise _Shut("it is damaged") from error
    with opened as members:
        wanted = [(_place(home, at, member), member) for at, member in enumerate(members.infolist()) if _wanted(member)]
        _require_room(archive, scratch, sum(member.file_size for file, member in wanted if not file.exists()))
        for file, member in wanted:
            names[file] = f"{names.get(archive, archive)}/{member.filename}"
            try:
                if not file.exists():
                    _take_out(members, member, file)
            except _Shut as reason:
                reasons.append(str(reason))
                yield Skipped(names[file], f"cannot be unpacked: {reason}")
            else:
                taken += 1
                yield from _file(file, scratch, names, depth - 1)
    if reasons and not taken:
        raise _Shut(reasons[0])


def _wanted(member: zipfile.ZipInfo) -> bool:
    return not member.is_dir() and not any(_junk(part) for part in _inside(member).parts if part != "..")


def _inside(member: zipfile.ZipInfo) -> PurePosixPath:
    """The member's path; some programs write it the Windows way."""
    return PurePosixPath(member.filename.replace("\\", "/"))


def _place(home: Path, number: int, member: zipfile.ZipInfo) -> Path:
    """Where a member goes. Its number keeps members of one name apart; nothing in its name can lead elsewhere."""
    inside = _inside(member)
    folder = hashlib.sha256(str(inside.parent).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem, suffix = re.sub(r"[^A-Za-z0-9_-]+", "_", inside.stem)[:40], ".zip" if inside.suffix.lower() == ".zip" else ""
    return home / folder / f"{number:05d}-{stem}{suffix}"


def _require_room(archive: Path, scratch: Path, size: int) -> None:
    if size > _MOST_BYTES:
        raise UserError(f"{archive.name} unpacks to more than 64 GiB.", _BY_HAND)
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        if size > shutil.disk_usage(scratch).free:
            raise OSError(errno.ENOSPC, "the disk is full")
    except OSError as error:
        raise _disk(archive.name, error) from error


def _disk(name: str, error: OSError) -> UserError:
    return UserError(f"{name} cannot be unpacked: {error.strerror or error}.", "Free some disk space.")


def _take_out(members: zipfile.ZipFile, member: zipfile.ZipInfo, file: Path) -> None:
    """Unpack one member, whole or not at all. _Shut where the archive is at fault, UserError where the disk is."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".", delete=False) as partial:
            try:
                for block in _blocks(members, member):
                    partial.write(block)
            except BaseException:
                Path(partial.name).unlink()
                raise
        Path(partial.name).replace(file)
    except OSError as error:
        raise _disk(Path(members.filename or "").name, error) from error


def _blocks(members: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with members.open(member) as source:
            while block := source.read(1 << 20):
                yield block
    except Exception as error:  # each method of compression has errors of its own
        raise _Shut("it is encrypted" if member.flag_bits & 1 else "it is damaged") from error
