"""`overread deidentify`: DICOM files without their patients, by PS3.15 annex E."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from overread import paths
from overread.commands.answers import emit, say, write_json
from overread.dicom.deidentify import Options
from overread.dicom.pseudonyms import Key, key_in
from overread.dicom.release import Report, release
from overread.domain.errors import UserError

# What is no DICOM file among others is no fault.
_NO_DICOM = "it is no DICOM file"


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("path", nargs="+", type=Path, help="files, folders, archives; they are only read")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the files go, named by new UIDs")
    add_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def add_options(parser: argparse.ArgumentParser) -> None:
    """How the patient is taken out."""
    parser.add_argument("--keep-uids", action="store_true", help="retain UIDs; else they are replaced, always alike")
    parser.add_argument(
        "--shift-dates", action="store_true", help="shift dates by days that are each patient's own; else no dates stay"
    )
    parser.add_argument(
        "--clean-descriptors", action="store_true", help="of descriptions leave the words of code tables; else none"
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the project's secret: with the same one, the same UIDs in every run"
    )


def options_of(arguments: argparse.Namespace) -> Options:
    """What was asked for."""
    return Options(arguments.keep_uids, arguments.shift_dates, arguments.clean_descriptors)


def key_of(arguments: argparse.Namespace) -> Key:
    """The secret that was named, or this machine's own. UserError where it cannot be used."""
    return key_in(arguments.key or paths.data() / "deidentify.key")


def run(arguments: argparse.Namespace) -> int:
    """Write the files and a report beside them. Status 3 where a DICOM object had to be left out."""
    report = release(arguments.path, arguments.out, key_of(arguments), options_of(arguments))
    tell(report, arguments.out)
    lost = [skipped for skipped in report.skipped if skipped.reason != _NO_DICOM]
    if arguments.json:
        skipped = [{"path": item.path, "reason": item.reason} for item in report.skipped]
        emit({**report.answer(), "out": str(arguments.out), "skipped": skipped})
    else:
        say(*report.lines())
    for item in lost:
        sys.stderr.write(f"{item.path} was left out: {item.reason}.\n")
    if not report.written and not lost:
        raise UserError("No DICOM files were found.", "Name the folder that holds them.")
    return 3 if lost else 0


def tell(report: Report, folder: Path) -> None:
    """Put the report beside the files, for machines and for people."""
    write_json(folder / "deidentification.json", report.answer())
    (folder / "deidentification.txt").write_text("\n".join(report.lines()) + "\n", "utf-8")
