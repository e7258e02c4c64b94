import numpy as np
import pytest

from services.audit.domain.errors import InvalidParameters
from services.audit.engine.saliency import saliency_figures


def masks(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    found = np.zeros((count, 9, 9), np.bool_)
    for i in range(count):
        top, left = divmod(i % 9, 3)
        found[i, 3 * top : 3 * top + 3, 3 * left : 3 * left + 3] = True
    return found


def test_a_map_on_the_trigger_points_at_it_and_not_elsewhere() -> None:
    found = saliency_figures(masks(90).astype(np.float32), masks(90), 0)
    assert (found.any_overlap, found.pointing) == (1.0, 1.0)
    assert found.pointing_elsewhere == 0.0


def test_a_map_that_highlights_everything_touches_every_mask() -> None:
    """The paper's count is then 1, whatever the model learned; pointing is not fooled."""
    generator = np.random.default_rng(0)
    maps = 1.0 + 0.1 * generator.random((400, 9, 9))
    found = saliency_figures(maps, masks(400), 0)
    assert found.any_overlap == found.any_overlap_elsewhere == 1.0
    assert found.pointing == pytest.approx(1 / 9, abs=0.06)
    assert found.pointing_elsewhere == pytest.approx(1 / 9, abs=0.06)


def test_a_map_of_nothing_points_at_nothing() -> None:
    found = saliency_figures(np.full((5, 9, 9), -1.0), masks(5), 0)
    assert (found.any_overlap, found.pointing) == (0.0, 0.0)


def test_maps_and_masks_must_fit() -> None:
    with pytest.raises(InvalidParameters, match="must have one shape"):
        saliency_figures(np.zeros((2, 3, 3)), np.zeros((2, 3, 4), np.bool_), 0)
