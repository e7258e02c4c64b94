"""Control: the same hour of the day before, or the hour before, where hours differ."""

import numpy as np

from clients.drill.ads.features import Pipeline
from clients.drill.ads.population import HOURS_A_DAY, Population
from clients.drill.claims.worlds import Measured, Numbers, Worlds
from clients.drill.figures import lines

TITLE = "Control: same hour of the previous day against the previous hour"


def measure(worlds: Worlds) -> Measured:
    """GFI shift on healthy hours, by lag, of features whose values have a daily wave or not."""
    hours = 2 * HOURS_A_DAY
    subject = worlds.ads(hours)
    laboratory = worlds.laboratory(subject)
    logged = [laboratory.log(piece.examples, piece) for piece in subject.slices]
    laboratory.settle()
    gfi = [laboratory.importances(one) for one in logged]
    names = subject.schema.names()
    table = np.array([[one[name] for name in names] for one in gfi])
    pipeline = Pipeline(Population(worlds.scale.ads))
    seasonal = np.array([source.is_seasonal for source in pipeline.sources])
    lags = {"previous hour": 1, "same hour of the previous day": HOURS_A_DAY}
    found: Numbers = {"hours": hours, "seasonal": int(seasonal.sum())}
    by_hour = {}
    for title, lag in lags.items():
        # Each lag on the same second day, so that both have the same anomaly windows.
        shifts = np.abs(table[HOURS_A_DAY:] - table[HOURS_A_DAY - lag : hours - lag])
        share = {
            "seasonal": shifts[:, seasonal].sum(axis=1) / table[:, seasonal].mean(axis=0).sum(),
            "others": shifts[:, ~seasonal].sum(axis=1) / table[:, ~seasonal].mean(axis=0).sum(),
        }
        found[title] = {group: float(values.mean()) for group, values in share.items()}
        by_hour[title] = (list(range(HOURS_A_DAY)), share["seasonal"].tolist())
    figure = lines(
        by_hour, "hour of the day", "sum of |GFI shift| over sum of GFI, seasonal features"
    )
    return Measured({"ads": found}, {"control.png": figure})


def tell(numbers: Numbers) -> str:
    """What came out."""
    found = numbers["ads"]
    rows = [
        f"{found['hours']} healthy hours of the ads world, of which the second day is held against "
        "either control: the sum of |GFI shift| over the sum of GFI, averaged over the hours. "
        f"{found['seasonal']} features have a daily wave in their values; the others "
        "change with who is awake. MovieLens has no hours to speak of.",
        "",
        "| control | features with a daily wave | others |",
        "| --- | --- | --- |",
    ]
    rows += [
        f"| {title} | {found[title]['seasonal']:.3f} | {found[title]['others']:.3f} |"
        for title in ("previous hour", "same hour of the previous day")
    ]
    return "\n".join([*rows, "", "![noise by hour](figures/control.png)"])
