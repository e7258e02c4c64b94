"""What the audit asks of attribution, over real gRPC."""

from pathlib import Path

import grpc
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aftershock.v1 import attribution_service_pb2 as pb
from clients.drill.scenes.networks import Convolutional
from tests.checkpoints import SCHEMA, Manifest, arrow_stream, save_checkpoint, small_model
from tests.images import classes_checkpoint, image_checkpoint, image_examples
from tests.unit.services.attribution.serving import (
    EXAMPLES,
    NAME,
    ServedAttribution,
    answers,
    failure,
    field_of,
    options,
    reason,
)

STREAM = arrow_stream(EXAMPLES)


async def test_ids_are_inserted_into_lists(tmp_path: Path) -> None:
    request = pb.TestInsertionRequest(
        checkpoint=NAME, feature="genres", ids=[3, 5], arrow_streams=[STREAM, STREAM]
    )
    async with ServedAttribution(tmp_path, None) as stub:
        answer = await stub.TestInsertion(request, timeout=30)
        for ids, feature, wanted, field in (
            ([3, 4000], "genres", "ID_OUT_OF_RANGE", "ids[1]"),
            ([3], "price", "WRONG_DATA_TYPE", "feature"),
            ([3], "none", "UNKNOWN_FEATURE", "feature"),
        ):
            bad = pb.TestInsertionRequest(
                checkpoint=NAME, feature=feature, ids=ids, arrow_streams=[STREAM]
            )
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.TestInsertion(bad, timeout=30)
            status = failure(raised.value)
            assert (reason(status), field_of(status)) == (wanted, field)
        request.ids.append(4000)
        request.skip_unknown_ids = True
        assert (await stub.TestInsertion(request, timeout=30)) == answer
    assert [outcome.id for outcome in answer.outcomes] == [3, 5]
    for outcome in answer.outcomes:
        assert outcome.example_count + outcome.skipped_count == 2 * EXAMPLES.count
        assert outcome.example_count


async def test_saliency_maps_come_as_a_tensor(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = image_checkpoint(tmp_path / "scenes", Convolutional(4), target=1)
    pixels = np.random.default_rng(0).random((3, 3, 27, 27), dtype=np.float32)
    request = pb.ComputeSaliencyRequest(
        checkpoint="models/scenes",
        layer="network.features.5",
        arrow_stream=arrow_stream(image_examples(pixels)),
        height=27,
        width=27,
    )
    async with ServedAttribution(tmp_path, None) as stub:
        await stub.LoadCheckpoint(pb.LoadCheckpointRequest(folder=str(folder)), timeout=60)
        maps = (await stub.ComputeSaliency(request, timeout=30)).maps
        request.layer = "network.features.6"
        with pytest.raises(grpc.aio.AioRpcError, match=r"network\.features\.0") as raised:
            await stub.ComputeSaliency(request, timeout=30)
    assert (reason(failure(raised.value)), field_of(failure(raised.value))) == (
        "UNKNOWN_LAYER",
        "layer",
    )
    assert list(maps.shape) == [3, 27, 27]
    read = np.frombuffer(maps.data, "<f4")
    assert read.min() >= 0
    assert read.max() > 0


async def test_checkpoints_with_classes_are_looked_into_and_not_ablated(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classes = ("car", "tire", "tree")
    folder = classes_checkpoint(tmp_path / "scenes", Convolutional(3), classes)
    pixels = np.random.default_rng(0).random((3, 3, 27, 27), dtype=np.float32)
    stream = arrow_stream(image_examples(pixels))
    request = pb.ComputeSaliencyRequest(
        checkpoint="models/scenes", layer="network.features.5", arrow_stream=stream
    )
    scenes = "models/scenes/checkpoints/1"
    async with ServedAttribution(tmp_path, None) as stub:
        load = pb.LoadCheckpointRequest(folder=str(folder))
        loaded = (await stub.LoadCheckpoint(load, timeout=60)).checkpoint
        assert list(loaded.classes) == list(classes)
        with pytest.raises(grpc.aio.AioRpcError, match="car, tire, tree") as raised:
            await stub.ComputeSaliency(request, timeout=30)
        status = failure(raised.value)
        assert (reason(status), field_of(status)) == ("UNKNOWN_CLASS", "target_class")
        request.target_class = "tire"
        maps = (await stub.ComputeSaliency(request, timeout=30)).maps
        assert list(maps.shape) == [3, 9, 9]
        for field, ask in (
            ("checkpoint", stub.PreviewMitigation(_preview(scenes, stream), timeout=30)),
            ("replacement", stub.PreviewMitigation(_replacement(scenes), timeout=30)),
            ("checkpoint", stub.TestGroup(_group(scenes, stream), timeout=30)),
            ("name", stub.ExplainCheckpoint(pb.ExplainCheckpointRequest(name=scenes), timeout=30)),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match="for each of 3 classes") as raised:
                await ask
            status = failure(raised.value)
            assert (reason(status), field_of(status)) == ("SEVERAL_CLASSES", field)
        with pytest.raises(grpc.aio.AioRpcError, match="export the logit of the class") as raised:
            await answers(stub, [options(checkpoint=scenes)])
        assert field_of(failure(raised.value)) == "options.checkpoint"


class Three(nn.Module):
    """Tells three classes apart by one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_model("dots")

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logits [N, 3]."""
        logits = self.inner(*inputs)
        return torch.stack([logits, -logits, 0.1 - 0 * logits], dim=1)


async def test_ids_inserted_before_a_checkpoint_with_classes_are_told_by_a_class(
    tmp_path: Path,
) -> None:
    classes = ("click", "none", "hide")
    manifest = Manifest(model="three", changes={"classes": list(classes)})
    folder = save_checkpoint(tmp_path / "three", Three(), SCHEMA, manifest)
    request = pb.TestInsertionRequest(feature="genres", ids=[3, 5], arrow_streams=[STREAM])
    async with ServedAttribution(tmp_path, None) as stub:
        await stub.LoadCheckpoint(pb.LoadCheckpointRequest(folder=str(folder)), timeout=60)
        request.checkpoint = "models/three"
        several = (await stub.TestInsertion(request, timeout=30)).outcomes
        request.checkpoint = NAME
        one = (await stub.TestInsertion(request, timeout=30)).outcomes
    for told, alone in zip(several, one, strict=True):
        assert told.to_class in classes
        assert told.example_count == alone.example_count > told.flipped_up
        assert 0 < told.mean_prediction < 1
        assert not alone.to_class


def _preview(checkpoint: str, stream: bytes) -> pb.PreviewMitigationRequest:
    return pb.PreviewMitigationRequest(
        checkpoint=checkpoint, features=["pixels"], arrow_streams=[stream]
    )


def _replacement(checkpoint: str) -> pb.PreviewMitigationRequest:
    return pb.PreviewMitigationRequest(
        checkpoint=NAME, replacement=checkpoint, arrow_streams=[STREAM]
    )


def _group(checkpoint: str, stream: bytes) -> pb.TestGroupRequest:
    window = pb.WindowExamples(arrow_streams=[stream])
    return pb.TestGroupRequest(
        checkpoint=checkpoint, features=["pixels", "more"], windows=[window, window]
    )
