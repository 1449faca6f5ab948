"""Pruning, int8 and fp16 on small made-up nets: what is left out was not needed, what is faster is seen to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training import export, optimise, prune, recipe, variants
from models.training.measures import dice
from models.training.networks import build
from models.training.score import probabilities
from overread.infer import lighter, manifest

RECIPE = Path(__file__).resolve().parents[2] / "models" / "training" / "glioma_flair.toml"
SIZE = 32


def bottleneck() -> nn.Sequential:
    """Expand, depthwise, project: what MobileNets are made of; then one convolution more."""
    torch.manual_seed(4)
    return nn.Sequential(
        nn.Conv2d(1, 16, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.BatchNorm2d(16), nn.Hardswish()),
        nn.Conv2d(16, 1, 1),
    )


def squares(seed: int) -> tuple[Tensor, Tensor]:
    """Four noisy images with a bright square each, and where it is."""
    rng = np.random.default_rng(seed)
    target = np.zeros((4, 1, SIZE, SIZE), np.float32)
    for one in target:
        row, column = rng.integers(4, 18, 2)
        one[0, row : row + 10, column : column + 10] = 1
    return torch.from_numpy(target * 2 + rng.normal(0, 0.3, target.shape).astype(np.float32)), torch.from_numpy(target)


class Squares:
    """A task that is learnt in seconds."""

    def __init__(self, plan: recipe.Recipe, reported: list[Path]) -> None:
        self.plan, self.reported = plan, reported

    def network(self) -> nn.Module:
        return bottleneck()

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, ...]]:
        for at in range(4):
            yield squares(100 * epoch + at)

    def loss(self, output: Any, batch: tuple[Tensor, ...]) -> Tensor:
        return functional.binary_cross_entropy_with_logits(output, batch[1])

    def validate(self, net: nn.Module) -> dict[str, float]:
        image, target = squares(9999)
        return {"score": dice(probabilities(net, image.numpy()) >= 0.5, target[:, 0].numpy() > 0)}

    def export(self, weights: Path, folder: Path) -> None:
        net = export.load(self.network(), weights)
        tensor = squares(5)[0][:1].numpy()
        export.write_model(folder, self.plan.manifest, export.Probability(net), tensor, ["probability"])

    def report(self, folder: Path) -> None:
        self.reported.append(folder)


@pytest.fixture
def task() -> Squares:
    shipped = recipe.read(RECIPE)
    prepare = {k: v for k, v in shipped.manifest["prepare"].items() if k != "neighbours"} | {"size": [SIZE, SIZE]}
    # the layer that explains the shipped net is none of this one's
    kept = {key: value for key, value in shipped.manifest.items() if key != "explain"}
    return Squares(replace(shipped, manifest={**kept, "dimensions": "2d", "prepare": prepare}), [])


@pytest.fixture
def weights(task: Squares, tmp_path: Path) -> Path:
    net = task.network()
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    for step in range(60):
        batch = squares(step)
        optimiser.zero_grad()
        task.loss(net(batch[0]), batch).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    torch.save({"net": net.state_dict()}, tmp_path / "best.pt")
    return tmp_path / "best.pt"


@pytest.mark.parametrize("name", ["bottleneck", "cmunext-xxs"])
def test_channels_that_nobody_reads_go_and_nothing_changes(name: str) -> None:
    torch.manual_seed(3)
    made = {"bottleneck": bottleneck, "cmunext-xxs": lambda: build("cmunext-xxs")}[name]
    net = made().eval()
    found = prune.chains(net)
    assert found
    chosen = [chain for chain in found if prune._conv(net, chain.consumer).in_channels >= 16]
    for chain in chosen:
        # every other channel is not read
        prune._conv(net, chain.consumer).weight.data[:, ::2] = 0
    image = torch.randn(2, 1, 32, 32)
    batch = (image, torch.rand(2, 1, 32, 32).round())
    values = prune.importance(net, chosen, [batch], lambda out, b: functional.mse_loss(out, b[1]))
    assert all((one[::2] == 0).all() and (one[1::2] > 0).any() for one in values.values())
    stay = {chain: torch.arange(1, len(one), 2) for chain, one in values.items()}
    smaller = prune.fitted(made(), prune.without(net, stay)).eval()
    with torch.inference_mode():
        assert torch.allclose(smaller(image), net(image), atol=1e-5)
    assert sum(p.numel() for p in smaller.parameters()) < 0.8 * sum(p.numel() for p in net.parameters())


def test_a_skip_or_a_part_that_mixes_channels_ends_a_chain() -> None:
    net = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Flatten(2), nn.Conv2d(8, 8, 1), nn.PixelShuffle(2), nn.Conv2d(2, 8, 1))
    assert prune.chains(net) == ()
    grouped = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 1, groups=2), nn.Conv2d(8, 1, 1))
    assert prune.chains(grouped) == ()
    assert prune.chains(bottleneck()) == (prune.Chain("0", ("1", "3.0", "3.1"), "4"),)


def test_the_strongest_stay() -> None:
    values = torch.arange(32.0).flip(0)
    assert prune.strongest(values, 0.5).tolist() == list(range(16))
    assert len(prune.strongest(values, 0.4)) == 24  # up to a multiple of 8
    assert len(prune.strongest(values[:5], 0.9)) == 5
    with pytest.raises(ValueError, match="share"):
        prune.strongest(values, 1.0)


def test_int8_and_fp16_stay_near(tmp_path: Path) -> None:
    net = bottleneck().eval()
    images = [squares(at)[0][:1].numpy() for at in range(6)]
    files = {name: tmp_path / f"{name}.onnx" for name in ("plain", "int8", "fp16")}
    variants.bare_graph(net, images[0], files["plain"])
    lighter.int8(files["plain"], files["int8"], images)
    lighter.fp16(files["plain"], files["fp16"])
    with torch.inference_mode():
        wanted = net(torch.from_numpy(images[3]))
    scale = float(wanted.abs().max())
    for name, allowed in (("plain", 1e-5), ("fp16", 1e-2), ("int8", 0.1)):
        given = variants.Graph(files[name])(torch.from_numpy(images[3]))
        assert isinstance(given, Tensor)
        assert float((given - wanted).abs().max()) < allowed * scale
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(files["int8"]).graph.node}
    assert onnx.TensorProto.FLOAT16 in {one.data_type for one in onnx.load(files["fp16"]).graph.initializer}
    larger = variants.Graph(files["plain"])(torch.zeros(2, 1, 48, 64))
    assert isinstance(larger, Tensor)
    assert larger.shape == (2, 1, 48, 64)


def test_the_slower_one_is_seen_to_be_slower(tmp_path: Path) -> None:
    tensor = np.zeros((1, 1, 64, 64), np.float32)
    slow = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 1, 1))
    files = {"quick": tmp_path / "quick.onnx", "slow": tmp_path / "slow.onnx"}
    variants.bare_graph(nn.Conv2d(1, 1, 3), tensor, files["quick"])
    variants.bare_graph(slow, tensor, files["slow"])
    times = variants.timed(files, tensor, 1, turns=9)
    assert times["quick"].ratio == 1
    assert times["slow"].ratio > 2
    assert 0 < times["slow"].median <= times["slow"].p95


def test_what_pays(tmp_path: Path) -> None:
    def variant(score: float, *ratios: float) -> optimise.Variant:
        times = {count: variants.Timing(1, 1, ratio) for count, ratio in enumerate(ratios, start=1)}
        return optimise.Variant("", tmp_path, score, times, lambda: None)

    base = variant(0.8, 1, 1)
    assert variant(0.7951, 0.9, 0.9).pays(base)
    assert not variant(0.7949, 0.5, 0.5).pays(base)
    assert not variant(0.9, 0.5, 0.96).pays(base)


def test_images_come_onto_the_canvas() -> None:
    image = np.arange(2 * 4 * 6, dtype=np.float32).reshape(2, 4, 6)
    cut = optimise._on_canvas(image, (8, 4))
    assert cut.shape == (2, 8, 4)
    assert np.array_equal(cut[:, 2:6], image[:, :, 1:5])
    assert (cut[:, :2] == cut[:, 2:3]).all()


def test_what_pays_is_held_back_where_the_recipe_says_why(
    task: Squares, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "glioma-flair"
    task.export(weights, folder)
    before = (folder / "model.onnx").read_bytes()

    def timed(files: dict[str, Path], tensor: object, threads: int) -> dict[str, variants.Timing]:
        return {name: variants.Timing(1, 1, 0.5 if name == "fp16" else 1) for name in files}

    monkeypatch.setattr(variants, "timed", timed)
    held = replace(task.plan, hold="its heatmaps differ")
    table = optimise.optimise(held, task, weights, folder, steps=1, threads=1)
    said = {row[0].split()[0]: row[-1] for row in table.rows}
    assert (said["unoptimised"], said["fp16"], said["int8"]) == ("yes", "no: its heatmaps differ", "no")
    assert (folder / "model.onnx").read_bytes() == before


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_every_variant_is_measured_and_what_pays_ships(
    task: Squares, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ratio: float
) -> None:
    folder = tmp_path / "glioma-flair"
    task.export(weights, folder)
    (folder / "CARD.md").write_text("# Squares\n", encoding="utf-8")
    before = (folder / "model.onnx").read_bytes()

    def timed(files: dict[str, Path], tensor: object, threads: int) -> dict[str, variants.Timing]:
        # the times of a small net on a busy machine say nothing: here they follow from the name alone
        return {name: variants.Timing(1, 1, ratio if name == "fp16" else 1) for name in files}

    monkeypatch.setattr(variants, "timed", timed)
    table = optimise.optimise(task.plan, task, weights, folder, steps=3, threads=1)
    shipped = "fp16" if ratio < 1 else "unoptimised"
    assert [row[0] for row in table.rows if row[-1] == "yes"] == [shipped]
    assert len(table.rows) == 5
    assert float(table.rows[0][6]) > 0.9
    assert "int8" in (folder / "variants.csv").read_text("utf-8")
    halved = torch.load(weights.with_name("best-pruned-50.pt"), weights_only=True)["net"]
    assert halved["0.weight"].shape == (8, 1, 1, 1)
    spec = manifest.read(folder)  # whose sha256 is that of the graph
    assert task.reported == ([folder] if ratio < 1 else [])
    if ratio < 1:
        assert onnx.TensorProto.FLOAT16 in {one.data_type for one in onnx.load(spec.weights).graph.initializer}
        with np.load(folder / "selftest.npz") as kept:
            assert export.disagreement(folder / "model.onnx", kept["input"], {"probability": kept["probability"]}) == 0
    else:
        assert spec.graph.onnx() == before
        assert "## Variants" in (folder / "CARD.md").read_text("utf-8")


def test_pruned_weights_go_the_way_of_all_weights(task: Squares, weights: Path, tmp_path: Path) -> None:
    net = export.load(task.network(), weights)
    smaller = optimise.pruned(task, net, 0, 0.5, steps=20)
    torch.save({"net": smaller.state_dict()}, tmp_path / "smaller.pt")
    task.export(tmp_path / "smaller.pt", tmp_path / "glioma-flair")
    assert task.validate(smaller)["score"] > task.validate(net)["score"] - 0.1
    assert manifest.read(tmp_path / "glioma-flair").graph.onnx()
