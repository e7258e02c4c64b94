"""From an exported program to an ablation program."""

import torch
from torch.export import ExportedProgram

from services.attribution.domain.checkpoint import Checkpoint, Output, Schema
from services.attribution.domain.probe import probe_examples
from services.attribution.engine.dependencies import Dependencies
from services.attribution.engine.graph import Graph, lowered
from services.attribution.engine.pairs import pairs_of, presence
from services.attribution.engine.planning import plan
from services.attribution.engine.program import AblationProgram, Limits
from services.attribution.engine.rewrites import split_concatenations, without_sigmoid
from services.attribution.engine.running import Block
from services.attribution.engine.towers import Towers
from services.attribution.engine.trunk import Trunk

_SAMPLE = 4


def compiled(
    program: ExportedProgram, checkpoint: Checkpoint, limits: Limits | None = None
) -> AblationProgram:
    """Return the ablation program of a checkpoint."""
    graph, output = lowered(program), checkpoint.output
    plain = without_sigmoid(graph) if output is Output.PROBABILITY else None
    if plain is not None:
        graph, output = plain, Output.LOGIT
    graph, dependencies = _split(graph, checkpoint.schema)
    with torch.inference_mode():
        trunks = _trunks(graph, dependencies, checkpoint.schema)
    return AblationProgram(checkpoint, graph, trunks, output, limits or Limits())


def _split(graph: Graph, schema: Schema) -> tuple[Graph, Dependencies]:
    dependencies = Dependencies(graph, schema)
    everything = (1 << len(schema.features)) - 1

    def is_joint(index: int) -> bool:
        return not dependencies.is_tower(index, everything)

    split = split_concatenations(graph, is_joint)
    if len(split.steps) == len(graph.steps):
        return graph, dependencies
    return split, Dependencies(split, schema)


def _trunks(graph: Graph, dependencies: Dependencies, schema: Schema) -> list[Trunk]:
    row = schema.baseline_row()
    baseline = graph.run([torch.from_numpy(row[s.name]).unsqueeze(0) for s in schema.inputs])
    sample = probe_examples(schema, _SAMPLE)
    values = graph.run([torch.from_numpy(a) for a in sample.arguments()])
    present = presence(sample)
    trunks = []
    for features in _classes(graph, dependencies, len(schema.features)):
        towers = Towers(graph, dependencies, baseline, sum(1 << j for j in features))
        trunk = Trunk(features, graph, dependencies, towers)
        plan(trunk, Block(values, sample.count), pairs_of(present[list(features)], features))
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
