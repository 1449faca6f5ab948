"""Nets side by side under one recipe: what is measured stands in the table, and what was not trained is said so."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tomlkit
import torch
from torch import Tensor, nn

from models.training import __main__ as command
from models.training import compare, networks, recipe, task, train, variants
from models.training.classifier_net import Classifier
from models.training.cmunext import CMUNeXt
from models.training.counting import parameters
from models.training.tasks.tumour import Classified

RECIPES = Path(__file__).resolve().parents[2] / "models" / "training"
TINY: dict[str, Any] = {"dims": (4,) * 5, "depths": (1,) * 5, "kernels": (3,) * 5}
LABELS = ("glioma", "meningioma", "pituitary")


class Bright(nn.Module):
    """Draws what is bright, or everything else: one weight and one offset."""

    def __init__(self, gain: float = 40.0, channels: int = 1) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels, 1, 1)
        nn.init.constant_(self.one.weight, gain)
        nn.init.constant_(self.one.bias, -0.5 * gain)

    def forward(self, image: Tensor) -> Tensor:
        return self.one(image)


@pytest.fixture(autouse=True)
def nets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(networks.BUILDERS, "tiny", lambda **given: CMUNeXt(**{**TINY, **given}))
    monkeypatch.setitem(networks.BUILDERS, "bright", Bright)
    monkeypatch.setitem(networks.BUILDERS, "dark", lambda **given: Bright(-40.0, **given))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Both bundles, of fifteen made-up patients with two slices each; a bright square is what is to be found."""
    rng = np.random.default_rng(3)
    (tmp_path / "train").mkdir()
    table = io.StringIO()
    rows = csv.DictWriter(table, ["id", "split_group", "image", "mask", "label"])
    rows.writeheader()
    files: dict[str, bytes] = {}
    for number in range(30):
        image = rng.integers(60, 90, (64, 64)).astype(np.uint8)
        image[:12] = 0
        mask = np.zeros((64, 64), np.uint8)
        y, x = rng.integers(16, 40, 2)
        mask[y : y + 16, x : x + 16] = 1
        image[mask > 0] = 200
        files[f"i/{number}.jxl"] = imagecodecs.jpegxl_encode(image, lossless=True)
        files[f"m/{number}.jxl"] = imagecodecs.jpegxl_encode(mask, lossless=True)
        where = {"image": f"i/{number}.jxl", "mask": f"m/{number}.jxl"}
        rows.writerow({"id": f"{number}", "split_group": f"P{number // 2}", "label": LABELS[number // 2 % 3], **where})
    for name in ("lgg-flair", "t1c-tumour"):
        with zipfile.ZipFile(tmp_path / "train" / f"{name}.zip", "w") as archive:
            for file, content in {**files, "index.csv": table.getvalue().encode()}.items():
                archive.writestr(file, content)
    return tmp_path


def small(name: str, network: dict[str, Any]) -> recipe.Recipe:
    """A shipped recipe on canvases of 64 × 64, made to run in seconds."""
    shipped = recipe.read(RECIPES / name)
    prepare = {**shipped.manifest["prepare"], "size": [64, 64]}
    settings = {"strength": 0.5, "renormalise": False}
    return replace(
        shipped,
        network=network,
        data={**shipped.data, "crop": 64},
        compare={"class_weight": 0.0},
        compare_phases=(),
        batch=4,
        phases=(recipe.Phase(2, 4e-3, settings),),
        manifest={**shipped.manifest, "prepare": prepare},
    )


def keep(plan: recipe.Recipe, network: str, data: Path, epoch: int) -> None:
    """Fresh weights in the place of a run's best."""
    places = train.Places.of(plan, 0, network, data / "runs")
    places.folder.mkdir(parents=True)
    made = task.create(plan.with_network(network) if network else plan, data).network()
    torch.save({"net": made.state_dict(), "epoch": epoch, "score": 0.0}, places.best)


def rows(file: Path) -> dict[str, dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as source:
        return {row["network"]: row for row in csv.DictReader(source)}


@pytest.mark.parametrize(
    ("name", "held"), [("glioma_flair.toml", "3 patients"), ("tumour_t1c.toml", "6 slices of 3 blocks")]
)
def test_what_is_measured_stands_in_the_table(data: Path, name: str, held: str) -> None:
    plan = small(name, {"name": "bright"})
    plan = replace(plan, data={**plan.data, **plan.compare})
    keep(plan, "", data, epoch=1)
    keep(plan, "dark", data, epoch=0)
    text = compare.compare(plan, ["dark", "tiny", "dark"], data, 0, data / "runs", turns=3)
    assert (data / "runs" / f"{plan.name}-compare-0.md").read_text("utf-8") == text
    table = rows(data / "runs" / f"{plan.name}-compare-0.csv")
    assert list(table) == [plan.name, "dark", "tiny"]
    first, dark, tiny = table.values()
    assert (first["parameters"], first["multiply-adds, G"]) == ("2", f"{64 * 64 / 1e9:.3f}")
    against = "against the second row (95 %)"
    assert (first["Dice (95 %)"], first[against]) == ("1.000 (1.000 to 1.000)", "+1.000 (+1.000 to +1.000)")
    assert (first["held out"], first["epochs"], first["threshold"]) == (held, "2 of 2", "0.5")
    assert dark["Dice (95 %)"] == "0.000 (0.000 to 0.000)"
    assert dark[against] == ""
    assert dark["epochs"] == "1 of 2"
    assert tiny["Dice (95 %)"] == "not trained"
    assert tiny["held out"] == tiny["epochs"] == ""
    assert int(tiny["parameters"]) == parameters(CMUNeXt(**TINY))
    assert all(0 <= float(row["ms a slice: median"]) <= float(row["p95"]) for row in table.values())
    assert float(tiny["p95"]) > 0
    assert "Not trained: tiny." in text
    assert "Not trained to the end: dark." in text


def test_train_with_another_net_then_compare(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tomlkit.parse((RECIPES / "glioma_flair.toml").read_text("utf-8")).unwrap()
    table["compare"]["crop"] = table["train"]["batch"] = 16
    table["compare"]["phase"] = [{"epochs": 1, "rate": 1e-3, "strength": 0.5, "renormalise": False}]
    table["manifest"]["prepare"]["size"] = [64, 64]
    (data / "small.toml").write_text(tomlkit.dumps(table), encoding="utf-8")
    monkeypatch.chdir(data)

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["models.training", words[0], "small.toml", "--data", ".", *words[1:]])
        return command.main()

    assert run("train", "--network", "tiny", "--threads", "1") == 0
    assert sorted(path.name for path in Path("runs/glioma-flair-tiny-0").iterdir()) == [
        "best.pt",
        "checkpoint.pt",
        "log.jsonl",
    ]
    capsys.readouterr()
    assert run("compare", "--networks", "tiny,bright") == 0
    said = capsys.readouterr().out
    assert "Not trained: glioma-flair, bright." in said
    assert "the others were trained with crop = 16, 1 epochs in the place of 120." in said
    assert rows(Path("runs/glioma-flair-compare-0.csv"))["tiny"]["epochs"] == "1 of 1"
    assert run("compare", "--networks", "tiny,none") == 3
    assert "There is no net called none." in capsys.readouterr().err
    Path("runs/glioma-flair-tiny-0").rename("runs/glioma-flair-bright-0")
    assert run("compare", "--networks", "bright") == 3
    assert "does not hold the weights of bright. Move it away" in capsys.readouterr().err


def test_a_recipe_without_masks_of_patients_is_refused(data: Path) -> None:
    with pytest.raises(compare.UserError, match="cxr-pneumonia cannot be compared"):
        compare.compare(recipe.read(RECIPES / "cxr_pneumonia.toml"), ["tiny"], data, 0, data / "runs")


def test_tumours_are_drawn_without_a_name_where_nets_are_compared(data: Path) -> None:
    plan = small("tumour_t1c.toml", TINY)
    named, alone = task.create(plan, data), task.create(plan.with_network("tiny"), data)
    assert isinstance(named.network(), Classified)
    net = alone.network()
    assert isinstance(net, CMUNeXt)
    batch = next(iter(alone.batches(0)))
    assert alone.loss(net(batch[0]), batch).item() > 0
    assert set(alone.validate(net)) == {"dice", "score"}
    assert set(named.validate(named.network())) == {"dice", "accuracy", "score"}
    assert isinstance(named, compare.Comparable)
    held = named.held_out(named.network())
    assert (held.kind, len(held.dice), len(set(held.groups))) == ("blocks", 6, 3)
    with pytest.raises(ValueError, match="mask alone"):
        alone.export(data / "best.pt", data)
    with pytest.raises(ValueError, match="stands on a CMUNeXt"):
        task.create(replace(plan, network={"name": "bright"}), data).network()


@pytest.mark.parametrize("name", ["glioma_flair.toml", "tumour_t1c.toml", "cxr_pneumonia.toml"])
def test_the_registry_makes_the_shipped_nets(name: str) -> None:
    plan = recipe.read(RECIPES / name)
    torch.manual_seed(5)
    made = task.create(plan, Path()).network()
    torch.manual_seed(5)
    direct: nn.Module
    if plan.task == "cxr":
        direct = Classifier(**plan.network)
    else:
        direct = CMUNeXt(**plan.network)
        if plan.task == "tumour":
            direct = Classified(direct, plan.network["dims"][-1], 3)
    ours, theirs = made.state_dict(), direct.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_unet_can_be_timed(tmp_path: Path) -> None:
    net = networks.build("unet", features=(2, 4, 8, 16, 32))
    tensor = np.random.default_rng(0).normal(0, 1, (1, 1, 32, 64)).astype(np.float32)
    variants.bare_graph(net, tensor, tmp_path / "unet.onnx")
    with torch.inference_mode():
        expected = net(torch.from_numpy(tensor))
    torch.testing.assert_close(variants.Graph(tmp_path / "unet.onnx")(torch.from_numpy(tensor)), expected)


def test_the_input_is_what_the_manifest_says() -> None:
    assert compare.shape_of({"prepare": {"size": [64, 96]}}) == (1, 1, 64, 96)
    assert compare.shape_of({"prepare": {"size": [64, 96], "neighbours": 1, "channels": "rgb"}}) == (1, 9, 64, 96)
