"""A past put together of what was worked out before and what is new.

What changed from one closed window to another, and how far the windows of a group are from the mean
of the others, holds for as long as their summaries are the same; from hour to hour few of a past's
pairs and groups are new. Signals are kept to float32, within 6e-8 of themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.gallery import Gallery
from services.aggregator.domain.past import Pair, Past, Places, Plan
from services.aggregator.domain.portrait import Frame, Portrait
from services.aggregator.domain.shelf import Shelf

Name = tuple[str, bytes]
"""A window's resource name, and what tells its summary from any other."""
_Kept = NDArray[np.float32]


@dataclass(eq=False)
class Recollection:
    """The past of some windows as far as it is known, and what is left to work out."""

    plan: Plan
    names: Sequence[Name]
    """Of the windows, by their positions in the plan."""
    shelf: Shelf[Any]
    _between: dict[Pair, _Kept] = field(default_factory=dict, init=False)
    _from_usual: dict[Places, _Kept] = field(default_factory=dict, init=False)
    _usual: Portrait | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for pair in self.plan.pairs:
            if (between := self.shelf.get(self._key("between", pair))) is not None:
                self._between[pair] = between
        for group in self.plan.groups:
            if (from_usual := self.shelf.get(self._key("from usual", group))) is not None:
                self._from_usual[group] = from_usual
        self._usual = self.shelf.get(self._key("usual", self.plan.fellows))

    @property
    def needed(self) -> Sequence[int]:
        """Positions of the windows whose portraits are needed to work out the rest, rising."""
        return sorted({place for places in (*self._pairs, *self._groups) for place in places})

    def jobs(self, frame: Frame, portraits: Mapping[int, Portrait]) -> Sequence[Callable[[], None]]:
        """Return what is left to work out of the portraits that are needed, by their positions.

        The jobs can be done in several threads, each of them once; the longest come first.
        """
        gallery = Gallery.of(frame, list(portraits.values()))
        hung = {place: number for number, place in enumerate(portraits)}
        groups = sorted(self._groups, key=len, reverse=True)
        return [
            *(partial(self._work_out_group, gallery, hung, group) for group in groups),
            *(partial(self._work_out_pair, gallery, hung, pair) for pair in self._pairs),
        ]

    def past(self) -> Past:
        """Return the past once all jobs are done, and keep its parts on the shelf.

        Raises:
            RuntimeError: some are left.
        """
        usual = self._usual
        if usual is None:
            raise RuntimeError("jobs are left")
        for pair, between in self._between.items():
            self.shelf.keep(self._key("between", pair), between, between.nbytes)
        for group, from_usual in self._from_usual.items():
            self.shelf.keep(self._key("from usual", group), from_usual, from_usual.nbytes)
        self.shelf.keep(self._key("usual", self.plan.fellows), usual, usual.nbytes)
        return Past.made_of(self.plan, self._between, self._from_usual, usual)

    def _work_out_group(self, gallery: Gallery, hung: Mapping[int, int], group: Places) -> None:
        found = gallery.group([hung[place] for place in group])
        self._from_usual[group] = np.stack(found.from_usual).astype(np.float32)
        if group == self.plan.fellows:
            self._usual = found.usual

    def _work_out_pair(self, gallery: Gallery, hung: Mapping[int, int], pair: Pair) -> None:
        later, earlier = pair
        self._between[pair] = gallery.changes(hung[later], hung[earlier]).astype(np.float32)

    @property
    def _pairs(self) -> Sequence[Pair]:
        """Those that nothing is known of."""
        return [pair for pair in self.plan.pairs if pair not in self._between]

    @property
    def _groups(self) -> Sequence[Places]:
        """Those that nothing is known of, or not what is usual of them while that is wanted."""
        wanted = self.plan.fellows if self._usual is None else None
        groups = self.plan.groups
        return [group for group in groups if group == wanted or group not in self._from_usual]

    def _key(self, kind: str, places: Places) -> tuple[str, tuple[Name, ...]]:
        return kind, tuple(self.names[place] for place in places)
