"""Tables that are read back, plots that are drawn, and the card that shows what lies in its folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.training import card, report
from models.training.classification import reliability
from models.training.detection import Scan, froc

RNG = np.random.default_rng(8)
TRUTH = RNG.random(80) < 0.4
SCORES = RNG.normal(TRUTH, 1.0)
VOLUMES = RNG.uniform(5, 200, 20)


def test_a_table_as_markdown_and_csv(tmp_path: Path) -> None:
    table = report.Table.of([{"case": "A|1, old", "dice": 0.51239, "n": 3}, {"case": "B", "dice": 1.0, "n": 12}])
    assert table.markdown().splitlines() == [
        "| case | dice | n |",
        "| --- | --- | --- |",
        "| A\\|1, old | 0.512 | 3 |",
        "| B | 1.000 | 12 |",
    ]
    table.write(tmp_path / "new" / "table.csv")
    assert report.Table.read(tmp_path / "new" / "table.csv") == table
    with pytest.raises(ValueError, match="under 2 columns"):
        report.Table(("a", "b"), (("1",),))


def draw(folder: Path) -> None:
    log = folder / "log.jsonl"
    lines = [{"epoch": n, "loss": 1 / (n + 1), **({"score": n / 10} if n % 3 == 2 else {})} for n in range(9)]
    log.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    report.learning_curves(log, folder / "figures" / "learning.png")
    report.roc_plot({"all": (SCORES, TRUTH)}, folder / "figures" / "roc.png")
    report.bland_altman(VOLUMES + RNG.normal(0, 5, 20), VOLUMES, folder / "figures" / "volumes.png")
    chances = 1 / (1 + np.exp(-SCORES))
    report.reliability_plot(
        reliability(np.stack([1 - chances, chances], axis=1), TRUTH), folder / "figures" / "reliability.png"
    )
    scans = [Scan(RNG.random(9), RNG.random((9, 2)) < 0.2) for _ in range(20)]
    report.froc_plot(froc(scans), folder / "figures" / "froc.png")


def test_every_plot_is_drawn_and_is_small(tmp_path: Path) -> None:
    draw(tmp_path)
    assert {file.stem for file in (tmp_path / "figures").iterdir()} == set(report.CAPTIONS)
    for file in (tmp_path / "figures").iterdir():
        with Image.open(file) as picture:
            colours = {pixel for _, pixel in picture.convert("RGB").getcolors(1 << 24) or []}
            assert picture.size == (420, 320)
        assert (255, 255, 255) in colours
        assert any(blue > red + 40 for red, _, blue in colours)  # the curve or the points
        assert file.stat().st_size < 60_000


def test_the_same_numbers_make_the_same_file(tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("a.png", "b.png"))
    for file in (first, second):
        report.roc_plot({"all": (SCORES, TRUTH)}, file)
    assert first.read_bytes() == second.read_bytes()


def test_limits_of_agreement_by_hand(tmp_path: Path) -> None:
    limits = report.bland_altman([12, 18, 33], [10, 20, 30], tmp_path / "volumes.png")
    spread = 1.96 * np.sqrt(((2 - 1) ** 2 + (-2 - 1) ** 2 + (3 - 1) ** 2) / 2)
    assert (limits.bias, limits.low, limits.high) == pytest.approx((1, 1 - spread, 1 + spread))
    with pytest.raises(ValueError, match="two patients"):
        report.Agreement.of([1.0], [1.0])


def test_the_card_shows_what_lies_in_its_folder(tmp_path: Path) -> None:
    card.refresh(tmp_path)
    assert not list(tmp_path.iterdir())
    card.write(tmp_path, "# Model\n")
    assert (tmp_path / "CARD.md").read_text("utf-8") == "# Model\n"
    report.bland_altman(VOLUMES, VOLUMES, tmp_path / "figures" / "volumes.png")
    report.Table(("variant", "ms"), (("int8", "3.1"),)).write(tmp_path / report.VARIANTS)
    card.write(tmp_path, "# Model\n")
    text = (tmp_path / "CARD.md").read_text("utf-8")
    assert "](figures/volumes.png)" in text
    assert "figures/roc.png" not in text
    assert "| int8 | 3.1 |" in text
    card.refresh(tmp_path)  # what is there already does not come twice
    assert (tmp_path / "CARD.md").read_text("utf-8") == text
    (tmp_path / "figures" / "volumes.png").unlink()
    card.refresh(tmp_path)
    assert "Figures" not in (tmp_path / "CARD.md").read_text("utf-8")
