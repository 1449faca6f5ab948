"""The command line, and the only place that knows every command."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from overread import __version__
from overread.domain.errors import UserError

# Command → module below overread.commands, and what it does. Modules are imported only when their command runs.
COMMANDS = {
    "info": "what a path holds: patients, studies, series, geometry",
    "infer": "the main job without a window: read, accept, export",
    "models": "the models: list, show, check, add, quantize, prune, bench",
    "bench": "the benchmarks",
    "export": "what the reader accepted in a study, as DICOM and more",
    "outbox": "what waits for receivers: list, send, retry, remove",
    "nodes": "the receivers: list them, ask whether they answer",
    "audit": "who did what to a study, when, with which model",
    "doctor": "drivers, providers, self-tests: what serves, and why not more",
    "deidentify": "DICOM files without their patients",
    "demo": "open the synthetic demo study",
}


def parser() -> argparse.ArgumentParser:
    """The parser of the commands. Without a command, paths are opened in the desktop."""
    top = argparse.ArgumentParser(
        prog="overread",
        description="Models read first, a person over-reads. Not for clinical use.",
        epilog="“overread PATH …” opens files, folders, archives or a DICOMDIR in the desktop.",
    )
    top.add_argument("--version", action="version", version=f"overread {__version__}")
    return top


def main(given: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 done · 1 a fault of ours · 2 wrong usage · 3 the input cannot be read or is outside of what a model reads.
    """
    words = list(sys.argv[1:] if given is None else given)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be text, nor terminals know all letters
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    top = parser()
    try:
        if words and words[0] in COMMANDS:
            commands = top.add_subparsers(dest="command", metavar="COMMAND")
            module = import_module(f"overread.commands.{words[0]}")
            module.add(commands.add_parser(words[0], help=COMMANDS[words[0]], description=COMMANDS[words[0]]))
            status = int(module.run(top.parse_args(words)))
            sys.stdout.flush()
            return status
        for name, text in COMMANDS.items():
            top.epilog = f"{top.epilog}\n  overread {name:8} {text}"
        top.formatter_class = argparse.RawDescriptionHelpFormatter
        top.add_argument("path", nargs="*", type=Path, help="file, folder, zip or DICOMDIR to open")
        paths = top.parse_args(words).path
        from overread.ui.desktop import open_desktop  # Qt is slow to import and other commands need none

        return open_desktop(paths)
    except argparse.ArgumentError as error:
        sys.stderr.write(f"overread: {error}\n")
        return 2
    except UserError as error:
        sys.stderr.write(f"overread: {error}\n")
        return 3
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who read the answer has seen enough: “overread info … | head”
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at the end
        return 141


if __name__ == "__main__":
    sys.exit(main())
