"""The aggregator through real gRPC over a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import grpc
import numpy as np
import pytest

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1.example_pb2 import Population as PopulationMessage
from aftershock.v1.importance_pb2 import LfiBlock
from aftershock.v1.shift_pb2 import ControlSelection, Verdict
from aftershock.v1.window_pb2 import Window, WindowState
from services.aggregator.domain.block import Method, Population
from tests.unit.services.aggregator.served import (
    NAME,
    TIMEOUT,
    Client,
    Refusal,
    block_message,
    calling,
    hour_of_blocks,
    ingest,
    refusal,
    refused,
    report,
    served,
    serving,
    store_hour,
    tensor,
    watched,
)
from tests.unit.services.aggregator.worlds import HOUR, NOON, block, checkpoint, hours, lfis
from tests.valkey import ValkeyServer

OTHER_DIGEST = "cd" * 32
NOON_NAME = f"{NAME}/windows/20261120T120000Z"
GOOD = block(lfis(1))
BROKEN = (1.0, 0.5, 5.0)


@pytest.fixture
async def stub(valkey: ValkeyServer) -> AsyncIterator[Client]:
    async with served(valkey.url) as stub:
        yield stub


async def windows(stub: Client) -> list[Window]:
    answer = await stub.ListWindows(pb.ListWindowsRequest(parent=NAME), timeout=TIMEOUT)
    return list(answer.windows)


class TestSampleSize:
    async def test_an_open_window_is_resampled(self, stub: Client) -> None:
        await ingest(stub, hour_of_blocks(NOON, 1))
        request = pb.ChooseSampleSizeRequest(window=NOON_NAME, tolerance=0.02)
        answer = await stub.ChooseSampleSize(request, timeout=TIMEOUT)
        assert answer.basis == pb.SAMPLE_SIZE_BASIS_IMPORTANCES
        assert answer.window.name == NOON_NAME
        # The scales are 1, 0.5 and 0.1: errors go with them, and sizes with their squares.
        assert [feature.feature for feature in answer.features] == ["f0", "f1", "f2"]
        sizes = [feature.sample_size for feature in answer.features]
        assert answer.sample_size == sizes[0]
        now = answer.features[0].standard_error
        assert answer.sample_size == pytest.approx(2000 * (now / 0.02) ** 2, rel=0.5)
        assert sizes[0] / sizes[1] == pytest.approx(4, rel=0.6)

    async def test_a_closed_window_is_extrapolated(self, stub: Client) -> None:
        await store_hour(stub, NOON, 1)
        await store_hour(stub, NOON + HOUR, 2)
        await watched(stub, 1)
        request = pb.ChooseSampleSizeRequest(window=NOON_NAME, tolerance=0.02)
        answer = await stub.ChooseSampleSize(request, timeout=TIMEOUT)
        assert answer.basis == pb.SAMPLE_SIZE_BASIS_SUMMARY
        now = answer.features[0].standard_error
        assert answer.sample_size == pytest.approx(2000 * (now / 0.02) ** 2, abs=1)

    async def test_what_cannot_be_answered_is_refused(self, stub: Client) -> None:
        async def ask(tolerance: float) -> Refusal:
            request = pb.ChooseSampleSizeRequest(window=NOON_NAME, tolerance=tolerance)
            return await refused(stub.ChooseSampleSize(request, timeout=TIMEOUT))

        assert (await ask(0.02)).reason == "WINDOW_NOT_FOUND"
        await ingest(stub, hour_of_blocks(NOON, 1))
        too_small = await ask(1e-9)
        assert (too_small.reason, too_small.fields) == ("INVALID_REQUEST", ["tolerance"])
        assert (await ask(0.0)).fields == ["tolerance"]


class TestIngest:
    async def test_blocks_become_a_window_with_importances(self, stub: Client) -> None:
        considered, displayed = (
            block(lfis(1)),
            block(lfis(2), "b2", population=Population.DISPLAYED),
        )
        answers = await ingest(stub, [block_message(considered), block_message(displayed)])
        assert [answer.block_id for answer in answers] == ["b1", "b2"]
        assert [answer.receipt.window for answer in answers] == [NOON_NAME] * 2
        request = pb.GetGfiRequest(window=NOON_NAME)
        answer = await stub.GetGfi(request, timeout=TIMEOUT)
        assert answer.window.state == WindowState.WINDOW_STATE_OPEN
        assert (answer.window.considered_count, answer.window.displayed_count) == (1000, 1000)
        both = np.abs(np.concatenate([lfis(1), lfis(2)]).astype(np.float64))
        for importance, column in zip(answer.importances, both.T, strict=True):
            present = column[column > 0]
            share = len(present) / len(column)
            assert importance.coverage == share
            assert importance.gfi == pytest.approx(share * np.median(present), rel=1e-3)
            assert 0 < importance.standard_error < importance.gfi / 5
        assert [importance.rank for importance in answer.importances] == [1, 2, 3]

    async def test_a_block_that_comes_twice_counts_once(self, stub: Client) -> None:
        first, again = await ingest(stub, [block_message(GOOD)] * 2)
        assert (first.receipt.duplicate, again.receipt.duplicate) == (False, True)
        (elsewhere,) = await ingest(stub, [block_message(GOOD)])
        assert elsewhere.receipt.duplicate
        assert (await windows(stub))[0].considered_count == 1000

    async def test_bad_blocks_are_answered_in_order_and_the_stream_goes_on(
        self, stub: Client
    ) -> None:
        nan = block_message(GOOD)
        nan.values.data = np.full(len(GOOD.values), np.nan, dtype=np.float32).tobytes()
        short = block_message(GOOD)
        short.values.data = short.values.data[:-4]
        flat = block_message(GOOD)
        flat.predictions.shape.append(1)
        wrong_type = block_message(GOOD)
        wrong_type.example_indices.CopyFrom(tensor(GOOD.values))
        infinite = block_message(GOOD)
        infinite.predictions.data = np.full(1000, np.inf, dtype=np.float32).tobytes()
        nameless = block_message(GOOD)
        nameless.block_id = ""
        timeless = block_message(GOOD)
        timeless.event_time.seconds = 10**15
        bad: list[tuple[LfiBlock, str, list[str]]] = [
            (nan, "NOT_FINITE", ["block.values"]),
            (short, "MALFORMED_BLOCK", ["block.values.data"]),
            (flat, "MALFORMED_BLOCK", ["block.predictions.shape"]),
            (wrong_type, "MALFORMED_BLOCK", ["block.example_indices.data_type"]),
            (infinite, "NOT_FINITE", ["block.predictions"]),
            (nameless, "INVALID_REQUEST", ["block.block_id"]),
            (timeless, "INVALID_REQUEST", ["block.event_time"]),
        ]
        answers = await ingest(stub, [*(message for message, _, _ in bad), block_message(GOOD)])
        for (_, reason, fields), answer in zip(bad, answers[:-1], strict=True):
            seen = refusal(answer.error)
            assert seen == Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason, fields, None)
        assert answers[-1].receipt.window == NOON_NAME
        assert len(await windows(stub)) == 1

    async def test_blocks_that_do_not_belong_are_refused_and_counted(self, stub: Client) -> None:
        await ingest(stub, [block_message(GOOD)], checkpoint(digest=OTHER_DIGEST))
        seen_in_training = replace(GOOD, event_time=NOON - timedelta(days=10))
        other_digest = replace(GOOD, block_id="b2", digest=OTHER_DIGEST)
        other_method = replace(GOOD, block_id="b3", method=Method.RELATIVE)
        unregistered = replace(GOOD, block_id="b4", digest="ef" * 32)
        next_hour = replace(GOOD, block_id="b5", event_time=NOON + HOUR)
        late = replace(GOOD, block_id="b6", event_time=NOON + HOUR / 2)
        made = [GOOD, seen_in_training, other_digest, other_method, unregistered, next_hour, late]
        first, *middle, stored, last = await ingest(stub, map(block_message, made))
        assert [refusal(answer.error).reason for answer in (*middle, last)] == [
            "SEEN_IN_TRAINING",
            "CHECKPOINT_MISMATCH",
            "CHECKPOINT_MISMATCH",
            "CHECKPOINT_NOT_FOUND",
            "WINDOW_CLOSED",
        ]
        assert first.HasField("receipt")
        assert stored.HasField("receipt")
        (model,) = (await stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT)).models
        assert model.block_count == 2
        assert model.refused_block_count == 4
        assert model.checkpoint.digest == checkpoint().digest
        assert model.latest_event_time.ToDatetime() == (NOON + HOUR).replace(tzinfo=None)

    async def test_a_bad_checkpoint_ends_the_stream(self, stub: Client) -> None:
        call = stub.IngestLfi(timeout=TIMEOUT)
        # Nothing is written after it: gRPC's client loses the status of a stream that ends while
        # it writes.
        await call.write(pb.IngestLfiRequest())
        assert (await refused(call.read())).reason == "INVALID_REQUEST"
        await ingest(stub, [])
        changed = checkpoint(features=4)
        with pytest.raises(grpc.aio.AioRpcError, match="other content"):
            await ingest(stub, [], changed)


class TestRules:
    async def test_a_model_may_wait_longer_on_every_replica(self, valkey: ValkeyServer) -> None:
        async with AsyncExitStack() as stack:
            first, second = [await stack.enter_async_context(served(valkey.url)) for _ in range(2)]
            await ingest(first, [block_message(GOOD)])
            request = pb.SetModelRulesRequest(model=NAME)
            request.rules.allowed_lateness.FromTimedelta(HOUR)
            assert (await first.SetModelRules(request, timeout=TIMEOUT)).rules == request.rules
            next_hour = replace(GOOD, block_id="b2", event_time=NOON + HOUR)
            late = replace(GOOD, block_id="b3", event_time=NOON + HOUR / 2)
            last = replace(GOOD, block_id="b4", event_time=NOON + 2 * HOUR)
            too_late = replace(GOOD, block_id="b5")
            *stored, refused_block = await ingest(
                second, map(block_message, (next_hour, late, last, too_late))
            )
            assert all(answer.HasField("receipt") for answer in stored)
            assert refusal(refused_block.error).reason == "WINDOW_CLOSED"
            (model,) = (await second.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT)).models
            assert model.rules == request.rules
            assert model.refused_block_count == 1

    async def test_what_makes_no_sense_is_refused(self, stub: Client) -> None:
        async def ask(lateness: timedelta, retention: timedelta) -> Refusal:
            request = pb.SetModelRulesRequest(model=NAME)
            request.rules.allowed_lateness.FromTimedelta(lateness)
            request.rules.retention.FromTimedelta(retention)
            return await refused(stub.SetModelRules(request, timeout=TIMEOUT))

        assert (await ask(HOUR, 24 * HOUR)).reason == "MODEL_NOT_FOUND"
        assert (await ask(-HOUR, 24 * HOUR)).fields == ["rules.allowed_lateness"]
        assert (await ask(HOUR, HOUR)).fields == ["rules.retention"]
        together = await ask(48 * HOUR, 24 * HOUR)
        assert (together.reason, together.fields) == ("INVALID_REQUEST", ["rules.allowed_lateness"])


class TestOutcomes:
    async def test_a_report_that_comes_twice_counts_once(self, stub: Client) -> None:
        await ingest(stub, [block_message(GOOD)])
        first, again = [await report(stub, NOON) for _ in range(2)]
        assert (first.duplicate, again.duplicate) == (False, True)
        assert again.window.calibration.observed == 1000
        assert again.window.calibration.ratio == 1.0
        assert not again.window.calibration.anomalous
        assert again.window.state == WindowState.WINDOW_STATE_CLOSED

    async def test_bad_reports_are_refused(self, stub: Client) -> None:
        assert (await refused(report(stub, NOON))).reason == "MODEL_NOT_FOUND"
        await ingest(stub, [block_message(GOOD)])
        spanning = await refused(report(stub, NOON, length=2 * HOUR))
        assert (spanning.reason, spanning.fields) == ("INVALID_REQUEST", ["end_time"])
        ahead = await refused(report(stub, NOON.replace(year=2100)))
        assert (ahead.reason, ahead.fields) == ("INVALID_REQUEST", ["end_time"])
        assert (await refused(report(stub, NOON, observed=2**63))).fields == ["observed"]


class TestShifts:
    async def test_an_anomaly_is_told_once_by_two_replicas(self, valkey: ValkeyServer) -> None:
        async with AsyncExitStack() as stack:
            replicas = [await stack.enter_async_context(served(valkey.url)) for _ in range(2)]
            for number, start in enumerate(hours(6)):
                await store_hour(replicas[number % 2], start, number)
            await store_hour(replicas[0], NOON, 50, observed=600, scales=BROKEN)
            told = [await watched(replica, 7) for replica in replicas]
            await asyncio.sleep(0.5)
            with valkey.connect() as client:
                assert client.xlen(f"as:{{{NAME.removeprefix('models/')}}}:shifts") == 7
        assert told[0] == told[1]
        assert len({event.window.name for event in told[0]}) == 7
        *healthy, anomaly = told[0]
        assert not any(event.HasField("comparison") for event in healthy)
        comparison = anomaly.comparison
        assert anomaly.model == NAME
        assert anomaly.window.calibration.anomalous
        assert comparison.verdict == Verdict.VERDICT_FEATURE_CORRUPTION
        assert [shift.feature for shift in comparison.shifts if shift.significant] == ["f2"]
        top = comparison.shifts[0]
        assert (top.feature, top.rank, top.control_rank, top.anomaly_rank) == ("f2", 1, 3, 1)
        assert top.lower < top.shift < top.upper
        assert comparison.control.name == f"{NAME}/windows/20261120T110000Z"
        assert "is not there" in comparison.control_note
        selection = ControlSelection.CONTROL_SELECTION_SAME_HOUR_PREVIOUS_DAY
        assert comparison.control_selection == selection

    async def test_watching_resumes_after_a_cursor_on_another_replica(
        self, valkey: ValkeyServer
    ) -> None:
        async with served(valkey.url) as stub:
            for number, start in enumerate(hours(3)):
                await store_hour(stub, start, number)
            first, *rest = await watched(stub, 3)
        async with served(valkey.url) as restarted:
            assert await watched(restarted, 2, first.cursor) == rest

    async def test_watching_all_models_hears_of_new_ones(self, stub: Client) -> None:
        call = stub.WatchShifts(pb.WatchShiftsRequest(), timeout=TIMEOUT)
        reading = asyncio.ensure_future(call.read())
        await asyncio.sleep(0.05)
        await store_hour(stub, NOON, 1)
        response = await reading
        assert isinstance(response, pb.WatchShiftsResponse)
        assert response.event.window.name == NOON_NAME
        call.cancel()

    async def test_a_strange_cursor_is_refused(self, stub: Client) -> None:
        request = pb.WatchShiftsRequest(model=NAME, cursors={NAME: "yesterday"})
        seen = await refused(stub.WatchShifts(request, timeout=TIMEOUT).read())
        assert (seen.reason, seen.fields) == ("INVALID_REQUEST", [f"cursors[{NAME}]"])

    async def test_watchers_are_sent_elsewhere_when_the_server_stops(
        self, valkey: ValkeyServer
    ) -> None:
        async with AsyncExitStack() as stack:
            address = await stack.enter_async_context(serving(valkey.url))
            async with calling(address) as stub:
                await store_hour(stub, NOON, 1)
                call = stub.WatchShifts(pb.WatchShiftsRequest(), timeout=TIMEOUT)
                await call.read()
                waiting = asyncio.ensure_future(refused(call.read()))
                await stack.aclose()
                seen = await waiting
        assert (seen.code, seen.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "DEPENDENCY_UNAVAILABLE",
        )
        assert seen.retry_seconds == 1.0


class TestReading:
    async def test_a_comparison_can_be_asked_for(self, stub: Client) -> None:
        for number, start in enumerate(hours(2)):
            await store_hour(stub, start, number)
        await ingest(stub, hour_of_blocks(NOON, 9, BROKEN))
        request = pb.CompareWindowsRequest(anomaly=NOON_NAME, top_k=1)
        live = (await stub.CompareWindows(request, timeout=TIMEOUT)).comparison
        assert live.anomaly.state == WindowState.WINDOW_STATE_OPEN
        assert [shift.feature for shift in live.shifts] == ["f2"]
        request.control_window = f"{NAME}/windows/20261120T100000Z"
        explicit = (await stub.CompareWindows(request, timeout=TIMEOUT)).comparison
        assert explicit.control.name == request.control_window
        request.control_window = NOON_NAME
        itself = await refused(stub.CompareWindows(request, timeout=TIMEOUT))
        assert (itself.reason, itself.fields) == ("NO_CONTROL", ["control_window"])

    async def test_the_sample_holds_what_was_sent(self, stub: Client) -> None:
        request = pb.GetWindowSampleRequest(window=NOON_NAME)
        seen = await refused(stub.GetWindowSample(request, timeout=TIMEOUT))
        assert seen.reason == "WINDOW_NOT_FOUND"
        await ingest(stub, [block_message(GOOD)])
        seen = await refused(stub.GetWindowSample(request, timeout=TIMEOUT))
        assert seen.reason == "SAMPLE_NOT_RETAINED"
        await ingest(stub, [block_message(replace(GOOD, block_id="b2", arrow_stream=b"arrow"))])
        answer = await stub.GetWindowSample(request, timeout=TIMEOUT)
        assert answer.checkpoint_digest == GOOD.digest
        assert list(answer.arrow_streams) == [b"arrow"]
        request.population = PopulationMessage.POPULATION_DISPLAYED
        seen = await refused(stub.GetWindowSample(request, timeout=TIMEOUT))
        assert seen.reason == "SAMPLE_NOT_RETAINED"

    async def test_a_sample_that_is_off_is_not_kept(self, valkey: ValkeyServer) -> None:
        async with served(valkey.url, sample_examples=0) as stub:
            await ingest(stub, [block_message(replace(GOOD, arrow_stream=b"arrow"))])
            request = pb.GetWindowSampleRequest(window=NOON_NAME)
            seen = await refused(stub.GetWindowSample(request, timeout=TIMEOUT))
            assert seen.reason == "SAMPLE_NOT_RETAINED"

    async def test_lists_are_paged(self, stub: Client) -> None:
        for number, start in enumerate(hours(3)):
            await store_hour(stub, start, number)
        request = pb.ListWindowsRequest(parent=NAME, page_size=2)
        first = await stub.ListWindows(request, timeout=TIMEOUT)
        request.page_token = first.next_page_token
        second = await stub.ListWindows(request, timeout=TIMEOUT)
        names = [window.name[-16:] for window in (*first.windows, *second.windows)]
        assert names == ["20261120T110000Z", "20261120T100000Z", "20261120T090000Z"]
        assert second.next_page_token == ""
        request.page_token = "?"
        assert (await refused(stub.ListWindows(request, timeout=TIMEOUT))).fields == ["page_token"]

    async def test_a_closed_windows_importances_are_its_live_ones(self, stub: Client) -> None:
        await ingest(stub, hour_of_blocks(NOON, 1))
        request = pb.GetGfiRequest(window=NOON_NAME)
        live = await stub.GetGfi(request, timeout=TIMEOUT)
        await report(stub, NOON)
        await watched(stub, 1)
        kept = await stub.GetGfi(request, timeout=TIMEOUT)
        assert list(kept.importances) == list(live.importances)
        assert kept.window.state == WindowState.WINDOW_STATE_CLOSED
