"""Labels that mitigations are about: ids to serve without, and rows to train without."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

_ID = re.compile(r"-?[0-9]{1,19}")
_MASK_LEVER = re.compile(rf"id ({_ID.pattern}) of (.+)", re.DOTALL)
_WIDTH = 64


@dataclass(frozen=True, order=True)
class SuspectLabel:
    """A label, and what is known of it that an act needs."""

    label: str
    feature: str = ""
    """Of a mask: the id-list feature that holds the id."""
    node: str = ""
    """Of actions on rows: the data set, as lineage names it."""
    outcome: str = ""
    """Of actions on rows: that the label's rows lean to."""
    share: float = 0.0
    """Of actions on rows: of the rows with the label, those with the outcome."""
    target_share: float = 0.0
    """Of a rebalance: what that share is to be."""

    @property
    def mask_lever(self) -> str:
        """The lever that serves the feature with the id, or without."""
        return f"id {self.label} of {self.feature}"

    @property
    def rows_lever(self) -> str:
        """The lever that decides how the rows are trained on."""
        return f"rows of {self.node} with label {self.label!r} and outcome {self.outcome!r}"


def is_id(label: str) -> bool:
    """Whether a label is an id of a list: a decimal number of 64 bits."""
    return bool(_ID.fullmatch(label)) and -(2 ** (_WIDTH - 1)) <= int(label) < 2 ** (_WIDTH - 1)


def masked_id(lever: str) -> tuple[str, str] | None:
    """Return the feature and the id of a mask's lever; None for any other lever."""
    match = _MASK_LEVER.fullmatch(lever)
    return (match[2], match[1]) if match else None


def target_told(label: SuspectLabel) -> str:
    """Return the setting of rows that are weighed."""
    return f"weighed to {label.target_share:.6g}"


def masks_told(labels: Sequence[SuspectLabel]) -> str:
    """Return which features are served without which ids."""
    ordered = sorted(labels, key=lambda each: each.feature)
    told = []
    for feature, some in groupby(ordered, key=lambda each: each.feature):
        ids = [each.label for each in some]
        told.append(f"{feature} without id{'s' if len(ids) > 1 else ''} {', '.join(ids)}")
    return " and ".join(told)


def rows_told(labels: Sequence[SuspectLabel]) -> str:
    """Return which rows are meant."""
    return ", ".join(each.rows_lever for each in labels)
