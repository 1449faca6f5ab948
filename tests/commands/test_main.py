"""The door: which words are commands, what wrong usage is, what is imported, what a poor terminal gets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

import overread as package
from overread.__main__ import COMMANDS

SCRIPT = """
import sys
from overread.__main__ import main

status = main(sys.argv[1:])
loaded = [name for name in ("PySide6", "pyqtgraph", "vtkmodules", "onnxruntime") if name in sys.modules]
sys.exit(status or f"loaded {loaded}" if loaded else status)
"""


SLOW = (
    *("SimpleITK", "dicomanonymizer", "dicomweb_client", "highdicom", "matplotlib", "onnx", "onnxruntime", "openvino"),
    *("pynetdicom", "reportlab", "requests", "scipy", "skimage", "torch", "tqdm", "tritonclient", "vtkmodules"),
)


def test_the_window_opens_without_what_takes_long_to_import() -> None:
    script = f"import sys, overread.ui.desktop; sys.exit(' '.join(n for n in {SLOW!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_what_pydicom_is_not_given_the_others_may_have() -> None:
    script = "import overread.dicom.codecs, requests, tqdm; print(requests.__name__, tqdm.__name__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["requests", "tqdm"]


def test_version_and_help(overread: Callable[..., Any]) -> None:
    said = overread("--version")
    assert (said.status, said.out) == (0, f"overread {package.__version__}\n")
    said = overread("--help")
    assert said.status == 0
    assert all(f"overread {name:8} {text}" in said.out for name, text in COMMANDS.items())
    assert "Not for clinical use." in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(overread: Callable[..., Any], command: str) -> None:
    said = overread(command, "--help")
    assert said.status == 0
    assert said.out.startswith(f"usage: overread {command} ")
    said = overread(command, "--no-such-option")
    assert (said.status, said.out) == (2, "")
    assert f"overread {command}: error: " in said.err or "overread: error: " in said.err


@pytest.mark.parametrize(
    "words",
    [("infer",), ("infer", "x", "--model", "m"), ("info",), ("export", "x"), ("audit",), ("audit", "x", "y")],
)
def test_what_is_left_out_is_wrong_usage(overread: Callable[..., Any], words: tuple[str, ...]) -> None:
    said = overread(*words)
    assert (said.status, said.out) == (2, "")


def test_a_poor_terminal_gets_an_answer_and_no_window_is_loaded(flair: Path) -> None:
    """In a process of its own, whose output knows ASCII alone; the patient's name does not fit into that."""
    for path in flair.iterdir():
        image = pydicom.dcmread(path)
        image.SpecificCharacterSet = "ISO_IR 192"
        image.PatientName = "Müller^Zoë"
        image.save_as(path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", SCRIPT, "info", str(flair)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "M\\xfcller^Zo\\xeb" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_fault(flair: Path) -> None:
    """As `overread info … | head` leaves it: nobody reads the answer any more."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "overread", "info", str(flair), "--json"]
    with os.fdopen(writing, "wb") as nowhere:
        done = subprocess.run(command, env=environment, stdout=nowhere, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (141, b"")
