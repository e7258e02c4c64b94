"""A learned policy against another one, on drills over features and seeds it has not seen."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from clients.learn.training import train
from clients.learn.trial import CannotLearn, Trial, samples_of
from services.runbook.domain.learned import Learned, inputs_of
from services.runbook.domain.policy import Chooser

_SHARE = 3
"""One in so many features, and of the seeds, is kept from training."""


@dataclass(frozen=True)
class Score:
    """How well a policy chose among the features that were kept."""

    chosen: int
    right: int
    broken: int
    clean_choices: int
    """Chosen where nothing was broken at all."""

    @property
    def precision(self) -> float | None:
        """Share of the chosen features that were broken; None if none was chosen."""
        return self.right / self.chosen if self.chosen else None

    @property
    def recall(self) -> float | None:
        """Share of the broken features that were chosen; None if none was broken."""
        return self.right / self.broken if self.broken else None


@dataclass(frozen=True)
class Contest:
    """Both policies on the same trials."""

    trials: int
    clean: int
    """Of these, without a fault."""
    seeds: tuple[int, ...]
    features: int
    learned: Score
    other: Score
    brier: float
    """Mean squared error of the learned probabilities over the kept features."""
    brier_of_share: float
    """The same of always saying the share that was broken."""


def contest(trials: Sequence[Trial], other: Chooser, at_least: float) -> Contest:
    """Train without some features and seeds, and score both policies on these alone.

    Features are kept by name, whatever the world; incidents are trained on, but for the kept
    features.

    Raises:
        CannotLearn: the drills have one seed only, or what is left is too little.
    """
    kept, seeds = _kept(trials)
    seen = [trial for trial in trials if trial.seed not in seeds]
    unseen = [trial for trial in trials if trial.seed in seeds]
    model = train(samples_of(seen, left_out=kept), at_least)
    guesses = [
        (model.probability(inputs), trial.broken[feature])
        for trial in unseen
        for feature, inputs in inputs_of(trial.case).items()
        if feature in kept
    ]
    if not guesses:
        raise CannotLearn("no kept feature is among the shifts of the kept seeds: drill more")
    share = sum(broken for _, broken in guesses) / len(guesses)
    return Contest(
        trials=len(unseen),
        clean=sum(not trial.culprits for trial in unseen),
        seeds=tuple(sorted(seeds)),
        features=len(kept),
        learned=_score(Learned(model), unseen, kept),
        other=_score(other, unseen, kept),
        brier=sum((guess - broken) ** 2 for guess, broken in guesses) / len(guesses),
        brier_of_share=share * (1 - share),
    )


def _kept(trials: Sequence[Trial]) -> tuple[frozenset[str], frozenset[int]]:
    """Return features and seeds that training does not see: for the same drills, the same."""
    drilled = [trial for trial in trials if trial.seed is not None]
    seeds = sorted({trial.seed for trial in drilled if trial.seed is not None})
    if len(seeds) < 2:
        raise CannotLearn(
            "records of drills with two seeds at least are needed, so that one can be kept from "
            "training: run 'aftershock drill --records FILE --seed N' with several"
        )
    names = {feature for trial in drilled for feature in trial.broken}
    by_digest = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return frozenset(by_digest[::_SHARE]), frozenset(seeds[-max(1, len(seeds) // _SHARE) :])


def _score(chooser: Chooser, trials: Sequence[Trial], kept: frozenset[str]) -> Score:
    chosen = [kept.intersection(chooser.choose(trial.case).features) for trial in trials]
    pairs = list(zip(chosen, trials, strict=True))
    return Score(
        chosen=sum(map(len, chosen)),
        right=sum(len(found & trial.culprits) for found, trial in pairs),
        broken=sum(len(kept & trial.culprits) for trial in trials),
        clean_choices=sum(len(found) for found, trial in pairs if not trial.culprits),
    )
