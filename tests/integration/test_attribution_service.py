"""Previews and checkpoints over real gRPC."""

from collections.abc import AsyncIterator
from datetime import UTC
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from aftershock.v1 import attribution_service_pb2 as pb
from tests.checkpoints import (
    SCHEMA,
    TRAINED_UNTIL,
    Manifest,
    arrow_stream,
    random_examples,
    small_checkpoint,
)
from tests.unit.services.attribution.serving import (
    EXAMPLES,
    NAME,
    ServedAttribution,
    Stub,
    failure,
    field_of,
    reason,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    small_checkpoint(folder / "sum", "sum", Manifest(version="2"))
    return folder


@pytest.fixture
async def stub(root: Path) -> AsyncIterator[Stub]:
    """A served service with one checkpoint loaded and another within reach."""
    async with ServedAttribution(root, None) as stub:
        yield stub


async def test_a_mitigation_is_previewed(stub: Stub) -> None:
    request = pb.PreviewMitigationRequest(
        checkpoint="models/ads_ctr",
        features=["user_embedding", "hour"],
        arrow_streams=[arrow_stream(EXAMPLES), arrow_stream(random_examples(count=5))],
    )
    response = await stub.PreviewMitigation(request, timeout=10)
    assert response.example_count == 55
    assert 0 < response.mitigated_mean_prediction < 1
    assert response.mitigated_mean_prediction != response.mean_prediction
    assert response.ratio_standard_error > 0
    assert len(response.checkpoint_digest) == 64


async def test_masked_ids_are_previewed(stub: Stub) -> None:
    ids = [int(each) for each in np.unique(EXAMPLES.arrays["genres"]) if each]
    request = pb.PreviewMitigationRequest(
        checkpoint=NAME,
        masks=[pb.MaskedIds(feature="genres", ids=ids)],
        arrow_streams=[arrow_stream(EXAMPLES)],
    )
    masked = await stub.PreviewMitigation(request, timeout=10)
    assert masked.mitigated_mean_prediction != masked.mean_prediction
    request.ClearField("masks")
    request.features.append("genres")
    assert await stub.PreviewMitigation(request, timeout=10) == masked


async def test_another_checkpoint_is_previewed(stub: Stub, root: Path) -> None:
    load = pb.LoadCheckpointRequest(folder=str(root / "sum"))
    other = (await stub.LoadCheckpoint(load, timeout=30)).checkpoint
    streams = [arrow_stream(EXAMPLES)]
    request = pb.PreviewMitigationRequest(
        checkpoint=NAME, replacement=other.name, arrow_streams=streams
    )
    there = await stub.PreviewMitigation(request, timeout=10)
    request.checkpoint, request.replacement = request.replacement, request.checkpoint
    back = await stub.PreviewMitigation(request, timeout=10)
    assert there.mean_prediction == back.mitigated_mean_prediction
    assert there.mitigated_mean_prediction == back.mean_prediction != there.mean_prediction
    assert back.checkpoint_digest == other.digest != there.checkpoint_digest


@pytest.mark.parametrize(
    ("changes", "wanted", "place"),
    [
        ({"features": ["agee"]}, "UNKNOWN_FEATURE", "features[0]"),
        ({"features": []}, "INVALID_REQUEST", ""),
        ({"replacement": NAME}, "INVALID_REQUEST", ""),
        ({"features": [], "replacement": f"{NAME}9"}, "CHECKPOINT_NOT_FOUND", ""),
        ({"masks": [pb.MaskedIds(feature="genres", ids=[1])]}, "INVALID_REQUEST", ""),
        (
            {"features": [], "masks": [pb.MaskedIds(feature="hour", ids=[1])]},
            "WRONG_DATA_TYPE",
            "masks[0].feature",
        ),
        (
            {"features": [], "masks": [pb.MaskedIds(feature="genre", ids=[1])]},
            "UNKNOWN_FEATURE",
            "masks[0].feature",
        ),
        ({"arrow_streams": [b"x"]}, "MALFORMED_ARROW", "arrow_streams[0]"),
        ({"checkpoint": "models/other"}, "CHECKPOINT_NOT_FOUND", ""),
    ],
)
async def test_a_preview_that_cannot_be(
    stub: Stub, changes: dict[str, Any], wanted: str, place: str
) -> None:
    sound = {
        "checkpoint": NAME,
        "features": ["hour"],
        "arrow_streams": [arrow_stream(EXAMPLES)],
    }
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.PreviewMitigation(pb.PreviewMitigationRequest(**(sound | changes)), timeout=10)
    assert reason(failure(caught.value)) == wanted
    assert field_of(failure(caught.value)) == place


async def test_a_preview_needs_a_deadline(stub: Stub) -> None:
    request = pb.PreviewMitigationRequest(
        checkpoint=NAME, features=["hour"], arrow_streams=[arrow_stream(EXAMPLES)]
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.PreviewMitigation(request)
    assert reason(failure(caught.value)) == "DEADLINE_REQUIRED"


async def test_checkpoints_come_and_go(stub: Stub, root: Path) -> None:
    load = pb.LoadCheckpointRequest(folder=str(root / "sum"))
    second = (await stub.LoadCheckpoint(load, timeout=30)).checkpoint
    assert (await stub.LoadCheckpoint(load, timeout=30)).checkpoint == second
    assert [f.name for f in second.features] == [f.name for f in SCHEMA.features]
    assert second.trained_until.ToDatetime(tzinfo=UTC) == TRAINED_UNTIL
    first = await stub.ListCheckpoints(pb.ListCheckpointsRequest(page_size=1), timeout=5)
    assert [c.name for c in first.checkpoints] == [NAME]
    token = first.next_page_token
    rest = await stub.ListCheckpoints(pb.ListCheckpointsRequest(page_token=token), timeout=5)
    assert [c.name for c in rest.checkpoints] == [second.name]
    assert rest.next_page_token == ""
    await stub.UnloadCheckpoint(pb.UnloadCheckpointRequest(name=second.name), timeout=5)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetCheckpoint(pb.GetCheckpointRequest(name=second.name), timeout=5)
    assert reason(failure(caught.value)) == "CHECKPOINT_NOT_FOUND"


async def test_a_page_token_of_ones_own_is_refused(stub: Stub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListCheckpoints(pb.ListCheckpointsRequest(page_token="é"), timeout=5)
    assert field_of(failure(caught.value)) == "page_token"


async def test_a_checkpoint_that_is_refused_says_why(stub: Stub, tmp_path: Path) -> None:
    folder = str(small_checkpoint(tmp_path / "elsewhere"))
    with pytest.raises(grpc.aio.AioRpcError, match="outside") as caught:
        await stub.LoadCheckpoint(pb.LoadCheckpointRequest(folder=folder), timeout=30)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason(failure(caught.value)) == "CHECKPOINT_REFUSED"
    assert field_of(failure(caught.value)) == "folder"


async def test_a_checkpoint_is_explained(stub: Stub) -> None:
    answer = await stub.ExplainCheckpoint(
        pb.ExplainCheckpointRequest(name="models/ads_ctr"), timeout=10
    )
    count = len(SCHEMA.features)
    assert answer.checkpoint.name == NAME
    assert answer.feature_count == count
    (route,) = answer.routes
    assert (route.feature_count, route.rerun_step_count) == (count, 1)
    assert [(f.step, f.reason) for f in route.fallbacks] == [("model", "its steps are not known")]
    half, whole = answer.predicted_costs
    assert (half.coverage, half.operations) == (0.5, 1 + count / 2)
    assert (whole.operations, whole.plain_operations) == (1 + count, count)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ExplainCheckpoint(pb.ExplainCheckpointRequest(name="models/none"), timeout=10)
    assert reason(failure(caught.value)) == "CHECKPOINT_NOT_FOUND"
