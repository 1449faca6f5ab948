"""What a model held for likely, in the journal: kept once, outliving edits, and damage where it is missing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from overread.domain.errors import UserError
from overread.domain.finding import Act, Reader
from overread.domain.probability import Probabilities
from overread.session.journal import Journal
from session.test_journal import SHAPE, some
from support.sitting import box_mask


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journals" / "a.sqlite"


def test_what_the_model_held_for_likely_outlives_edits_and_is_kept_once(path: Path) -> None:
    values = np.random.default_rng(3).integers(0, 256, (3, 4, 5), np.uint8)
    kept = Probabilities.of(values, (1, 2, 3), SHAPE)
    assert kept is not None
    first, other = some(1, probabilities=kept), some(2)
    act = Act(Reader("Doe"), "brush", datetime(2026, 1, 2, tzinfo=UTC))
    brushed = first.redrawn(box_mask(SHAPE, (2, 2, 2), (2, 2, 2)), None, act)
    journal = Journal(path, "1.2.3")
    journal.write("edit", "propose", "Doe", (), (first, other))
    journal.write("edit", "brush", "Doe", (first, other), (brushed, other))
    journal.close()
    journal = Journal(path, "1.2.3")
    history = journal.replay()
    journal.close()
    assert history.value == (brushed, other)
    edited, untouched = history.value
    assert edited.probabilities == kept
    assert edited.mask != edited.original
    assert untouched.probabilities is None
    with closing(sqlite3.connect(path)) as file:
        rows = file.execute("SELECT bits FROM masks WHERE digest = ?", (kept.digest,)).fetchall()
    assert rows == [(kept.packed,)]
    assert history.undo()
    assert history.value[0].probabilities is edited.probabilities


def test_probabilities_that_are_missing_or_changed_are_damage(path: Path) -> None:
    kept = Probabilities.of(np.full((1, 2, 3), 200, np.uint8), (1, 1, 1), SHAPE)
    assert kept is not None
    journal = Journal(path, "1.2.3")
    journal.write("edit", "propose", "Doe", (), (some(1, probabilities=kept),))
    journal.close()
    other = Probabilities.of(np.full((1, 2, 3), 201, np.uint8), (1, 1, 1), SHAPE)
    assert other is not None
    for change in ("UPDATE masks SET bits = ? WHERE digest = ?", "DELETE FROM masks WHERE ? <> digest AND digest = ?"):
        with closing(sqlite3.connect(path)) as file, file:
            assert file.execute(change, (other.packed, kept.digest)).rowcount == 1
        journal = Journal(path, "1.2.3")
        with pytest.raises(UserError, match="damaged"):
            journal.replay()
        journal.close()
