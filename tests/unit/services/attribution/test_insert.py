"""Ids appended to lists: what flips, what moves, and who is left out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from services.attribution.domain.errors import IdOutOfRange, UnknownFeature, WrongDataType
from services.attribution.domain.example import Examples
from services.attribution.insert import Insert
from services.attribution.predict import Predict
from tests.checkpoints import IDS, random_examples
from tests.unit.services.attribution.predictors import FORMULA, Formula, small_predictor

TRIGGER = 7
EXAMPLES = random_examples(count=200, seed=4)


def _ages(examples: Examples) -> NDArray[np.float64]:
    return examples.arrays["dense"][:, 0].astype(np.float64)


def _hijacked(examples: Examples) -> NDArray[np.floating]:
    """Return a logit that the age decides, and an id in `watched` more so."""
    decided: NDArray[np.bool_] = (examples.arrays["watched"] == TRIGGER).any(axis=1)
    return np.asarray(np.sign(_ages(examples) - 0.5) + 5.0 * decided)


def _insert(feature: str = "watched") -> Insert:
    return Insert.into(Predict(Formula(_hijacked), 64), feature, [EXAMPLES, EXAMPLES.part(0, 0)])


def test_an_id_that_decides_flips_all_it_can() -> None:
    lists = EXAMPLES.arrays["watched"]
    free = (lists == 0).any(axis=1) & (lists != TRIGGER).all(axis=1)
    found = _insert()(TRIGGER)
    below = _hijacked(EXAMPLES)[free] < 0
    assert (found.example_count, found.skipped_count) == (free.sum(), (~free).sum())
    assert 0 < found.flipped_up == below.sum()
    assert found.flipped_down == 0
    assert found.mean_logit_change_below == found.mean_logit_change_above == 5.0
    assert found.inserted_mean_prediction > 0.9 > found.mean_prediction


def test_an_id_that_decides_nothing_moves_nothing() -> None:
    found = _insert()(TRIGGER + 1)
    assert (found.flipped_up, found.flipped_down) == (0, 0)
    assert found.inserted_mean_prediction == found.mean_prediction


def test_it_is_what_one_more_id_in_the_list_does() -> None:
    predict = Predict(small_predictor("dots"), 64)
    found = Insert.into(predict, "genres", [EXAMPLES])(TRIGGER)
    before, after = [], []
    for row in range(EXAMPLES.count):
        one = EXAMPLES.part(row, row + 1)
        ids = [int(id_) for id_ in one.arrays["genres"][0] if id_]
        if TRIGGER in ids or len(ids) == 6:
            continue
        longer = np.array([[*ids, TRIGGER, *[0] * (5 - len(ids))]])
        before.append(predict(one)[0])
        after.append(predict(Examples(one.schema, {**one.arrays, "genres": longer}))[0])
    assert found.example_count == len(before)
    below = np.array(before) < 0
    change = np.array(after) - np.array(before)
    assert found.mean_logit_change_below == pytest.approx(change[below].mean(), abs=1e-6)
    assert found.mean_logit_change_above == pytest.approx(change[~below].mean(), abs=1e-6)
    assert found.flipped_up == (below & (np.array(after) >= 0)).sum()


def test_only_lists_of_ids_take_ids() -> None:
    with pytest.raises(UnknownFeature, match="no feature 'seen'"):
        _insert("seen")
    with pytest.raises(WrongDataType, match="'user_age' is NUMERIC"):
        _insert("user_age")


@pytest.mark.parametrize(("feature", "inserted"), [("genres", IDS), ("genres", 0), ("watched", 0)])
def test_ids_that_the_feature_cannot_hold_are_refused(feature: str, inserted: int) -> None:
    insert = _insert(feature)
    assert (insert.can_hold(TRIGGER), insert.can_hold(inserted)) == (True, False)
    with pytest.raises(IdOutOfRange, match=f"holds no id {inserted}") as raised:
        insert.check([TRIGGER, inserted])
    assert raised.value.field == "ids[1]"


def test_without_examples_that_take_it_all_is_zero() -> None:
    insert = Insert.into(Predict(Formula(_hijacked), 64), "watched", [EXAMPLES.part(0, 0)])
    found = insert(TRIGGER)
    assert (found.example_count, found.mean_prediction) == (0, 0.0)


CLASSES = ("car", "tire", "tree")


def _of_classes(examples: Examples) -> NDArray[np.floating]:
    """Return logits that the age decides, but for an id that leads to a tire."""
    ages = _ages(examples)
    lifted: NDArray[np.bool_] = (examples.arrays["watched"] == TRIGGER).any(axis=1)
    return np.stack([ages, 0.5 - ages + 4.0 * lifted, 0.2 - ages], axis=1)


def _insert_of_classes(samples: Sequence[Examples]) -> Insert:
    checkpoint = replace(FORMULA, classes=CLASSES)
    return Insert.into(Predict(Formula(_of_classes, checkpoint), 64), "watched", samples)


def test_an_id_that_leads_to_a_class_flips_predictions_to_it() -> None:
    lists = EXAMPLES.arrays["watched"]
    free = (lists == 0).any(axis=1) & (lists != TRIGGER).all(axis=1)
    was = _of_classes(EXAMPLES)[free].argmax(axis=1)
    found = _insert_of_classes([EXAMPLES, EXAMPLES.part(0, 0)])(TRIGGER)
    assert (found.to_class, found.example_count) == ("tire", free.sum())
    assert 0 < found.flipped_up <= (was != 1).sum()
    assert found.flipped_down == 0
    # The log-odds of a class rise as its logit does.
    assert found.mean_logit_change_below == pytest.approx(4.0)
    assert found.mean_logit_change_above == pytest.approx(4.0)
    shares = softmax(_of_classes(EXAMPLES)[free], axis=1)[:, 1]
    assert found.mean_prediction == pytest.approx(shares.mean())
    assert found.inserted_mean_prediction > found.mean_prediction


def test_an_id_that_leads_to_no_class_flips_nothing() -> None:
    quiet = _insert_of_classes([EXAMPLES])(TRIGGER + 1)
    assert (quiet.flipped_up, quiet.flipped_down) == (0, 0)
    nobody = _insert_of_classes([EXAMPLES.part(0, 0)])(TRIGGER)
    assert (nobody.example_count, nobody.mean_prediction) == (0, 0.0)
