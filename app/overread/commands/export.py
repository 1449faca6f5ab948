"""`overread export`: what the reader accepted in a study, as DICOM."""

from __future__ import annotations

import argparse
from pathlib import Path

from overread import paths
from overread.commands.answers import emit, files_answer, say
from overread.commands.journals import catalogue_of, studies
from overread.dicom.export import Written, export
from overread.domain.errors import UserError
from overread.domain.finding import Reader
from overread.session.books import Books
from overread.session.settings import Settings


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("study", type=Path, help="the study's folder, or any file of it")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the files go")
    parser.add_argument("--reader", default="", metavar="NAME", help="who exports")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Export each series in which something was accepted."""
    reader = Reader(arguments.reader or Settings().reader or "Unnamed reader")
    books = Books(paths.data() / "journals")
    written: list[Written] = []
    try:
        with catalogue_of(arguments.study) as catalogue:
            held = [finding for who in studies(catalogue) for finding in books.of(who).findings]
            for stack in catalogue.stacks:
                leaving = [f for f in held if f.stack_uid == stack.uid and f.status.leaves]
                if leaving:
                    files = export(stack, leaving, arguments.out, reader)
                    written.extend(files)
                    names = ", ".join(item.path.name for item in files)
                    books.of(stack.identity).journal.write("export", names, reader.name)
    finally:
        books.close()
    if not written:
        raise UserError("Nothing was accepted in this study yet.", "Accept findings first.")
    if arguments.json:
        emit({"files": files_answer(written)})
    else:
        say(*(f"{item.kind}: {item.path}" for item in written))
    return 0
