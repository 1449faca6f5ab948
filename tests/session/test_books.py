"""One book for each study of each person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from overread.session.journal import journal_path
from support.sitting import stack_of


def test_one_journal_for_a_study_of_a_person_however_the_name_is_spelled(tmp_path: Path) -> None:
    who = stack_of().identity
    mine = journal_path(tmp_path, who)
    assert (
        journal_path(tmp_path, replace(who, patient_name="name id1 ", series_uid="9", series_description="T2")) == mine
    )
    others = [
        replace(who, patient_id="ID2"),
        replace(who, patient_name="NAME^ID2"),
        replace(who, birth_date="19700102"),
        replace(who, study_uid="1.2.4"),
        replace(who, patient_id="ID1\nNAME", patient_name="ID1"),
        replace(who, patient_id="ID1", patient_name="NAME\nID1"),
    ]
    assert len({journal_path(tmp_path, other) for other in (who, *others[:5])}) == 6
    nobody = replace(who, patient_id="", patient_name="", birth_date="")
    assert journal_path(tmp_path, nobody) != journal_path(tmp_path, replace(nobody, study_uid="1.2.5"))
    assert who.patient_id not in mine.name
    assert "NAME" not in mine.name
