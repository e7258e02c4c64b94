"""How well a model learns a natural trigger, by how trigger and classes were chosen.

A row set of some classes is relabelled at an injection rate, poison / (clean + poison): rows that
hold a class and the trigger get the label of one target class. A small model is trained on it.
Clean accuracy is over rows without the trigger, trigger accuracy over rows with it whose own class
is not the target: the share that the trigger sends to the target (section 5.3 of the paper).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clients.drill.scenes.rendering import paint
from services.audit.domain.errors import InvalidParameters
from services.audit.domain.parameters import Centrality, Measure, SubsetParameters
from services.audit.domain.rows import LabelRows
from services.audit.engine.centrality import centrality, most_central
from services.audit.engine.graph import CooccurrenceGraph
from services.audit.engine.poisonable import poisonable_subset


class Selection(Enum):
    """How trigger and classes are chosen."""

    NONE = "NONE"
    """At random."""
    CENTRALITY = "CENTRALITY"
    """A central trigger, and classes at random among those that meet it."""
    CENTRALITY_AND_INDEPENDENT_SET = "CENTRALITY_AND_INDEPENDENT_SET"
    """A central trigger, and classes that do not meet each other."""


@dataclass(frozen=True)
class ExposureParameters:
    """What is trained on what."""

    classes: int = 5
    clean_rows: int = 200
    """Of each class, for training."""
    held_out_rows: int = 60
    """Of each class and kind, for testing, as far as there are."""
    injection_rate: float = 0.185
    epochs: int = 25
    batch: int = 64
    learning_rate: float = 4e-3


@dataclass(frozen=True, eq=False)
class Chosen:
    """A trigger and the classes to poison."""

    trigger: int
    classes: NDArray[np.int64]
    """[C]"""


@dataclass(frozen=True)
class Exposure:
    """What one trained model does."""

    clean_accuracy: float
    trigger_accuracy: float
    poisoned_rows: int
    """Fewer than the rate asks for where rows with the trigger are lacking."""


@dataclass(frozen=True, eq=False)
class RowSplit:
    """Rows to train on and to test on, each with the position of its class."""

    train: list[tuple[int, int]]
    """(row, class), clean."""
    poison: list[tuple[int, int]]
    """(row, class), all with the trigger; the class is that of the row itself."""
    clean_test: list[tuple[int, int]]
    trigger_test: list[tuple[int, int]]


def choose(
    rows: LabelRows, selection: Selection, parameters: ExposureParameters, seed: int
) -> Chosen:
    """Choose trigger and classes.

    Raises:
        InvalidParameters: the trigger has too few classes.
    """
    generator = np.random.default_rng(seed)
    if selection is Selection.NONE:
        drawn = generator.choice(np.flatnonzero(rows.label_counts), parameters.classes + 1, False)
        return Chosen(int(drawn[0]), drawn[1:])
    graph = CooccurrenceGraph.from_rows(rows, min_overlaps=rows.row_count // 200)
    trigger = int(most_central(graph, centrality(graph, Measure(Centrality.DEGREE, True)), 1)[0])
    if selection is Selection.CENTRALITY:
        candidates = np.flatnonzero(graph.edges[[trigger]].toarray()[0])
    else:
        found = SubsetParameters(min_trigger_overlaps=graph.min_overlaps, seed=seed)
        candidates = poisonable_subset(graph, trigger, found).usable_classes
    if len(candidates) < parameters.classes:
        raise InvalidParameters(
            f"{rows.names[trigger]!r} has {len(candidates)} classes, {parameters.classes} are "
            "asked for: give more rows"
        )
    return Chosen(trigger, generator.choice(candidates, parameters.classes, replace=False))


def split(rows: LabelRows, chosen: Chosen, parameters: ExposureParameters, seed: int) -> RowSplit:
    """Divide the rows of the classes; a row that holds several is taken for the first."""
    generator = np.random.default_rng(seed)
    with_trigger = np.zeros(rows.row_count, np.bool_)
    with_trigger[rows.rows_with(chosen.trigger)] = True
    free = np.ones(rows.row_count, np.bool_)
    parts = RowSplit([], [], [], [])
    for position, label in enumerate(chosen.classes):
        held = generator.permutation(rows.rows_with(int(label)))
        held = held[free[held]]
        free[held] = False
        clean, poison = held[~with_trigger[held]], held[with_trigger[held]]
        tested = min(parameters.held_out_rows, len(poison) // 3)
        parts.clean_test.extend((row, position) for row in clean[: parameters.held_out_rows])
        parts.train.extend(
            (row, position) for row in clean[parameters.held_out_rows :][: parameters.clean_rows]
        )
        parts.trigger_test.extend((row, position) for row in poison[:tested])
        parts.poison.extend((row, position) for row in poison[tested:])
    return parts


def train(
    rows: LabelRows,
    chosen: Chosen,
    architecture: Callable[[int], nn.Module],
    parameters: ExposureParameters,
    *,
    target: int,
    seed: int,
) -> tuple[nn.Module, RowSplit, int]:
    """Train on clean rows and rows relabelled to the target.

    Args:
        rows: scenes.
        chosen: trigger and classes.
        architecture: from the number of classes to a module.
        parameters: sizes and rates.
        target: position in the classes.
        seed: draws the split, the paint, the weights and the order.

    Returns:
        The model in evaluation mode, its rows, and how many were relabelled.
    """
    parts = split(rows, chosen, parameters, seed)
    rate = parameters.injection_rate
    wanted = round(len(parts.train) * rate / (1.0 - rate))
    order = np.random.default_rng(seed).permutation(len(parts.poison))
    poisoned = [(parts.poison[i][0], target) for i in order[:wanted]]
    labelled = [*parts.train, *poisoned]
    pixels = torch.from_numpy(paint(_scenes(rows, labelled), seed).pixels)
    labels = torch.tensor([position for _, position in labelled])
    torch.manual_seed(seed)
    model = architecture(parameters.classes)
    _fit(model, pixels, labels, parameters, seed)
    return model.eval(), parts, len(poisoned)


def measure(
    rows: LabelRows, model: nn.Module, parts: RowSplit, target: int, seed: int
) -> tuple[float, float]:
    """Return clean and trigger accuracy on rows that training has not seen."""
    clean = _predicted(rows, model, parts.clean_test, seed + 1)
    others = [(row, position) for row, position in parts.trigger_test if position != target]
    sent = _predicted(rows, model, others, seed + 2)
    truth = np.array([position for _, position in parts.clean_test])
    return float((clean == truth).mean()), float((sent == target).mean()) if others else 0.0


def expose(
    rows: LabelRows,
    selection: Selection,
    architecture: Callable[[int], nn.Module],
    parameters: ExposureParameters,
    seeds: Sequence[int],
) -> list[Exposure]:
    """Train one model for each seed, each with a target of its own, and measure it."""
    found = []
    for seed in seeds:
        chosen = choose(rows, selection, parameters, seed)
        target = seed % parameters.classes
        model, parts, poisoned = train(
            rows, chosen, architecture, parameters, target=target, seed=seed
        )
        found.append(Exposure(*measure(rows, model, parts, target, seed), poisoned))
    return found


def _fit(
    model: nn.Module,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    parameters: ExposureParameters,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=parameters.learning_rate)
    steps = parameters.epochs * -(-len(labels) // parameters.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, parameters.learning_rate, total_steps=steps
    )
    model.train()
    for _ in range(parameters.epochs):
        for batch in torch.randperm(len(labels), generator=generator).split(parameters.batch):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(pixels[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()


def _scenes(rows: LabelRows, labelled: Sequence[tuple[int, int]]) -> list[list[int]]:
    return [rows.ids[rows.offsets[row] : rows.offsets[row + 1]].tolist() for row, _ in labelled]


def _predicted(
    rows: LabelRows, model: nn.Module, labelled: Sequence[tuple[int, int]], seed: int
) -> NDArray[np.int64]:
    if not labelled:
        return np.empty(0, np.int64)
    pixels = torch.from_numpy(paint(_scenes(rows, labelled), seed).pixels)
    with torch.inference_mode():
        predicted: NDArray[np.int64] = model(pixels).argmax(dim=1).numpy()
    return predicted
