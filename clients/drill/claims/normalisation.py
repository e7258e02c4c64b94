"""Figure 2: layer normalisation before the interaction, and case 11."""

import numpy as np

from clients.drill.claims.worlds import Measured, Numbers, Worlds
from clients.drill.figures import importances_side_by_side
from clients.drill.paper_cases import paper_case
from clients.drill.schema import FeatureKind
from clients.drill.subject import Subject

TITLE = "Figure 2: layer normalisation before the interaction"
CASE = 11
TITLES = {False: "without layer normalisation", True: "with layer normalisation"}


def measure(worlds: Worlds) -> Measured:
    """GFI of all features on the same rows, unbroken and with two encoded embeddings broken."""
    numbers: Numbers = {}
    figures = {}
    panels: dict[str, dict[str, tuple[list[float], list[float], list[int]]]] = {}
    for normalised, title in TITLES.items():
        for subject in worlds.all(normalised=normalised):
            found = _broken(worlds, subject)
            numbers.setdefault(subject.name, {})[title] = found["told"]
            panels.setdefault(subject.name, {})[title] = found["panel"]
    for name, sides in panels.items():
        arrays = {t: (np.array(c), np.array(a), culprits) for t, (c, a, culprits) in sides.items()}
        figures[f"figure-2-{name}.png"] = importances_side_by_side(arrays)
    return Measured(numbers, figures)


def _broken(worlds: Worlds, subject: Subject) -> Numbers:
    piece = subject.slices[0]
    names = subject.schema.names()
    victims = subject.schema.names(FeatureKind.ENCODED_EMBEDDING)[:2]
    fault = paper_case(CASE, subject.schema, victims=victims)
    laboratory = worlds.laboratory(subject)
    control = laboratory.log(piece.examples, piece)
    anomaly = laboratory.log(fault.apply(piece.examples).table, piece)
    before, after = laboratory.importances(control), laboratory.importances(anomaly)
    shifts = {name: abs(after[name] - before[name]) for name in names}
    ranks = sorted(names, key=lambda name: -shifts[name])
    return {
        "panel": (
            [before[name] for name in names],
            [after[name] for name in names],
            [names.index(victim) for victim in victims],
        ),
        "told": {
            "prediction_change": anomaly.mean_prediction / control.mean_prediction - 1,
            "features": [
                {
                    "feature": victim,
                    "control": before[victim],
                    "anomaly": after[victim],
                    "rank": ranks.index(victim) + 1,
                }
                for victim in victims
            ],
        },
    }


def tell(numbers: Numbers) -> str:
    """What came out."""
    lines = [
        "Case 11 in two encoded embeddings, the same rows unbroken as control. Where GFIs hardly "
        "change and the mean prediction does, importance alone is blind; ranks are kinder here "
        "than in real use, where control is an earlier window.",
        "",
        "| world | model | mean prediction | feature | GFI at control | at anomaly | rank |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {world} | {title} | {found['prediction_change']:+.2%} | `{one['feature']}` "
        f"| {one['control']:.4f} | {one['anomaly']:.4f} | {one['rank']} |"
        for world, models in numbers.items()
        for title, found in models.items()
        for one in found["features"]
    ]
    figures = [f"![GFI in {world}](figures/figure-2-{world}.png)" for world in numbers]
    return "\n".join([*lines, "", *figures])
