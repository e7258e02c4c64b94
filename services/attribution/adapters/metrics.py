"""What attribution counts for operators, beside the chassis' counts of calls."""

from prometheus_client import Counter, Gauge

PAIRS = Counter(
    "aftershock_pairs_total",
    "Attributed (example, feature) pairs. `skipped`: the feature was at its baseline. `raced_out`: "
    "a race had put it out. `fallback`: steps of the model ran again. `delta`: everything else.",
    ["way"],
)
BATCHES = Counter("aftershock_batches_total", "Batches by what became of them.", ["result"])
WAITING = Gauge("aftershock_batches_waiting", "Batches and previews that wait for inference.")
UNLOADED = Counter(
    "aftershock_checkpoints_unloaded_total", "Checkpoints that gave way to others in memory."
)
