"""What a group of features means to a checkpoint, over real gRPC."""

from pathlib import Path

import grpc
import numpy as np
import pytest

from aftershock.v1 import attribution_service_pb2 as pb
from tests.checkpoints import SCHEMA, arrow_stream, random_examples
from tests.unit.services.attribution.serving import (
    NAME,
    ServedAttribution,
    failure,
    field_of,
    reason,
)

GROUP = ("hour", "genres", "user_embedding")
HEALTHY = [random_examples(count=300, seed=seed) for seed in (1, 2, 3)]
BROKEN = random_examples(count=300, seed=4).ablated(
    [SCHEMA.features[SCHEMA.index[name]] for name in GROUP]
)


def _request(*windows: list[bytes]) -> pb.TestGroupRequest:
    return pb.TestGroupRequest(
        checkpoint=NAME,
        features=GROUP,
        windows=[pb.WindowExamples(arrow_streams=streams) for streams in windows],
    )


async def test_a_group_that_went_missing_is_seen_whole(tmp_path: Path) -> None:
    healthy = [[arrow_stream(examples)] for examples in HEALTHY]
    async with ServedAttribution(tmp_path, None) as stub:
        quiet = await stub.TestGroup(_request(*healthy), timeout=60)
        found = await stub.TestGroup(_request(*healthy, [arrow_stream(BROKEN)]), timeout=60)
    assert [member.feature for member in found.members] == list(GROUP)
    assert [window.example_count for window in found.joint.windows] == [300] * 4
    assert found.joint.windows[-1].coverage == 0
    assert found.joint.shift == pytest.approx(-found.joint.windows[-2].gfi)
    assert found.joint.z > 4
    assert quiet.joint.z < 2
    assert found.joint.z == pytest.approx(abs(found.joint.shift) / found.joint.noise)
    assert found.checkpoint_digest


async def test_batches_of_a_window_are_one(tmp_path: Path) -> None:
    whole, last = arrow_stream(HEALTHY[0]), [arrow_stream(HEALTHY[1])]
    parts = [arrow_stream(HEALTHY[0].take(np.arange(n, n + 100))) for n in (0, 100, 200)]
    async with ServedAttribution(tmp_path, None) as stub:
        at_once = await stub.TestGroup(_request([whole], last), timeout=60)
        assert await stub.TestGroup(_request(parts, last), timeout=60) == at_once


async def test_what_cannot_be_is_refused_with_its_place(tmp_path: Path) -> None:
    window = [arrow_stream(HEALTHY[0])]
    unknown, single, alone = _request(window, window), _request(window), _request(window, window)
    unknown.features[1] = "agee"
    del alone.features[1:]
    garbled = _request(window, [*window, b"no stream"])
    async with ServedAttribution(tmp_path, None) as stub:
        for request, wanted, field in (
            (unknown, "UNKNOWN_FEATURE", "features[1]"),
            (single, "INVALID_REQUEST", "windows"),
            (alone, "INVALID_REQUEST", "features"),
            (garbled, "MALFORMED_ARROW", "windows[1].arrow_streams[1]"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.TestGroup(request, timeout=60)
            assert (reason(failure(raised.value)), field_of(failure(raised.value))) == (
                wanted,
                field,
            )
