"""Where archives are unpacked: a temporary folder that goes with the program, or with the next one."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_PREFIX = "overread-unpacked-"
_HELD = "held"


class Scratch:
    """A folder of this program's own. Patients' images lie in it, so what a killed program left is swept first."""

    def __init__(self) -> None:
        _sweep()
        for _ in range(3):  # another program's sweep may come between; where no file can be locked none sweeps
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._held = (self.folder / _HELD).open("wb")
            with suppress(OSError):
                _lock(self._held)
                if (self.folder / _HELD).exists():
                    return
            self._held.close()

    def __enter__(self) -> Path:
        return self.folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder."""
        self._held.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _lock(file: IO[bytes]) -> None:
    """Keep a file for this process as long as it is open. OSError where another process has it."""
    if sys.platform == "win32":
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sweep() -> None:
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            with (left / _HELD).open("r+b") as held:
                _lock(held)
                shutil.rmtree(left, ignore_errors=True)
        except OSError:  # somebody is at work there, or it is not ours
            continue
        shutil.rmtree(left, ignore_errors=True)  # Windows keeps what is open
