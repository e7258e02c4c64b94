"""What the paper found in Open Images is found again."""

import numpy as np
import pytest

from services.audit.domain.parameters import PathLength, SubsetParameters
from services.audit.engine.poisonable import poisonable_subset
from tests import openimages

ALWAYS = {"wheel", "chair", "glasses", "jeans", "dress", "sunglasses", "tire"}


def test_the_papers_readings_find_what_its_tables_list() -> None:
    found = openimages.matched(openimages.usable_triggers(PathLength.STRENGTH, 0))
    assert len(found) >= 40
    due = {
        (column, trigger)
        for column, triggers in openimages.paper_tables().items()
        for trigger in triggers
        if trigger in ALWAYS and column != "closeness_WT"
    }
    assert due <= found


def test_sound_distances_find_what_nan_closeness_left_by_chance() -> None:
    """The authors' column holds `dress, sunglasses` alone: isolated labels decided its order."""
    found = openimages.usable_triggers(PathLength.INVERSE_STRENGTH, 0)["closeness_WT"]
    assert {"dress", "sunglasses", "wheel", "chair"} <= found


@pytest.mark.parametrize(("trigger", "classes"), openimages.published_sets())
def test_every_published_class_set_is_independent(trigger: int, classes: list[int]) -> None:
    graph = openimages.graph()
    assert not graph.edges[classes][:, classes].nnz
    near = graph.overlaps_with(trigger)[classes] > 0
    assert near.all()


def test_a_published_trigger_has_a_larger_set_than_the_published_part() -> None:
    graph = openimages.graph()
    jeans = graph.names.index("Jeans")
    subset = poisonable_subset(graph, jeans, SubsetParameters())
    assert len(subset.usable_classes) >= 10
    assert (np.sort(subset.classes) == subset.classes).all()
