"""The papers' larger nets and the classifiers, from MONAI, segmentation-models-pytorch and timm.

The libraries are imported when a net is asked for. Nothing is downloaded: all weights are fresh. The published sizes
(three input channels, one class, 256×256, from the tables of Tang et al. 2024) are met where it says so:

- "unet" 34.52 M, 65.52 giga multiply-adds: met. It is MONAI's basic U-Net of 64 to 1024 channels, in which the
  transposed convolutions are replaced by an upsampling and a 3×3 convolution; as it comes it has 31.1 M.
- "attention-unet" 34.88 M: MONAI's has 31.7 M, for its gates are built otherwise.
- "unet++" on a ResNet-34 and "deeplabv3+" on a ResNet-50, 26.1 M and 26.7 M.
- "transunet" 105.32 M: 102.0 M, see `TransUNet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from models.training import vision


def unet(*, channels: int = 1, classes: int = 1, features: Sequence[int] = (64, 128, 256, 512, 1024)) -> nn.Module:
    """U-Net (Ronneberger et al. 2015) with batch norms and 3×3 convolutions after nearest-neighbour upsampling.

    Both sides of the input are multiples of 16; ``features`` are the channels of the five levels, each twice
    those of the level before.
    """
    from monai.networks.blocks import Convolution
    from monai.networks.nets import BasicUNet
    from monai.networks.nets.basic_unet import UpCat

    net = BasicUNet(2, channels, classes, features=(*features, features[0]), act="relu", norm="batch")
    # As it comes, the last level keeps twice the channels.
    net.upcat_1 = UpCat(2, features[1], features[0], features[0], act="relu", norm="batch", bias=True)
    for level in range(1, 5):
        deep, flat = features[level], features[level - 1]
        convolution = Convolution(2, deep, flat, kernel_size=3, act="relu", norm="batch")
        getattr(net, f"upcat_{level}").upsample = nn.Sequential(nn.Upsample(scale_factor=2), convolution)
    return cast("nn.Module", net)


def attention_unet(
    *, channels: int = 1, classes: int = 1, features: Sequence[int] = (64, 128, 256, 512, 1024)
) -> nn.Module:
    """Attention U-Net (Oktay et al. 2018); both sides of the input are multiples of 16."""
    from monai.networks.nets import AttentionUnet

    return cast("nn.Module", AttentionUnet(2, channels, classes, channels=features, strides=(2, 2, 2, 2)))


def unet_plus_plus(*, channels: int = 1, classes: int = 1, encoder: str = "resnet34", **arguments: Any) -> nn.Module:
    """UNet++ (Zhou et al. 2018) on an ``encoder`` of segmentation-models-pytorch; sides are multiples of 32."""
    vision.ready()
    import segmentation_models_pytorch as smp

    made = smp.UnetPlusPlus(encoder, encoder_weights=None, in_channels=channels, classes=classes, **arguments)
    return cast("nn.Module", made)


def deeplabv3_plus(*, channels: int = 1, classes: int = 1, encoder: str = "resnet50", **arguments: Any) -> nn.Module:
    """DeepLabV3+ (Chen et al. 2018) on an ``encoder`` of segmentation-models-pytorch; sides are multiples of 16."""
    vision.ready()
    import segmentation_models_pytorch as smp

    made = smp.DeepLabV3Plus(encoder, encoder_weights=None, in_channels=channels, classes=classes, **arguments)
    return cast("nn.Module", made)


class TransUNet(nn.Module):
    """A hybrid after TransUNet (Chen et al. 2021): ResNet-50 to 1/16, a transformer on its cells, a U-Net's decoder.

    Input (n, channels, *size), both of ``size`` multiples of 16; output (n, classes, *size), logits. Twelve blocks of
    768 are the published size; ``width``, ``depth`` and ``heads`` make it smaller. The parts come from timm and
    segmentation-models-pytorch, whose decoder is narrower and whose ``encoder``, one of its ResNets, has batch norms
    where the paper has group norms.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        classes: int = 1,
        size: tuple[int, int] = (256, 256),
        encoder: str = "resnet50",
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
    ) -> None:
        super().__init__()
        vision.ready()
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
        from segmentation_models_pytorch.encoders import get_encoder
        from timm.models.vision_transformer import Block

        self.size = tuple(size)
        self.encoder = get_encoder(encoder, in_channels=channels, depth=4, weights=None)
        # The transformer stands in the place of the ResNet's last stage.
        self.encoder.layer4 = nn.Identity()
        *skips, deep = self.encoder.out_channels
        self.into = nn.Conv2d(deep, width, 1)
        self.position = nn.Parameter(0.02 * torch.randn(1, size[0] // 16 * (size[1] // 16), width))
        self.blocks = nn.Sequential(*(Block(width, heads, qkv_bias=True) for _ in range(depth)), nn.LayerNorm(width))
        self.out = nn.Sequential(nn.Conv2d(width, 512, 3, padding=1, bias=False), nn.BatchNorm2d(512), nn.ReLU())
        self.decoder = UnetDecoder((*skips, 512), (256, 128, 64, 16), n_blocks=4)
        self.head = nn.Conv2d(16, classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """ValueError for another size than the one the net was made for."""
        if tuple(x.shape[-2:]) != self.size:
            raise ValueError(f"this net was made for {self.size}, not {tuple(x.shape[-2:])}")
        *skips, deep = self.encoder(x)
        cells = self.into(deep)
        tokens = self.blocks(cells.flatten(2).transpose(1, 2) + self.position)
        cells = self.out(tokens.transpose(1, 2).reshape(cells.shape))
        return cast("Tensor", self.head(self.decoder([*skips, cells])))


def classifier(variant: str, *, channels: int = 1, classes: int = 1, **arguments: Any) -> nn.Module:
    """The net that timm calls ``variant``: (n, channels, rows, columns) to (n, classes), logits.

    Its `forward_features` gives what the head pools, (n, features, rows / 32, columns / 32) for the convolutional ones.
    """
    vision.ready()
    import timm

    return cast(
        "nn.Module", timm.create_model(variant, pretrained=False, in_chans=channels, num_classes=classes, **arguments)
    )


def mobilenet_v3(*, variant: str = "mobilenetv3_large_100", **arguments: Any) -> nn.Module:
    """MobileNetV3 (Howard et al. 2019); ``variant`` is a name of timm's, "mobilenetv3_small_100" for the small one."""
    return classifier(variant, **arguments)


def efficientnet_b0(**arguments: Any) -> nn.Module:
    """EfficientNet-B0 (Tan & Le 2019)."""
    return classifier("efficientnet_b0", **arguments)


def vit(*, variant: str = "vit_tiny_patch16_224", size: tuple[int, int] = (224, 224), **arguments: Any) -> nn.Module:
    """A vision transformer (Dosovitskiy et al. 2021) for images of ``size``, multiples of its patch of 16."""
    return classifier(variant, img_size=size, **arguments)
