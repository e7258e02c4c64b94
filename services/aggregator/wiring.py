"""Puts together what answers for windows, over Redis."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from services.aggregator.adapters.grpc_servicer import AggregatorServicer
from services.aggregator.adapters.ingest_room import IngestRoom
from services.aggregator.adapters.redis_checkpoints import RedisCheckpoints
from services.aggregator.adapters.redis_folds import RedisFolds
from services.aggregator.adapters.redis_intake import RedisIntake
from services.aggregator.adapters.redis_keeper import RedisKeeper
from services.aggregator.adapters.redis_panes import RedisLatest
from services.aggregator.adapters.redis_shifts import RedisShifts
from services.aggregator.adapters.redis_timeline import RedisTimeline
from services.aggregator.adapters.redis_windows import RedisWindows
from services.aggregator.adapters.sweeper import Sweeper
from services.aggregator.browse import GetGfi, GetWindowSample, ListModels, ListWindows
from services.aggregator.choose_sample_size import ChooseSampleSize
from services.aggregator.close import Close
from services.aggregator.compare import Compare
from services.aggregator.describe import Describe
from services.aggregator.detect import Detect
from services.aggregator.domain.alarm import EvidenceAlarm
from services.aggregator.domain.calibration import Confirmation
from services.aggregator.domain.shelf import Shelf
from services.aggregator.find import Find
from services.aggregator.fold import Fold
from services.aggregator.follow import Follow
from services.aggregator.ingest import Ingest
from services.aggregator.lineage_wiring import WindowParts
from services.aggregator.measure import Measure
from services.aggregator.recall import Recall
from services.aggregator.register import Register
from services.aggregator.report_outcomes import ReportOutcomes
from services.aggregator.set_rules import SetRules
from services.aggregator.settings import AggregatorSettings
from services.aggregator.sweep import Sweep
from services.aggregator.watch import Watch


def window_parts(settings: AggregatorSettings, client: Redis) -> WindowParts:
    """Return what answers for windows."""
    rules = settings.rules
    checkpoints = RedisCheckpoints(client, rules.retention)
    windows = RedisWindows(client, rules, settings.band)
    follow = Follow(RedisLatest(client), rules, settings.resamples, settings.latest_models)
    compare = Compare(
        checkpoints,
        windows,
        Measure(windows, settings.resamples),
        Recall(windows, Shelf(settings.history_memory_bytes)),
        settings.fewest_examples,
        settings.history_windows,
    )
    return WindowParts(
        rules=rules,
        checkpoints=checkpoints,
        windows=windows,
        shifts=RedisShifts(client, rules.retention),
        find=Find(windows, follow),
        compare=compare,
        selection=settings.control_selection,
    )


def sweeper_of(settings: AggregatorSettings, client: Redis, parts: WindowParts) -> Sweeper:
    """Return what closes windows and judges them."""
    keeper = RedisKeeper(client, parts.rules)
    detect = Detect(
        parts.windows,
        parts.compare,
        parts.shifts,
        parts.selection,
        Confirmation(settings.confirming_windows, settings.band),
        EvidenceAlarm(settings.false_alarms_per_week),
        settings.top_k,
        now,
    )
    sweep = Sweep(
        keeper,
        Fold(RedisFolds(client, parts.windows), settings.fold_examples),
        Close(parts.windows, keeper, parts.compare.measure),
        detect,
        timedelta(seconds=settings.lease_seconds),
    )
    return Sweeper(sweep, parts.checkpoints, settings.sweep_seconds, settings.sweeps_at_once)


def servicer_of(
    settings: AggregatorSettings,
    client: Redis,
    parts: WindowParts,
    timeline: RedisTimeline,
    wake: Callable[[str], None],
) -> AggregatorServicer:
    """Return what answers AggregatorService's calls."""
    rules, checkpoints, windows, find = parts.rules, parts.checkpoints, parts.windows, parts.find
    measure = parts.compare.measure
    intake = RedisIntake(
        client, rules, settings.sample_rules, settings.latest_rules, settings.durability
    )
    return AggregatorServicer(
        register=Register(checkpoints, checkpoints, timeline, now),
        find=find,
        ingest=Ingest(checkpoints, intake, rules, now, wake),
        report_outcomes=ReportOutcomes(intake, windows, rules, now, wake),
        list_models=ListModels(checkpoints, checkpoints, windows),
        set_rules=SetRules(checkpoints, rules),
        list_windows=ListWindows(checkpoints, windows),
        get_gfi=GetGfi(checkpoints, find, measure),
        describe=Describe(checkpoints, measure),
        compare=parts.compare,
        choose_sample_size=ChooseSampleSize(checkpoints, find, windows, settings.resamples),
        get_window_sample=GetWindowSample(windows),
        watch=Watch(checkpoints, parts.shifts),
        room=IngestRoom(settings.ingest_waiting_bytes),
        selection=parts.selection,
    )


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)
