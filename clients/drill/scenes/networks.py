"""Small image classifiers of three families."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn


class Convolutional(nn.Module):
    """Three convolutions, then the mean over the image."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 48, 3, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(48, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits [N, classes] of pixels [N, 3, H, W]."""
        logits: Tensor = self.head(self.features(pixels).amax(dim=(2, 3)))
        return logits


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, activations: Tensor) -> Tensor:
        return torch.relu(activations + self.inner(activations))


class Residual(nn.Module):
    """A strided stem and two residual blocks."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 5, stride=3, padding=2), nn.ReLU(), _Residual(32), _Residual(32)
        )
        self.head = nn.Linear(32, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits [N, classes] of pixels [N, 3, H, W]."""
        logits: Tensor = self.head(self.features(pixels).amax(dim=(2, 3)))
        return logits


class Patches(nn.Module):
    """An encoding of each patch by itself, pooled: no convolution over neighbours."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 9, stride=3), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU()
        )
        self.head = nn.Linear(64, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits [N, classes] of pixels [N, 3, H, W]."""
        logits: Tensor = self.head(self.features(pixels).amax(dim=(2, 3)))
        return logits


ARCHITECTURES: Final[dict[str, Callable[[int], nn.Module]]] = {
    "convolutional": Convolutional,
    "residual": Residual,
    "patches": Patches,
}
