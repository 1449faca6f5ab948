"""`overread demo`: the synthetic demo study, made on first use."""

from __future__ import annotations

import argparse
from pathlib import Path

from overread import paths
from overread.commands.answers import say
from overread.dicom.demo import ensure_demo


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("--path", action="store_true", help="make the study, print its folder, and open nothing")


def run(arguments: argparse.Namespace) -> int:
    """Make the study and open it."""
    folder = demo_folder()
    if arguments.path:
        say(str(folder))
        return 0
    from overread.ui.desktop import open_desktop  # Qt is not needed to print a path

    return open_desktop([folder])


def demo_folder() -> Path:
    """The folder of the demo study."""
    return ensure_demo(paths.data() / "demo")
