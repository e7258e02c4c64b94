"""A learned model as a policy file holds it: JSON, with the digest of its numbers."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.runbook.adapters.yaml_limits import Section
from services.runbook.domain.learned import INPUTS, LearnedModel, Weight

_Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
_Scale = Annotated[float, Field(allow_inf_nan=False, ge=1e-9, le=1e9)]


class WeightEntry(Section):
    """See `Weight`."""

    input: str
    coefficient: _Number
    mean: _Number
    scale: _Scale

    @model_validator(mode="after")
    def _is_an_input(self) -> Self:
        if self.input not in INPUTS:
            raise ValueError(f"no input {self.input!r}: there are {', '.join(INPUTS)}")
        return self


class CalibrationEntry(Section):
    """Platt's two numbers."""

    slope: _Number
    offset: _Number


class LearnedEntry(Section):
    """See `LearnedModel`."""

    format: Literal[1]
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    weights: tuple[WeightEntry, ...] = Field(min_length=1)
    intercept: _Number
    calibration: CalibrationEntry
    at_least: float = Field(gt=0, le=1)
    trained_on: dict[str, int] = Field(default_factory=dict)
    """For people: how many of what."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = [weight.input for weight in self.weights]
        if len(set(names)) < len(names):
            raise ValueError("an input has two weights")
        if (digest := self.model().digest) != self.digest:
            raise ValueError(
                f"its numbers have the digest {digest}, not the one it gives: it was changed or "
                "cut; train it anew"
            )
        return self

    def model(self) -> LearnedModel:
        """Return the model."""
        return LearnedModel(
            weights=tuple(Weight(w.input, w.coefficient, w.mean, w.scale) for w in self.weights),
            intercept=self.intercept,
            slope=self.calibration.slope,
            offset=self.calibration.offset,
            at_least=self.at_least,
        )


def entry_of(model: LearnedModel, trained_on: dict[str, int]) -> LearnedEntry:
    """Return the model as a policy file holds it."""
    return LearnedEntry(
        format=1,
        digest=model.digest,
        weights=tuple(WeightEntry(**vars(weight)) for weight in model.weights),
        intercept=model.intercept,
        calibration=CalibrationEntry(slope=model.slope, offset=model.offset),
        at_least=model.at_least,
        trained_on=trained_on,
    )
