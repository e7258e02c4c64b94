"""What the aggregator counts for operators, beside the chassis' counts of calls."""

from prometheus_client import Counter, Histogram

BLOCKS = Counter("aftershock_blocks_total", "Blocks by what became of them.", ["result"])
CORRUPT_VALUES = Counter(
    "aftershock_corrupt_values_total", "Stored values that did not match their checksum.", ["kind"]
)
SWEEP_SECONDS = Histogram("aftershock_sweep_seconds", "Time to bring one model up to date.")
