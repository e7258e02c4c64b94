"""Takes a checkpoint into memory once it is proved fit to be ablated."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.errors import CheckpointRefused
from services.attribution.domain.example import Examples
from services.attribution.domain.logit import same_but_for_rounding
from services.attribution.domain.probe import CORRUPTED, probe_examples
from services.attribution.ports import (
    CheckpointRepository,
    CheckpointSource,
    Predictor,
    Scorer,
)

_PROBES = 8
_ROUNDINGS = 1000.0
"""Float32 roundings that the size of a batch may account for; another row does far more."""


@dataclass(frozen=True)
class Load:
    """Reads a checkpoint, scores made-up examples with it and keeps it."""

    source: CheckpointSource
    repository: CheckpointRepository

    def __call__(self, folder: Path) -> Scorer:
        """Return the checkpoint in memory. Idempotent.

        Raises:
            CheckpointRefused: it cannot be read safely, does not answer every example with a
                finite number, or lets the examples of a batch influence each other.
        """
        scorer = self.source.read(folder)
        check_rows_independent(scorer.predictor)
        return self.repository.add(scorer)


def check_rows_independent(predictor: Predictor) -> None:
    """Check that an example's prediction does not depend on the others in its batch.

    Those with corrupted words lie in the batch and need finite answers. They are not compared:
    where huge vectors cancel out, the size of a batch may account for many more roundings.

    Raises:
        CheckpointRefused: it does, or one is NaN or infinite.
    """
    probes = probe_examples(predictor.checkpoint.schema, _PROBES)
    together = _logits(predictor, probes)
    reverse = np.arange(_PROBES)[::-1]
    reversed_ = _logits(predictor, probes.take(reverse))[reverse]
    alone = np.concatenate(
        [_logits(predictor, probes.take(np.array([row]))) for row in range(_PROBES)]
    )
    for how, logits in (("in another order", reversed_), ("alone", alone)):
        same = same_but_for_rounding(
            together[:-CORRUPTED],
            logits[:-CORRUPTED],
            predictor.checkpoint.output,
            _ROUNDINGS,
        )
        if not same.all():
            raise CheckpointRefused(
                f"the program predicts something else for an example {how}: examples of a batch "
                "must not influence each other (is a batch normalisation in training mode?)"
            )


def _logits(predictor: Predictor, probes: Examples) -> NDArray[np.floating]:
    logits = predictor.logits(probes)
    classes = len(predictor.checkpoint.classes)
    shape = (probes.count, classes) if classes else (probes.count,)
    if logits.shape != shape or not np.isfinite(logits).all():
        finite = f"B x {classes} finite numbers" if classes else "B finite numbers"
        raise CheckpointRefused(
            f"the program must answer a batch of B examples with {finite}, also where words of an "
            f"encoded embedding decode to NaN or infinity; for {probes.count} made-up examples it "
            f"answers {logits.tolist()}"
        )
    return logits
