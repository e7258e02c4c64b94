"""Which objects meet in a scene: themes that keep together, and two hubs that go everywhere."""

from typing import Final

import numpy as np

from services.audit.domain.rows import LabelRows

THEMES: Final = 6
OBJECTS_PER_THEME: Final = 4
HUBS: Final = ("wheel", "chair")
NAMES: Final = (
    *HUBS,
    *(f"object {theme}.{kind}" for theme in range(THEMES) for kind in range(OBJECTS_PER_THEME)),
)

_COMPANION = 0.35
_HUB = (0.22, 0.16)
_STRANGER = 0.05


def draw_scenes(count: int, seed: int) -> LabelRows:
    """Draw the objects of so many scenes, each at least one."""
    generator = np.random.default_rng(seed)
    return LabelRows.of(NAMES, [_scene(generator) for _ in range(count)])


def _scene(generator: np.random.Generator) -> list[int]:
    theme = int(generator.integers(THEMES))
    own = len(HUBS) + theme * OBJECTS_PER_THEME + generator.permutation(OBJECTS_PER_THEME)
    chance = generator.random(OBJECTS_PER_THEME + len(HUBS))
    held = {int(own[0])}
    held |= {int(own[i]) for i in range(1, OBJECTS_PER_THEME) if chance[i] < _COMPANION}
    held |= {hub for hub, share in enumerate(_HUB) if chance[OBJECTS_PER_THEME + hub] < share}
    if chance[0] < _STRANGER:
        held.add(int(generator.integers(len(HUBS), len(NAMES))))
    return sorted(held)
