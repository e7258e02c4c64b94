"""What can be set from the environment."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.aggregator.adapters.redis_durability import Durability
from services.aggregator.adapters.redis_intake import SampleRules
from services.aggregator.domain.calibration import HealthyBand
from services.aggregator.domain.control import ControlSelection
from services.aggregator.domain.latest import LatestRules
from services.aggregator.domain.window import WindowRules
from services.chassis.settings import ServiceSettings

_REDIS_URL = r"^(rediss?(\+cluster)?|unix)://"


class AggregatorSettings(ServiceSettings):
    """Settings, from the environment with the prefix AFTERSHOCK_AGGREGATOR_."""

    model_config = SettingsConfigDict(env_prefix="AFTERSHOCK_AGGREGATOR_", extra="forbid")

    redis_url: str = Field(default="redis://127.0.0.1:6379", pattern=_REDIS_URL)
    """Redis 7 or Valkey: `redis://`, `rediss://` or `unix://`; any node of a cluster:
    `redis+cluster://` or `rediss+cluster://`."""
    acknowledge_replicas: int = Field(default=0, ge=0)
    """Replicas of the server that must have a block or a report before it is acknowledged."""
    acknowledge_on_disk: bool = False
    """The server's append-only file, and the replicas', must be synchronised as well."""
    acknowledge_seconds: float = Field(default=2.0, gt=0, le=5)
    """How long to wait for that; then the sender is asked to send again."""
    ingest_waiting_bytes: int = Field(default=256 * 1024 * 1024, ge=1)
    """Bytes of blocks that may wait for Redis at once; more are answered RESOURCE_EXHAUSTED."""
    window_seconds: int = Field(default=3600, ge=1, le=86_400)
    """Length of a window in event time."""
    allowed_lateness_seconds: float = Field(default=0.0, ge=0)
    """How far the watermark passes a window's end before the window closes."""
    furthest_ahead_seconds: float = Field(default=86_400.0, ge=0)
    """How far ahead of the clock an event time may lie."""
    retention_days: float = Field(default=8.0, ge=1)
    """How long windows and events are kept: behind the watermark, and after the last write."""
    healthy_band_lower: float = Field(default=0.92, gt=0)
    healthy_band_upper: float = Field(default=1.08, gt=0)
    """A calibration is anomalous when its whole interval lies outside the band."""
    confirming_windows: int = Field(default=1, ge=1, le=168)
    """So many windows together, up to the anomalous one, must be anomalous too; 1 asks for none."""
    false_alarms_per_week: float = Field(default=1.0, ge=0, le=100)
    """Alerts on evidence alone, without a calibration anomaly, that a model's clean windows may
    raise a week; 0 for no such alerts."""
    control_selection: ControlSelection = ControlSelection.SAME_HOUR_PREVIOUS_DAY
    """The control that is chosen when nobody says which."""
    fewest_examples: int = Field(default=500, ge=1)
    """A window with fewer gives no verdict and serves as no control."""
    history_windows: int = Field(default=72, ge=0)
    """Earlier healthy windows that a feature's own noise is estimated from."""
    history_memory_bytes: int = Field(default=512 * 1024 * 1024, ge=0)
    """What may be kept at hand of those windows, the models compared last first: some 6 MB a model
    of 1,000 features; what does not fit is read and worked out again."""
    fold_examples: int = Field(default=100_000, ge=0)
    """A window that holds more is folded: its importances are off by up to 0.4 %, and its memory
    stops growing with examples; 0: none is."""
    resamples: int = Field(default=1000, ge=2)
    """Bootstrap resamples behind each standard error."""
    top_k: int = Field(default=30, ge=1, le=20_000)
    """Shifts in a published event."""
    latest_examples: int = Field(default=10_000, ge=0, le=10_000_000)
    """Examples in the latest window, half of them of each population; 0: there is none."""
    latest_step_examples: int = Field(default=100, ge=1)
    """So many have to come before the latest window moves on, by whole blocks."""
    latest_models: int = Field(default=16, ge=1)
    """Models whose latest window is kept at hand, those asked for last."""
    sample_examples: int = Field(default=2000, ge=0)
    """Examples kept of a window for previews; 0 keeps none."""
    sample_retention_seconds: int = Field(default=86_400, ge=1)
    """How long they are kept after the window's last block."""
    sweep_seconds: float = Field(default=1.0, gt=0)
    """How often all models are looked over for windows to close and to judge."""
    lease_seconds: float = Field(default=2.0, ge=0.1, le=60)
    """How long a replica that died keeps others from its model; one that lives renews it thrice."""
    state_seconds: float = Field(default=60.0, gt=0)
    """How often the metrics are told what each model takes in Redis."""
    lineage_listen: str | None = None
    """Address of the HTTP server for OpenLineage events, `host:port`. None: there is none."""
    lineage_address_file: Path | None = None
    """Where to write its bound address once it is ready."""
    lineage_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Of one request to it, uncompressed; a longer one is answered 413."""
    lineage_body_seconds: float = Field(default=30.0, gt=0)
    """How long the body of one may take to arrive; a slower one is answered 408."""
    lineage_requests_at_once: int = Field(default=64, ge=1)
    """Requests to it that are under way; more are answered 429."""
    sweeps_at_once: int = Field(default=os.cpu_count() or 1, ge=1)
    """Models that are brought up to date at the same time."""

    @model_validator(mode="after")
    def _band_is_a_band(self) -> Self:
        if self.healthy_band_lower >= self.healthy_band_upper:
            raise ValueError("healthy_band_lower must be below healthy_band_upper")
        if self.allowed_lateness_seconds >= self.retention_days * 86_400:
            raise ValueError("allowed_lateness_seconds must be shorter than retention_days")
        if self.lineage_listen is not None:
            self.check_closed("lineage_listen", self.lineage_listen)
        return self

    @property
    def rules(self) -> WindowRules:
        """How event time is cut into windows."""
        return WindowRules(
            length=timedelta(seconds=self.window_seconds),
            allowed_lateness=timedelta(seconds=self.allowed_lateness_seconds),
            retention=timedelta(days=self.retention_days),
            furthest_ahead=timedelta(seconds=self.furthest_ahead_seconds),
        )

    @property
    def latest_rules(self) -> LatestRules:
        """How large the latest window is."""
        return LatestRules(self.latest_examples, self.latest_step_examples)

    @property
    def durability(self) -> Durability:
        """Of what is acknowledged."""
        patience = timedelta(seconds=self.acknowledge_seconds)
        return Durability(self.acknowledge_replicas, self.acknowledge_on_disk, patience)

    @property
    def sample_rules(self) -> SampleRules:
        """Which examples are kept."""
        retention = timedelta(seconds=self.sample_retention_seconds)
        return SampleRules(self.sample_examples, retention)

    @property
    def band(self) -> HealthyBand:
        """In which calibration is healthy."""
        return HealthyBand(self.healthy_band_lower, self.healthy_band_upper)
