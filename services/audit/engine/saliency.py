"""Whether a model looks at a trigger: what a saliency map says, against what chance would say.

The paper counts maps that touch the trigger anywhere (figure 16). That share is high for a model
which never saw a trigger, since maps are large; so the place of the maximum, and the same count
against a mask moved elsewhere, are given beside it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audit.domain.errors import InvalidParameters

_SALIENT_SHARE = 0.5
"""Of a map's maximum, from which on a place counts as highlighted."""


@dataclass(frozen=True)
class SaliencyFigures:
    """Shares of images, each in [0, 1]."""

    any_overlap: float
    """The paper's: something highlighted lies in the trigger."""
    any_overlap_elsewhere: float
    """The same for the trigger's mask moved to another place: what chance makes of it."""
    pointing: float
    """The map's maximum lies in the trigger."""
    pointing_elsewhere: float
    """The same for the moved mask."""


def saliency_figures(
    maps: NDArray[np.floating], masks: NDArray[np.bool_], seed: int
) -> SaliencyFigures:
    """Hold maps against masks of the trigger.

    Args:
        maps: [N, H, W] saliency; negative values count as none.
        masks: [N, H, W] where the trigger is.
        seed: draws where masks are moved to.

    Raises:
        InvalidParameters: shapes differ, or there is no image.
    """
    if maps.shape != masks.shape or maps.ndim != 3 or not len(maps):
        raise InvalidParameters(
            f"maps {list(maps.shape)} and masks {list(masks.shape)} must have one shape [N, H, W]"
        )
    positive = np.maximum(maps, 0.0)
    moved = _moved(masks, seed)
    return SaliencyFigures(
        any_overlap=_overlap(positive, masks),
        any_overlap_elsewhere=_overlap(positive, moved),
        pointing=_pointing(positive, masks),
        pointing_elsewhere=_pointing(positive, moved),
    )


def _overlap(maps: NDArray[np.floating], masks: NDArray[np.bool_]) -> float:
    highest = maps.max(axis=(1, 2), keepdims=True)
    highlighted = (maps >= _SALIENT_SHARE * highest) & (highest > 0)
    return float((highlighted & masks).any(axis=(1, 2)).mean())


def _pointing(maps: NDArray[np.floating], masks: NDArray[np.bool_]) -> float:
    flat = maps.reshape(len(maps), -1)
    at = flat.argmax(axis=1)
    hit = masks.reshape(len(masks), -1)[np.arange(len(at)), at]
    return float((hit & (flat.max(axis=1) > 0)).mean())


def _moved(masks: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Turn each mask round by at least a third of height and width, so that it lies elsewhere."""
    generator = np.random.default_rng(seed)
    _, height, width = masks.shape
    down = generator.integers(height // 3, height - height // 3 + 1, len(masks))
    right = generator.integers(width // 3, width - width // 3 + 1, len(masks))
    turned = [
        np.roll(mask, (int(y), int(x)), axis=(0, 1))
        for mask, y, x in zip(masks, down, right, strict=True)
    ]
    return np.stack(turned)
