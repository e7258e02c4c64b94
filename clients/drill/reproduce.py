"""Measures the paper's side claims: `python -m clients.drill.reproduce all --write docs`.

The document is made of the numbers alone, which stand beside it: `docs/reproduction.json`.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from clients.drill.claims import (
    cascade,
    control_choice,
    lfi_skew,
    normalisation,
    sample_size,
    unimportant,
)
from clients.drill.claims.worlds import FULL, QUICK, Measured, Numbers, Worlds
from clients.drill.figures import save
from clients.drill.progress import progressing

DOCUMENT, NUMBERS = "reproduction.md", "reproduction.json"


@dataclass(frozen=True)
class Claim:
    """Something that the paper says beside its main result."""

    title: str
    measure: Callable[[Worlds], Measured]
    tell: Callable[[Numbers], str]


CLAIMS: Mapping[str, Claim] = {
    "figure-1": Claim(lfi_skew.TITLE, lfi_skew.measure, lfi_skew.tell),
    "figure-2": Claim(normalisation.TITLE, normalisation.measure, normalisation.tell),
    "sample-size": Claim(sample_size.TITLE, sample_size.measure, sample_size.tell),
    "control": Claim(control_choice.TITLE, control_choice.measure, control_choice.tell),
    "unimportant": Claim(unimportant.TITLE, unimportant.measure, unimportant.tell),
    "cascade": Claim(cascade.TITLE, cascade.measure, cascade.tell),
}
INTRODUCTION = f"""\
# The paper's side claims, measured here

R. Vishnampet et al., "Root Causing Prediction Anomalies Using Explainable AI", say more than their
Table 1. This page tells what becomes of it on a generated ads world ({FULL.ads.features} features,
some {FULL.ads.requests * FULL.ads.candidates:,} considered ads an hour; the model chooses what is
displayed and learns from it) and on MovieLens-100K (windows of {FULL.movielens_rows:,}), with
plain models that nobody tuned for it, attributed by the real services. Every number is from one
run of

```
python -m clients.drill.reproduce all --write docs
```

which also draws the figures; `reproduction.json` has the numbers. One claim alone, printed and not
written: `python -m clients.drill.reproduce figure-1`; with `--quick` on a world of 24 features.
"""


def render(numbers: Mapping[str, Numbers]) -> str:
    """The document, of the claims that were measured."""
    parts = [INTRODUCTION]
    for name, found in numbers.items():
        claim = CLAIMS[name]
        parts.append(f"## {claim.title}\n\n`python -m clients.drill.reproduce {name}`\n\n")
        parts.append(f"{claim.tell(found)}\n")
    return "\n".join(parts).replace("\n\n\n", "\n\n")


def main() -> None:
    """Measure one claim or all; the last line is their numbers, one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m clients.drill.reproduce", description=__doc__)
    parser.add_argument("claim", choices=["all", *CLAIMS])
    parser.add_argument("--quick", action="store_true", help="a small ads world alone")
    parser.add_argument("--write", type=Path, help="folder for the document and its figures")
    arguments = parser.parse_args()
    # On shared cores more threads are slower.
    torch.set_num_threads(1)
    chosen = CLAIMS if arguments.claim == "all" else {arguments.claim: CLAIMS[arguments.claim]}
    numbers: dict[str, Numbers] = {}
    with (
        tempfile.TemporaryDirectory(prefix="aftershock-claims-") as folder,
        ExitStack() as stack,
        progressing() as progress,
    ):
        worlds = Worlds(QUICK if arguments.quick else FULL, Path(folder), stack, progress)
        for name, claim in chosen.items():
            progress(name, 0.0)
            measured = claim.measure(worlds)
            numbers[name] = measured.numbers
            for file, figure in measured.figures.items() if arguments.write else ():
                save(figure, arguments.write / "figures" / file)
    if arguments.write:
        (arguments.write / NUMBERS).write_text(json.dumps(numbers, indent=2) + "\n")
        (arguments.write / DOCUMENT).write_text(render(numbers))
    else:
        print(render(numbers))
    print(json.dumps(numbers))


if __name__ == "__main__":
    main()
