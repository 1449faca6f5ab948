"""The concepts that findings are called by."""

from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes as tables

from overread import paths
from overread.domain.errors import UserError
from overread.domain.finding import Code
from overread.infer.manifest import read
from overread.session import codes
from overread.session.codes import Concept


def test_the_table_holds_what_the_standard_has() -> None:
    held = {(one.kind, one.code.value, one.code.scheme): one for one in codes.concepts()}
    for wanted in (tables.SCT.Neoplasm, tables.SCT.Edema, tables.SCT.Nodule, tables.SCT.Lung, tables.DCM.Background):
        assert ("finding", wanted.value, wanted.scheme_designator) in held
    assert held["finding", "108369006", "SCT"].category == Code("49755003", "SCT", "Morphologically Abnormal Structure")
    assert ("place", "12738006", "SCT") in held
    assert held["unit", "mm", "UCUM"].code.meaning == "mm"
    assert len(held) == len(codes.concepts())
    assert all(len(one.code.value) <= 16 and len(one.code.meaning) <= 64 for one in codes.concepts())
    assert all((one.category is not None) == (one.kind == "finding") for one in codes.concepts())


def test_what_the_shipped_models_name_is_in_it() -> None:
    held = {one.code.value for one in codes.concepts()}
    named = [
        output.concept
        for folder in (paths.model_folders()[-1]).iterdir()
        if (folder / "model.toml").exists()
        for output in read(folder).outputs
    ]
    assert named
    assert {code.value for code in named} <= held


def test_the_closest_comes_first() -> None:
    assert codes.search("neoplasm")[0].code.meaning.lower().startswith("neoplasm")
    assert codes.search("brain", "place")[0].code.value == "12738006"
    assert codes.search("108369006")[0].code.value == "108369006"
    assert codes.search("no such thing at all") == ()
    assert len(codes.search("", limit=7)) == 7
    assert all(
        "lung" in one.code.meaning.lower() and "node" in one.code.meaning.lower() for one in codes.search("node lung")
    )


def test_one_of_ones_own() -> None:
    mine = Concept("finding", Code("99001", "99MINE", "Odd thing"), codes.concepts()[0].category)
    codes.add(mine)
    codes.add(Concept("finding", Code("99001", "99MINE", "Very odd thing"), mine.category))
    (found,) = codes.search("odd thing")
    assert found.code.meaning == "Very odd thing"
    for wrong in (
        Code("", "SCT", "Nothing"),
        Code("1", "SCT", " "),
        Code("1" * 17, "SCT", "Long"),
        Code("1", "ABC", "x"),
    ):
        with pytest.raises(UserError):
            codes.add(Concept("finding", wrong))
    codes.own_table().write_text("kind,value\nfinding,1\n", encoding="utf-8")
    with pytest.raises(UserError, match="no table of concepts"):
        codes.search("odd")


def test_what_is_typed_as_a_code() -> None:
    made = codes.typed("77 99MINE Odd  thing")
    assert made is not None
    assert made.code == Code("77", "99MINE", "Odd  thing")
    assert made.category is not None
    for other in ("odd thing seen", "77 99MINE", "", "solitary nodule of lung"):
        assert codes.typed(other) is None


def test_a_folder_that_cannot_be_written() -> None:
    codes.own_table().parent.parent.mkdir(parents=True, exist_ok=True)
    codes.own_table().parent.write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        codes.add(Concept("finding", Code("99001", "99MINE", "Odd thing")))
