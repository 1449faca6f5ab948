"""`overread export`: what the reader accepted in a study, as DICOM."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from overread import paths
from overread.commands.answers import emit, files_answer, say
from overread.commands.engine import reader
from overread.commands.journals import catalogue_of, journal_of, studies
from overread.dicom.export import Written, shipment
from overread.domain.errors import UserError
from overread.session.books import Books


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("study", type=Path, help="the study's folder")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the files go")
    parser.add_argument("--reader", default="", metavar="NAME", help="who exports")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Export each series in which something was accepted: all of them, or none where one cannot be written."""
    exporting = reader(arguments.reader)
    books = Books(paths.data() / "journals")
    written: list[Written] = []
    try:
        with catalogue_of(arguments.study) as catalogue, shipment(arguments.out) as shipping:
            known = [who for who in studies(catalogue) if journal_of(who).exists()]
            leaving = [finding for who in known for finding in books.of(who).findings if finding.status.leaves]
            for stack in catalogue.stacks:
                here = [finding for finding in leaving if finding.stack_uid == stack.uid]
                if here:
                    judges = {finding.reader for finding in here if finding.reader}
                    observer = judges.pop() if len(judges) == 1 else exporting  # who accepted, not who sends it
                    shipping.add(stack, here, observer)
            images = {stack.uid for stack in catalogue.stacks}
        written = shipping.written
        for who in known:
            names = ", ".join(item.path.name for item in written if journal_of(item.identity) == journal_of(who))
            if names:
                books.of(who).journal.write("export", names, exporting.name)
    except BaseException:
        for item in written:
            item.path.unlink(missing_ok=True)
        raise
    finally:
        books.close()
    absent = sum(finding.stack_uid not in images for finding in leaving)
    if absent:
        lost = UserError(
            f"{absent} of {len(leaving)} accepted findings lie on images that are not all here.",
            "Name the folder of the whole study.",
        )
        if not written:
            raise lost
        sys.stderr.write(f"{lost}\n")
    if not written:
        raise UserError("Nothing was accepted in this study yet.", "Accept findings first.")
    if arguments.json:
        emit({"files": files_answer(written)})
    else:
        say(*(f"{item.kind}: {item.path}" for item in written))
    return 0
