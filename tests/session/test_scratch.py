"""What was unpacked goes with the program, and with the next one if it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from overread.session.scratch import Scratch

PROGRAM = """
import sys
from overread.session.scratch import Scratch
scratch = Scratch()
(scratch.folder / "patient.dcm").write_bytes(b"pixels")
print(scratch.folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_it_goes_with_the_program() -> None:
    with Scratch() as folder:
        (folder / "image.dcm").write_bytes(b"pixels")
        with Scratch() as other:
            assert other != folder
        assert (folder / "image.dcm").exists()
    assert not folder.exists()


def test_what_a_killed_program_left_is_swept_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    programs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    killed, living = programs
    try:
        folders = [Path((program.stdout.readline() if program.stdout else "").strip()) for program in programs]
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        (tmp_path / "overread-unpacked-strange").mkdir()
        with Scratch():
            assert [folder.exists() for folder in folders] == [False, True]
        assert (folders[1] / "patient.dcm").exists()
        assert (tmp_path / "overread-unpacked-strange").exists(), "a folder without the mark is not ours"
    finally:
        living.communicate()
        for program in programs:
            for pipe in (program.stdin, program.stdout):
                if pipe:
                    pipe.close()
