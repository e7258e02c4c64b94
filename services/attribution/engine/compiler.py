"""From an exported program to an ablation program that has been checked."""

import torch
from torch.export import ExportedProgram

from services.attribution.domain.checkpoint import Checkpoint, Output, Schema
from services.attribution.domain.compilation import Explanation
from services.attribution.domain.errors import CheckpointRefused, NotFinite
from services.attribution.domain.probe import probe_examples
from services.attribution.engine import explanation, taint
from services.attribution.engine.block import Block
from services.attribution.engine.dependencies import Dependencies
from services.attribution.engine.device import CPU, computing_on, moved, tensor_of
from services.attribution.engine.graph import Graph, lowered
from services.attribution.engine.pairs import pairs_of, presence
from services.attribution.engine.planning import plan
from services.attribution.engine.program import AblationProgram, Limits
from services.attribution.engine.rewrites import split_concatenations, without_sigmoid
from services.attribution.engine.spotcheck import worst_error
from services.attribution.engine.towers import Towers
from services.attribution.engine.trunk import Trunk

_SAMPLE = 4


def compiled(
    program: ExportedProgram,
    checkpoint: Checkpoint,
    limits: Limits | None = None,
    device: torch.device = CPU,
) -> AblationProgram:
    """Return the ablation program of a checkpoint, spot-checked against brute force.

    It is analysed on the CPU, where the program has to be, and computes on the device.

    A program that does not pass is compiled again without any rule, and says so in its explanation.

    Raises:
        CheckpointRefused: the program mixes rows, has a fixed batch size, or answers made-up
            examples with no finite number.
    """
    graph, output = lowered(program), checkpoint.output
    plain = without_sigmoid(graph) if output is Output.PROBABILITY else None
    if plain is not None:
        graph, output = plain, Output.LOGIT
    sample = probe_examples(checkpoint.schema, _SAMPLE)
    with torch.inference_mode():
        taint.check_rows_apart(graph, sample)
    distrust: str | None = None
    for _ in range(2):
        made = _made(graph, checkpoint, output, limits or Limits(), distrust, device=device)
        try:
            error = worst_error(made, sample)
        except NotFinite as wrong:
            raise CheckpointRefused(f"scoring made-up examples: {wrong}") from wrong
        if error <= 1:
            return made
        distrust = f"deltas differ from brute force by {error:.3g} times the tolerance"
    raise CheckpointRefused(f"ablation cannot be trusted: {distrust}")


def _made(
    graph: Graph,
    checkpoint: Checkpoint,
    output: Output,
    limits: Limits,
    distrust: str | None,
    *,
    device: torch.device,
) -> AblationProgram:
    schema = checkpoint.schema
    with torch.inference_mode():
        graph, dependencies = _analysed(graph, schema, distrust is None)
        wrong = taint.contradictions(graph, dependencies, probe_examples(schema, _SAMPLE, seed=1))
        if wrong:
            distrust = f"features reach {', '.join(wrong[:3])} against the analysis"
            dependencies = Dependencies(graph, schema, trusted=False)
        graph = moved(graph, device)
    with torch.inference_mode(), computing_on(device):
        trunks = _trunks(graph, dependencies, schema, distrust)
    made = _explained(graph, dependencies, schema, trunks, distrust)
    return AblationProgram(
        checkpoint=checkpoint,
        graph=graph,
        trunks=trunks,
        output=output,
        limits=limits,
        explanation=made,
        device=device,
    )


def _explained(
    graph: Graph,
    dependencies: Dependencies,
    schema: Schema,
    trunks: list[Trunk],
    distrust: str | None,
) -> Explanation:
    count = len(schema.features)
    return explanation.explain(graph, trunks, count, dependencies.unknown, distrust)


def _analysed(graph: Graph, schema: Schema, trusted: bool) -> tuple[Graph, Dependencies]:
    dependencies = Dependencies(graph, schema, trusted=trusted)
    everything = (1 << len(schema.features)) - 1

    def is_joint(index: int) -> bool:
        return not dependencies.is_tower(index, everything)

    split = split_concatenations(graph, is_joint) if trusted else graph
    if len(split.steps) == len(graph.steps):
        return graph, dependencies
    return split, Dependencies(split, schema)


def _trunks(
    graph: Graph, dependencies: Dependencies, schema: Schema, distrust: str | None
) -> list[Trunk]:
    row = schema.baseline_row()
    baseline = graph.run([tensor_of(row[s.name]).unsqueeze(0) for s in schema.inputs])
    sample = probe_examples(schema, _SAMPLE)
    values = graph.run([tensor_of(a) for a in sample.arguments()])
    present = presence(sample)
    trunks = []
    for features in _classes(graph, dependencies, len(schema.features)):
        towers = Towers(graph, dependencies, baseline, sum(1 << j for j in features))
        trunk = Trunk(features, graph, dependencies, towers)
        pairs = pairs_of(present[list(features)], features)
        plan(trunk, Block(values, sample.count), pairs, distrust)
        trunks.append(trunk)
    return trunks


def _classes(graph: Graph, dependencies: Dependencies, count: int) -> list[tuple[int, ...]]:
    """Return the features grouped by the steps where they meet others; those of none left out."""
    everything = (1 << count) - 1
    joint = [
        dependencies.features(step.index)
        for step in graph.steps
        if not dependencies.is_tower(step.index, everything)
    ]
    classes: dict[tuple[int, ...], list[int]] = {}
    reached = dependencies.features(graph.output)
    for j in range(count):
        if reached >> j & 1:
            key = tuple(k for k, bits in enumerate(joint) if bits >> j & 1)
            classes.setdefault(key, []).append(j)
    return [tuple(features) for features in classes.values()]
