"""What the aggregator counts for operators, beside the chassis' counts of calls."""

from prometheus_client import Counter, Gauge, Histogram

BLOCKS = Counter("aftershock_blocks_total", "Blocks by what became of them.", ["result"])
CORRUPT_VALUES = Counter(
    "aftershock_corrupt_values_total", "Stored values that did not match their checksum.", ["kind"]
)
STORED_BYTES = Counter(
    "aftershock_stored_bytes_total", "Bytes put into the store by what they are.", ["kind"]
)
WAITING_BYTES = Gauge("aftershock_waiting_bytes", "Bytes of blocks that wait for the store.")
KEPT_WINDOWS = Gauge("aftershock_kept_windows", "Windows that the store keeps.", ["model"])
STATE_BYTES = Gauge("aftershock_state_bytes", "What a model takes in the store.", ["model", "kind"])
WINDOW_BYTES = Gauge(
    "aftershock_window_bytes",
    "What a model's newest window of that state takes in the store.",
    ["model", "state"],
)
SWEEP_SECONDS = Histogram("aftershock_sweep_seconds", "Time to bring one model up to date.")
OPENLINEAGE_EVENTS = Counter(
    "aftershock_openlineage_events_total", "OpenLineage events by what became of them.", ["result"]
)
