"""`overread audit`: who did what to a study, when, with which model."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from overread.commands.answers import emit, say
from overread.commands.journals import catalogue_of, journal_of, studies
from overread.domain.study import Identity
from overread.session.journal import Entry, Journal, in_words, set_back


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("study", type=Path, help="the study's folder, or any file of it")
    parser.add_argument("--json", action="store_true", help="one JSON object")


@dataclass(frozen=True)
class _Trail:
    study_uid: str
    journal: Path
    entries: tuple[Entry, ...]
    broken_at: int | None


def run(arguments: argparse.Namespace) -> int:
    """Print the journal of each study found. Status 3 where its chain of hashes is broken."""
    with catalogue_of(arguments.study) as catalogue:
        trails = [_trail(who) for who in studies(catalogue) if journal_of(who).exists()]
    if arguments.json:
        emit({"studies": [_answer(trail) for trail in trails]})
    elif not trails:
        say("Nobody has read this study here yet.")
    else:
        for trail in trails:
            _print(trail)
    return 3 if any(trail.broken_at is not None for trail in trails) else 0


def _trail(who: Identity) -> _Trail:
    journal = Journal(journal_of(who), who.study_uid)
    try:
        return _Trail(who.study_uid, journal.path, tuple(journal.entries()), journal.broken())
    finally:
        journal.close()


def _answer(trail: _Trail) -> dict[str, object]:
    return {
        "study_uid": trail.study_uid,
        "journal": str(trail.journal),
        "broken_at": trail.broken_at,
        "clock_set_back": [{"entry": n, "seconds": back.total_seconds()} for n, back in set_back(trail.entries)],
        "entries": [
            {"number": e.number, "at": e.at, "reader": e.reader, "verb": e.verb, "label": e.label, "model": e.model}
            for e in trail.entries
        ],
    }


def _print(trail: _Trail) -> None:
    say(f"Study {trail.study_uid}")
    for entry in trail.entries:
        model = f" · {entry.model}" if entry.model else ""
        say(f"  {entry.number:>4} {entry.at} {entry.reader} {entry.verb}: {entry.label}{model}")
    for number, behind in set_back(trail.entries):
        say(f"  ⚠ Before entry {number} the clock was set back by {in_words(behind)}: its times are not in order.")
    if trail.broken_at is not None:
        say(f"  ⚠ Entry {trail.broken_at} was changed after it was written.")
