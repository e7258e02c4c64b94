"""The subjects that claims are measured on, made when first asked for."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from clients.drill.ads.features import small_settings
from clients.drill.ads.learning import Learner
from clients.drill.ads.population import HOURS_A_DAY, AdsSettings
from clients.drill.ads.world import USER, AdsWorld
from clients.drill.laboratory import Laboratory
from clients.drill.movielens.source import default_cache
from clients.drill.movielens.world import load_world
from clients.drill.progress import Progressing
from clients.drill.subject import Slice, Subject
from clients.drill.subjects import movielens_checkpoint

Numbers = dict[str, Any]
"""What a claim's measurement came to; goes to JSON and back."""


@dataclass(frozen=True)
class Measured:
    """Numbers, and figures by file name."""

    numbers: Numbers
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class Scale:
    """How much is played."""

    ads: AdsSettings
    warm_up_days: int
    windows: int
    movielens_rows: int
    with_movielens: bool = True
    wide: AdsSettings | None = None
    """An ads world of more features, for what depends on their number."""


FULL = Scale(
    AdsSettings(features=60, requests=250),
    warm_up_days=2,
    windows=3,
    movielens_rows=2000,
    wide=AdsSettings(features=300, requests=250),
)
QUICK = Scale(small_settings(), 1, windows=2, movielens_rows=500, with_movielens=False)


@dataclass(frozen=True)
class Worlds:
    """Subjects by world; `folder` keeps their checkpoints, `stack` the platforms that hold them."""

    scale: Scale
    folder: Path
    stack: ExitStack
    progress: Progressing
    _learners: dict[bool, Learner] = field(default_factory=dict)
    _laboratories: dict[Path, Laboratory] = field(default_factory=dict)

    @cached_property
    def world(self) -> AdsWorld:
        """The ads world."""
        return AdsWorld(self.scale.ads)

    def learner(self, *, normalised: bool = False) -> Learner:
        """A model of its own that has learnt for some days and one more by what it displayed."""
        if normalised not in self._learners:
            self._learners[normalised] = self._learnt(self.world, normalised)
        return deepcopy(self._learners[normalised])

    def ads(self, windows: int | None = None, *, normalised: bool = False) -> Subject:
        """Hours after the model's training, displayed by it."""
        learner = self.learner(normalised=normalised)
        checkpoint = self.folder / f"ads-{normalised}"
        if not checkpoint.exists():
            learner.export(checkpoint)
        count = windows or self.scale.windows
        slices = [Slice(h.examples, h.displayed) for h in learner.live(count, learns=False)]
        return Subject("ads", checkpoint, slices, USER)

    def wide_ads(self) -> Subject | None:
        """The same of the wide ads world, where the scale has one."""
        if self.scale.wide is None:
            return None
        learner = self._learnt(AdsWorld(self.scale.wide), normalised=False)
        checkpoint = learner.export(self.folder / "ads-wide")
        slices = [Slice(h.examples, h.displayed) for h in learner.live(1, learns=False)]
        return Subject(f"ads of {self.scale.wide.features} features", checkpoint, slices, USER)

    def movielens(self, *, normalised: bool = False) -> Subject:
        """Windows after the model's training."""
        cache = default_cache()
        cache.mkdir(parents=True, exist_ok=True)
        world = load_world(cache, self.progress)
        checkpoint = self.folder / f"movielens-{normalised}"
        if not checkpoint.exists():
            movielens_checkpoint(world, checkpoint, normalised=normalised, progress=self.progress)
        rows = self.scale.movielens_rows
        starts = [world.train_rows + rows * n for n in range(self.scale.windows)]
        slices = [Slice(world.examples.slice(start, rows)) for start in starts]
        return Subject("movielens", checkpoint, slices)

    def all(self, *, normalised: bool = False) -> Iterator[Subject]:
        """The ads world, then MovieLens where the scale has it."""
        yield self.ads(normalised=normalised)
        if self.scale.with_movielens:
            yield self.movielens(normalised=normalised)

    def _learnt(self, world: AdsWorld, normalised: bool) -> Learner:
        self.progress("the ads model learns", 0.0)
        learner = Learner.warmed_up(world, self.scale.warm_up_days * HOURS_A_DAY, normalised)
        for hour in learner.live(HOURS_A_DAY):
            self.progress("the ads model learns", (hour.number % HOURS_A_DAY + 1) / HOURS_A_DAY)
        return learner

    def laboratory(self, subject: Subject) -> Laboratory:
        """A platform that holds the subject's checkpoint, the same one for all who ask."""
        if subject.checkpoint not in self._laboratories:
            data = self.folder / f"platform-{subject.checkpoint.name}"
            laboratory = self.stack.enter_context(Laboratory(subject, data))
            self._laboratories[subject.checkpoint] = laboratory
        return self._laboratories[subject.checkpoint]
