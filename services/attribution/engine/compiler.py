"""From an exported program to an ablation program."""

import torch
from torch.export import ExportedProgram

from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.engine.dependencies import Dependencies
from services.attribution.engine.graph import Graph, lowered
from services.attribution.engine.program import AblationProgram
from services.attribution.engine.towers import Towers
from services.attribution.engine.trunk import Trunk


def compiled(program: ExportedProgram, checkpoint: Checkpoint) -> AblationProgram:
    """Return the ablation program of a checkpoint."""
    graph = lowered(program)
    dependencies = Dependencies(graph, checkpoint.schema)
    row = checkpoint.schema.baseline_row()
    arguments = [torch.from_numpy(row[s.name]).unsqueeze(0) for s in checkpoint.schema.inputs]
    with torch.inference_mode():
        baseline = graph.run(arguments)
    trunks = []
    for features in _classes(graph, dependencies, len(checkpoint.schema.features)):
        among = sum(1 << j for j in features)
        towers = Towers(graph, dependencies, baseline, among)
        trunks.append(Trunk(features, among, graph, dependencies, towers))
    return AblationProgram(checkpoint, graph, trunks)


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
