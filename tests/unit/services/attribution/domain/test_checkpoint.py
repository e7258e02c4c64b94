"""Schemas that cannot be ablated are refused; a checkpoint knows what it has seen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from services.attribution.domain.checkpoint import (
    Checkpoint,
    Feature,
    FeatureKind,
    Group,
    InputSpec,
    Output,
    Schema,
)
from services.attribution.domain.errors import CheckpointRefused, SeenInTraining

DENSE = InputSpec("dense", np.dtype(np.float32), (2,))
IDS = InputSpec("ids", np.dtype(np.int64), ())
GENRES = InputSpec("genres", np.dtype(np.int64), (4,))
AGE = Feature("age", FeatureKind.NUMERIC, "dense", column=0)
HOUR = Feature("hour", FeatureKind.NUMERIC, "dense", column=1, baseline=-1.0)
GENDER = Feature("gender", FeatureKind.CATEGORICAL, "ids", baseline=2, cardinality=3)
GENRE = Feature("genre", FeatureKind.ID_LIST, "genres")
INPUTS = (DENSE, IDS, GENRES)
FEATURES = (AGE, HOUR, GENDER, GENRE)


def test_a_row_of_baselines() -> None:
    row = Schema(INPUTS, FEATURES).baseline_row()
    assert row["dense"].tolist() == [0.0, -1.0]
    assert row["ids"].tolist() == 2
    assert row["genres"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ((AGE, GENDER, GENRE), "'dense' .* belongs to no feature"),
        ((AGE, HOUR, GENDER), "'genres' .* belongs to no feature"),
        ((AGE, replace(HOUR, column=0), GENDER, GENRE), "appears twice"),
        ((AGE, replace(HOUR, name="age"), GENDER, GENRE), "feature 'age' appears twice"),
        ((AGE, replace(HOUR, column=2), GENDER, GENRE), "column 2 is not in 'dense'"),
        ((AGE, HOUR, replace(GENDER, input="sex"), GENRE), "there is no input 'sex'"),
        ((AGE, HOUR, replace(GENDER, kind=FeatureKind.NUMERIC), GENRE), "needs a float32 input"),
        ((AGE, HOUR, replace(GENDER, input="genres"), GENRE), "of rank 0"),
        ((AGE, HOUR, replace(GENDER, baseline=3), GENRE), "not in \\[0, 3\\)"),
        ((AGE, HOUR, replace(GENDER, baseline=0.5), GENRE), "is not an id"),
        ((AGE, replace(HOUR, baseline=1e300), GENDER, GENRE), "not a finite float32"),
        ((AGE, HOUR, GENDER, replace(GENRE, baseline=1)), "absent when empty"),
    ],
)
def test_a_schema_is_refused(features: tuple[Feature, ...], message: str) -> None:
    with pytest.raises(CheckpointRefused, match=message):
        Schema(INPUTS, features)


def test_members_are_columns_and_no_features() -> None:
    user = Group("user", (AGE, GENDER))
    schema = Schema(INPUTS, (HOUR, user, GENRE))
    assert schema.columns == (HOUR, AGE, GENDER, GENRE)
    assert schema.index == {"hour": 0, "user": 1, "genre": 2}
    assert schema.groups == {"age": user, "gender": user}
    assert schema.baseline_row()["dense"].tolist() == [0.0, -1.0]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ((Group("hour", (AGE, GENDER)), HOUR, GENRE), "feature 'hour' appears twice"),
        ((Group("age", (AGE, GENDER)), HOUR, GENRE), "feature 'age' appears twice"),
        ((Group("user", (AGE,)), Group("user", (HOUR,)), GENDER, GENRE), "'user' appears twice"),
        ((Group("user", (AGE, HOUR)), HOUR, GENDER, GENRE), "feature 'hour' appears twice"),
        ((Group("user", (AGE, GENDER)), GENRE), "'dense' .* belongs to no feature"),
        ((Group("user", (replace(AGE, column=2), HOUR)), GENDER, GENRE), "column 2 is not in"),
    ],
)
def test_a_schema_of_groups_is_refused(features: tuple[Feature, ...], message: str) -> None:
    with pytest.raises(CheckpointRefused, match=message):
        Schema(INPUTS, features)


def test_a_group_without_members_is_refused() -> None:
    with pytest.raises(CheckpointRefused, match="group 'user' has no members"):
        Group("user", ())


def test_training_data_is_not_attributed() -> None:
    trained_until = datetime(2026, 11, 20, tzinfo=UTC)
    schema = Schema(INPUTS, FEATURES)
    checkpoint = Checkpoint("ads", "1", trained_until, Output.LOGIT, 0.5, schema, "")
    checkpoint.check_unseen(trained_until)
    with pytest.raises(SeenInTraining, match="until 2026-11-20"):
        checkpoint.check_unseen(trained_until - timedelta(microseconds=1))
