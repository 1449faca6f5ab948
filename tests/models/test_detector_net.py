"""The detector: boxes to maps and back, what is learned, and the same boxes from ONNX Runtime."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training import detector_net, networks
from models.training.counting import parameters

TINY = {"dims": (4, 4, 4, 4, 4), "depths": (1,) * 5, "kernels": (3,) * 5, "width": 4}
TWO = torch.tensor([[8.0, 12.0, 18.0, 30.0], [40.0, 41.0, 52.0, 47.0]])


def raw(wanted: torch.Tensor) -> torch.Tensor:
    """Maps for which the net would have what is wanted."""
    size = wanted[:, 1:3].clamp(min=1e-3)
    return torch.cat(
        [
            torch.logit(wanted[:, :1], eps=1e-4),
            size + torch.log(-torch.expm1(-size)),
            torch.logit(wanted[:, 3:5], eps=1e-6),
        ],
        dim=1,
    )


def test_boxes_come_back_best_first() -> None:
    maps = raw(detector_net.targets([TWO, TWO[:0]], 64, 96))
    maps[0, 0, 11, 11] -= 5
    found = detector_net.decode(maps, 7)
    assert found.shape == (2, 7, 5)
    torch.testing.assert_close(found[0, :2, :4], TWO, rtol=0, atol=1e-3)
    assert found[0, 0, 4] > 0.999 > found[0, 1, 4] > 0.9
    assert bool((found[..., 4].diff(dim=1) <= 0).all())


@settings(max_examples=40, deadline=None)
@given(row=st.floats(0, 50), column=st.floats(0, 80), height=st.floats(2, 14), width=st.floats(2, 14))
def test_one_box_goes_there_and_back(row: float, column: float, height: float, width: float) -> None:
    box = torch.tensor([[row, column, row + height, column + width]])
    maps = detector_net.targets([box], 64, 96)
    assert float(maps[0, 0].max()) == 1
    assert int((maps[0, 0] == 1).sum()) == 1
    found = detector_net.decode(raw(maps), 3)
    torch.testing.assert_close(found[0, 0, :4], box[0], rtol=0, atol=2e-3)


def test_boxes_end_at_the_border_and_nothing_is_zero() -> None:
    over = torch.tensor([[-6.0, -2.0, 10.0, 8.0]])
    maps = raw(detector_net.targets([over], 64, 64))
    found = detector_net.decode(maps, 256)
    torch.testing.assert_close(found[0, 0, :4], torch.tensor([0.0, 0.0, 10.0, 8.0]), rtol=0, atol=1e-3)
    assert bool((found[0][found[0, :, 4] == 0] == 0).all())
    assert bool((found[..., 2:4] <= 64).all())


def test_the_loss_falls_to_nothing_where_all_is_right() -> None:
    wanted = detector_net.targets([TWO], 64, 96)
    right = raw(wanted)
    shifted = right.roll(1, dims=3)
    assert float(detector_net.loss(right, wanted)) < 0.1 < float(detector_net.loss(shifted, wanted))
    nothing = detector_net.targets([TWO[:0]], 64, 96)
    assert float(detector_net.loss(torch.full_like(nothing, -20), nothing)) < 1e-6


def test_it_learns_where_a_square_is() -> None:
    torch.manual_seed(2)
    net = networks.build("detector", **TINY)
    image = torch.zeros(1, 1, 64, 64)
    image[0, 0, 24:36, 32:48] = 1
    box = torch.tensor([[24.0, 32.0, 36.0, 48.0]])
    wanted = detector_net.targets([box], 64, 64)
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-2)
    for _ in range(60):
        value = detector_net.loss(net(image), wanted)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    found = detector_net.decode(net(image), 1)[0, 0]
    torch.testing.assert_close(found[:4], box[0], rtol=0, atol=2.0)
    assert found[4] > 0.5


@pytest.mark.parametrize("stride", [1, 2])
def test_onnx_gives_the_same_boxes(stride: int, tmp_path: Path) -> None:
    torch.manual_seed(3)
    net = detector_net.Boxes(networks.build("detector", channels=3, stride=stride, **TINY), 20)
    # Norms and weights as after training: a new net says nearly the same everywhere, and which peak is first is chance.
    torch.nn.init.normal_(net.detector.head[-1].weight, std=0.2)  # type: ignore[union-attr, index]
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    net(torch.randn(4, 3, 64, 96))
    net.eval()
    path = tmp_path / "boxes.onnx"
    with warnings.catch_warnings():
        # Shapes are fixed but for the batch, and the exporter warns of each that it takes as a constant.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.randn(1, 3, 64, 96),),
            str(path),
            input_names=["image"],
            output_names=["boxes"],
            dynamic_axes={"image": {0: "n"}, "boxes": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 4):
        x = torch.randn(count, 3, 64, 96)
        with torch.no_grad():
            expected = net(x)
        (found,) = session.run(None, {"image": x.numpy()})
        assert found.shape == (count, 20, 5)
        # Relative to the canvas: a box's corner is up to 96 pixels from the origin.
        torch.testing.assert_close(torch.from_numpy(found)[..., 4], expected[..., 4], rtol=0, atol=1e-5)
        torch.testing.assert_close(torch.from_numpy(found)[..., :4] / 96, expected[..., :4] / 96, rtol=0, atol=1e-5)


def test_it_is_small_and_refuses_other_strides() -> None:
    net = networks.build("detector")
    assert parameters(net) <= 1_000_000
    assert net(torch.zeros(1, 1, 64, 96)).shape == (1, 5, 16, 24)
    with pytest.raises(ValueError, match="1 or 2"):
        networks.build("detector", stride=4)
