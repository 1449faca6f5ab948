"""What the reader named (files, folders, archives, DICOMDIR) → the files to look at."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from overread.domain.errors import UserError

# More than any study on earth; an archive that unpacks to more is no study.
_MOST_BYTES = 64 << 30


def files(paths: tuple[Path, ...], scratch: Path) -> Iterator[Path]:
    """Every file below the paths, each once, in a fixed order. Archives are unpacked into `scratch`.

    UserError where a path does not exist or an archive cannot be opened.
    """
    seen: set[Path] = set()
    for path in paths:
        for file in _below(path.expanduser(), scratch):
            real = file.resolve()
            if real not in seen:
                seen.add(real)
                yield file


def _below(path: Path, scratch: Path) -> Iterator[Path]:
    if not path.exists():
        raise UserError(f"{path} does not exist.", "Check the path.")
    if path.is_file() and path.name.upper() == "DICOMDIR":
        path = path.parent
    if path.is_file():
        if zipfile.is_zipfile(path):
            path = _unpacked(path, scratch)
        else:
            yield path
            return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(names):
            file = Path(folder, name)
            if name.upper() == "DICOMDIR" or name.startswith("."):
                continue
            if name.lower().endswith(".zip") and zipfile.is_zipfile(file):
                yield from _below(_unpacked(file, scratch), scratch)
            elif file.is_file():
                yield file


def _unpacked(archive: Path, scratch: Path) -> Path:
    """Unpack into a folder of `scratch` named by the archive and its time; done once."""
    stat = archive.stat()
    target = scratch / f"{archive.stem}-{stat.st_mtime_ns:x}-{stat.st_size:x}"
    if target.exists():
        return target
    partial = target.with_suffix(".partial")
    try:
        with zipfile.ZipFile(archive) as members:
            if sum(member.file_size for member in members.infolist()) > _MOST_BYTES:
                raise UserError(
                    f"{archive.name} unpacks to more than 64 GiB.", "Unpack it yourself and open the folder."
                )
            members.extractall(partial)  # zipfile strips drive letters and “..” from member names
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        reason = "it is encrypted" if "encrypt" in str(error) or "password" in str(error) else "it is damaged"
        raise UserError(
            f"{archive.name} cannot be unpacked: {reason}.", "Unpack it yourself and open the folder."
        ) from error
    except OSError as error:
        raise UserError(f"{archive.name} cannot be unpacked: {error.strerror}.", "Free some disk space.") from error
    partial.rename(target)
    return target
