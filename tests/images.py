"""Scenes as images of a checkpoint: networks that say how much speaks for one class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from clients.drill.scenes.rendering import SIZE
from services.attribution.domain.checkpoint import Feature, FeatureKind, InputSpec, Schema
from services.attribution.domain.example import Examples
from tests.checkpoints import Manifest, save_checkpoint

PIXELS: Final = 3 * SIZE * SIZE
SCHEMA: Final = Schema(
    inputs=(InputSpec("pixels", np.dtype(np.float32), (PIXELS,)),),
    features=(Feature("pixels", FeatureKind.EMBEDDING, "pixels"),),
)


class OneClass(nn.Module):
    """The logit of one class of a network that tells several apart."""

    def __init__(self, network: nn.Module, target: int) -> None:
        super().__init__()
        self.network = network
        self.target = target

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits [N] of pixels [N, 3 * H * W]."""
        logits: Tensor = self.network(pixels.reshape(-1, 3, SIZE, SIZE))[:, self.target]
        return logits


class AllClasses(nn.Module):
    """The logits of all classes of a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits [N, classes] of pixels [N, 3 * H * W]."""
        logits: Tensor = self.network(pixels.reshape(-1, 3, SIZE, SIZE))
        return logits


def classes_checkpoint(
    folder: Path, network: nn.Module, classes: Sequence[str], model: str = "scenes"
) -> Path:
    """Save a network that tells classes apart as a checkpoint."""
    manifest = Manifest(model=model, changes={"classes": list(classes)})
    return save_checkpoint(folder, AllClasses(network).eval(), SCHEMA, manifest)


def image_checkpoint(folder: Path, network: nn.Module, target: int, model: str = "scenes") -> Path:
    """Save the logit of a network's class as a checkpoint."""
    module = OneClass(network, target).eval()
    return save_checkpoint(folder, module, SCHEMA, Manifest(model=model))


def image_examples(pixels: NDArray[np.float32]) -> Examples:
    """Return images [N, 3, H, W] as examples."""
    return Examples(SCHEMA, {"pixels": pixels.reshape(len(pixels), PIXELS)})
