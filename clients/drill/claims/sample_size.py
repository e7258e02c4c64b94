"""How many examples a window needs, by bootstrap."""

import numpy as np
import pyarrow as pa

from clients.drill.claims.worlds import Measured, Numbers, Worlds
from clients.drill.figures import lines
from clients.drill.subject import Slice, Subject

TITLE = "Sample size by bootstrap"
SIZES = (250, 500, 1000, 2000, 4000, 8000)
TOLERANCE_SHARE = 0.05
"""Tolerance: this share of the largest GFI."""


def measure(worlds: Worlds) -> Measured:
    """Standard errors of GFI in windows of rising size, and the size that a tolerance takes."""
    numbers: Numbers = {}
    figures = {}
    for subject in worlds.all():
        whole = pa.concat_tables([piece.examples for piece in subject.slices]).combine_chunks()
        order = np.random.default_rng(0).permutation(whole.num_rows)
        sizes = [size for size in SIZES if size <= whole.num_rows]
        numbers[subject.name] = _errors(worlds, subject, whole.take(pa.array(order)), sizes)
        found = numbers[subject.name]
        figures[f"sample-size-{subject.name}.png"] = lines(
            {
                "largest": (sizes, found["largest_error"]),
                "median": (sizes, found["median_error"]),
                "largest by one over the root": (
                    sizes,
                    [found["largest_error"][0] * (sizes[0] / size) ** 0.5 for size in sizes],
                ),
            },
            "examples",
            "standard error of GFI over the features",
        )
    return Measured(numbers, figures)


def _errors(worlds: Worlds, subject: Subject, examples: pa.Table, sizes: list[int]) -> Numbers:
    largest, median = [], []
    laboratory = worlds.laboratory(subject)
    for size in sizes:
        part = examples.slice(0, size)
        logged = laboratory.log(part, Slice(part))
        gfi = laboratory.client.gfi(logged.window)
        errors = [one.standard_error for one in gfi]
        largest.append(max(errors))
        median.append(float(np.median(errors)))
    tolerance = TOLERANCE_SHARE * max(one.gfi for one in gfi)
    needed = laboratory.client.sample_size(logged.window, tolerance=tolerance)
    return {
        "sizes": sizes,
        "largest_error": largest,
        "median_error": median,
        "tolerance": tolerance,
        "needed": needed.sample_size,
        "most_demanding": needed.features[0].feature,
    }


def tell(numbers: Numbers) -> str:
    """What came out."""
    rows = [
        "Standard errors are those of 1,000 resamples, over all features of a window.",
        "",
        "| world | examples | largest standard error | median |",
        "| --- | --- | --- | --- |",
    ]
    ends = []
    for world, found in numbers.items():
        for size, most, middle in zip(
            found["sizes"], found["largest_error"], found["median_error"], strict=True
        ):
            rows.append(f"| {world} | {size:,} | {most:.2g} | {middle:.2g} |")
        ends.append(
            f"- {world}: {found['needed']:,} examples keep every feature's standard error under "
            f"{found['tolerance']:.2g}, {TOLERANCE_SHARE:.0%} of the largest GFI; "
            f"`{found['most_demanding']}` demands them."
        )
    figures = [f"![{world}](figures/sample-size-{world}.png)" for world in numbers]
    return "\n".join([*rows, "", *ends, "", *figures])
