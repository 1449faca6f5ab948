"""Pictures of text: every letter is another one, and what runs from right to left does."""

from __future__ import annotations

import numpy as np
import pytest

from overread.render.lettering import fonts, lettered, right_to_left


@pytest.mark.parametrize("letters", ["山田太郎", "やまだ", "한국어", "王小东"])
def test_letters_differ_and_follow_each_other_from_the_left(letters: str) -> None:
    singles = [lettered(letter, 40) for letter in letters]
    for at, one in enumerate(singles):
        assert (one < 128).sum() > 20
        for other in singles[at + 1 :]:
            assert one.shape != other.shape or not np.array_equal(one, other)
    whole = lettered(letters, 40)
    first = singles[0]
    assert whole.shape[1] > 1.5 * first.shape[1]
    ink = np.flatnonzero((first < 128).any(axis=0))[-1] + 1
    assert np.array_equal(whole[:, :ink] < 128, first[:, :ink] < 128)
    assert not (whole[[0, -1]] < 128).any(), "cut off above or below"


def test_hebrew_begins_at_the_right_and_arabic_is_joined() -> None:
    assert right_to_left("שלום")
    assert not right_to_left("Müller 山田")
    first, whole = lettered("ש", 40), lettered("שלום", 40)
    ink = np.flatnonzero((first < 128).any(axis=0))
    wide = ink[-1] - ink[0] + 1
    at = np.flatnonzero((whole < 128).any(axis=0))[-1] + 1 - wide
    assert np.abs(whole[:, at : at + wide].astype(int) - first[:, ink[0] : ink[-1] + 1]).mean() < 20
    joined = (lettered("محمد", 40) < 128).any(axis=0)
    ink = np.flatnonzero(joined)
    assert joined[ink[0] : ink[-1] + 1].all(), "there is a gap between letters"


def test_the_fonts_are_there() -> None:
    assert (fonts() / "DejaVuSans.ttf").is_file()
    assert (fonts() / "DejaVuSans-Bold.ttf").is_file()
