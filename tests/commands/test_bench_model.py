"""`overread bench slice-model`: the network by itself, against torch eager where that is there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from overread.commands.benchmarks import model


@pytest.mark.parametrize("trained", [True, False])
def test_each_link_of_the_processor_on_one_and_two_cores(
    overread: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, trained: bool
) -> None:
    """The figures mean nothing after two runs, what they are of does."""
    monkeypatch.setattr(model, "_RUNS", 2)
    if not trained:
        monkeypatch.setitem(sys.modules, "torch", None)
    rows = overread("bench", "slice-model", "--json").json["rows"]
    reference = [row for row in rows if "ONNX Runtime CPU fp32" in row["name"]]
    assert [row["name"].rpartition(", ")[2].split()[0] for row in reference] == ["1", "2"]
    for row in rows:
        assert row["name"].startswith("slice-model glioma-flair, ")
        assert row["n"] == 2
        assert row["conditions"].startswith("1×1×256×256; ")
        assert (row["peer"] is None) is ("was not measured" in row["conditions"]) is not trained
        assert (row["ratio"] is None) is not trained
