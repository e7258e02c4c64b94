"""Hours of the ads world: what was considered, what the model displayed, who clicked."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from clients.drill.ads.features import Pipeline, Request
from clients.drill.ads.population import AdsSettings, Ints, Population, time_of
from clients.drill.corruptions import Corruption
from clients.drill.schema import Schema

USER = "user_id"
"""The column beside the features that says whose request a row is."""

Mask = npt.NDArray[np.bool_]
Score = Callable[[pa.Table], npt.NDArray[np.float32]]
"""Predictions, float32 [N], of logged examples."""


@dataclass(frozen=True)
class AdsHour:
    """What happened in an hour, one row a considered ad.

    examples: one column a feature, as the pipeline logged it, and `user_id`. displayed, clicked:
    bool [N]; only what was displayed can have been clicked.
    """

    number: int
    examples: pa.Table
    displayed: Mask
    clicked: Mask

    @property
    def start(self) -> datetime:
        """When it began."""
        return time_of(self.number)


@dataclass(frozen=True)
class AdsWorld:
    """Plays hours, each of which follows from the settings, its number, the model and the fault."""

    settings: AdsSettings

    @cached_property
    def _population(self) -> Population:
        return Population(self.settings)

    @cached_property
    def _pipeline(self) -> Pipeline:
        return Pipeline(self._population)

    @cached_property
    def schema(self) -> Schema:
        """The features, in the order of the columns."""
        nobody = Request(np.zeros(1, np.int64), np.zeros(1, np.int64), 0, self._rng(0, 0))
        return Schema(tuple(column.feature for column in self._pipeline.columns(nobody)))

    def play(
        self, hour: int, score: Score | None = None, fault: Corruption | None = None
    ) -> AdsHour:
        """One hour. Without a model, what is displayed is drawn at random.

        A fault breaks the features before the model sees them, and so what it displays.
        """
        settings = self.settings
        users, ads = self._considered(hour)
        request = Request(users, ads, hour, self._rng(6, hour))
        columns = self._pipeline.columns(request)
        examples = pa.table({column.feature.name: column.values for column in columns})
        if fault is not None:
            examples = fault.apply(examples, seed=hour).table
        scores = self._rng(7, hour).random(len(users)) if score is None else score(examples)
        best = np.argsort(-scores.reshape(-1, settings.candidates), axis=1, kind="stable")
        displayed = np.zeros((len(best), settings.candidates), bool)
        np.put_along_axis(displayed, best[:, : settings.displayed], True, axis=1)
        logits = self._population.click_logits(users, ads, hour)
        would_click = self._rng(8, hour).random(len(users)) < 1 / (1 + np.exp(-logits))
        examples = examples.append_column(USER, pa.array(users))
        shown = displayed.ravel()
        return AdsHour(hour, examples, shown, shown & would_click)

    def _considered(self, hour: int) -> tuple[Ints, Ints]:
        """People who come and the ads considered for them: int64 [requests x candidates] each."""
        settings, rng = self.settings, self._rng(9, hour)
        requests = self._population.volume(hour)
        users = rng.choice(settings.users, requests, p=self._population.awake(hour))
        ads = rng.integers(settings.ads, size=requests * settings.candidates)
        return np.repeat(users, settings.candidates), ads

    def _rng(self, purpose: int, hour: int) -> np.random.Generator:
        return np.random.default_rng((self.settings.seed, purpose, hour))
