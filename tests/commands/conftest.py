"""The command line, run in this process: the same code as in a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread import paths
from overread.__main__ import main
from overread.dicom.scan import scanned
from overread.domain.finding import Mask, Reader
from overread.session.books import Books
from overread.session.review import draw_new
from support.models import bright_model
from support.series import head_like, write_series

READER = Reader("Ada Lovelace")


@dataclass(frozen=True)
class Said:
    """What a command did: its exit status, and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout; anything else there makes this fail."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is no JSON")

        answer = json.loads(self.out, parse_constant=refuse)
        assert isinstance(answer, dict)
        return answer

    @property
    def complaint(self) -> str:
        """The one plain line of a command that did nothing."""
        assert self.out == ""
        line, rest = self.err.split("\n", 1)
        assert rest == ""
        assert line.startswith("overread: ")
        return line.removeprefix("overread: ")


@pytest.fixture
def overread(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command."""

    def run(*words: str | Path) -> Said:
        capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as ended:
            status = int(ended.code or 0)
        captured = capsys.readouterr()
        return Said(status, captured.out, captured.err)

    return run


@pytest.fixture
def bright() -> Path:
    """A model of the reader's own that finds what is bright on FLAIR."""
    return bright_model(paths.data() / "models")


@pytest.fixture
def flair(tmp_path: Path) -> Path:
    """A folder with one small FLAIR series of a head with a bright spot, 1.8 × 1.8 × 6 mm."""
    folder = tmp_path / "study"
    write_series(folder, head_like(), spacing=(1.8, 1.8), step=6.0)
    return folder


@pytest.fixture
def drawn(flair: Path) -> Path:
    """A study with one finding drawn in it."""
    (stack,) = scanned((flair,), flair).stacks
    voxels = np.zeros(stack.grid.shape, bool)
    voxels[:, 20:30, 25:40] = True
    books = Books(paths.data() / "journals")
    book = books.of(stack.identity)
    label, findings, _ = draw_new((), Mask.of(voxels), stack, READER)
    book.edit(label, findings, READER.name, "")
    books.close()
    return flair
