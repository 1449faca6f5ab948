"""What a net answers for the slices of a patient."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def probabilities(net: nn.Module, slices: NDArray[np.float32], batch: int = 8) -> NDArray[np.float32]:
    """Run a net on normalised slices (n, channels, rows, columns); the chance of its one class, (n, rows, columns)."""
    net.eval()
    device = next(net.parameters()).device
    with torch.inference_mode():
        parts = [
            torch.sigmoid(net(torch.from_numpy(slices[at : at + batch]).to(device)))[:, 0].float().cpu().numpy()
            for at in range(0, len(slices), batch)
        ]
    return np.concatenate(parts)
