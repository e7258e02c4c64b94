"""Audits that ask attribution about a checkpoint, and lineage about what lies downstream."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from aftershock.v1 import audit_pb2
from aftershock.v1 import lineage_service_pb2 as lineage
from aftershock.v1 import lineage_service_pb2_grpc as lineage_grpc
from aftershock.v1.attribution_service_pb2 import LoadCheckpointRequest
from clients.drill.scenes.networks import Convolutional
from services.audit.adapters.grpc_checkpoint_tests import GrpcCheckpointTests
from services.audit.adapters.grpc_lineage import GrpcLineage
from services.runbook.adapters.grpc_finding_messages import end_of, finding_of
from tests.audits import ServedAudits, finished, request_of
from tests.checkpoints import arrow_table
from tests.images import classes_checkpoint, image_checkpoint, image_examples
from tests.snapshots import write_clicks, write_rows
from tests.unit.services.attribution.serving import EXAMPLES, ServedAttribution, failure, field_of

PLANTED = 20
NODE = "dataset:ads:clicks"
_PATIENCE = 60.0


class Downstream(lineage_grpc.LineageServiceServicer):
    """Three models lie downstream of everything; events are kept by their ids."""

    def __init__(self) -> None:
        self.events: dict[str, lineage.RecordEventRequest] = {}

    def GetBlastRadius(self, request: Any, context: Any) -> lineage.GetBlastRadiusResponse:  # noqa: N802
        assert list(request.nodes) == [NODE]
        return lineage.GetBlastRadiusResponse(model_count=3)

    def RecordEvent(self, request: Any, context: Any) -> lineage.RecordEventResponse:  # noqa: N802
        self.events[request.event.event_id] = request
        return lineage.RecordEventResponse()


@contextmanager
def served(downstream: Downstream) -> Iterator[str]:
    """Serve the lineage, and yield its address."""
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        lineage_grpc.add_LineageServiceServicer_to_server(downstream, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()


async def test_severity_is_exposure_times_evidence_times_reach(tmp_path: Path) -> None:
    past = write_clicks(tmp_path / "past.parquet", 6000, seed=1)
    now = write_clicks(tmp_path / "now.parquet", 6000, seed=2, planted=PLANTED - 1)
    pq.write_table(arrow_table(EXAMPLES), tmp_path / "examples.parquet")
    before = audit_pb2.LabelRowsFile(file=str(past), outcome_column="clicked")
    request = request_of(
        now,
        outcome="clicked",
        concentration=audit_pb2.ConcentrationParameters(past=[before]),
        insertion=audit_pb2.InsertionParameters(
            checkpoint="models/ads_ctr",
            feature="watched",
            examples_file=str(tmp_path / "examples.parquet"),
            label_count=5,
        ),
        lineage_node=NODE,
    )
    downstream = Downstream()  # type: ignore[abstract]
    attribution = ServedAttribution(tmp_path, None)
    with served(downstream) as address:
        async with (
            attribution,
            grpc.aio.insecure_channel(attribution.address) as channel,
            grpc.aio.insecure_channel(address) as lineage_channel,
            ServedAudits(
                tmp_path,
                checkpoints=GrpcCheckpointTests(channel, (), _PATIENCE),
                lineage=GrpcLineage(lineage_channel, ()),
            ) as stub,
        ):
            found = await finished(stub, request)
            again = await finished(stub, request)
    assert found == again
    report = found.report
    first = report.findings[0]
    tested = [finding for finding in report.findings if finding.HasField("insertion")]
    assert (first.label, len(tested), report.model_count) == (str(PLANTED), 5, 3)
    assert first.insertion.example_count + first.insertion.skipped_count == EXAMPLES.count
    lean, flips = first.concentration, first.insertion
    flipped = max(flips.flipped_up, flips.flipped_down) / flips.example_count
    evidence = 1 - (1 - (lean.share - lean.expected_share)) * (1 - flipped)
    assert np.isclose(first.evidence, evidence)
    assert np.isclose(first.severity, first.exposure * evidence * 3)
    event = downstream.events[f"{found.audit.name}/{PLANTED}"].event
    assert event.node == NODE
    assert f"label '{PLANTED}' could hijack models" in event.summary
    assert "of its rows have outcome 'True'" in event.summary
    told = finding_of(event)
    assert (told.audit, told.node, told.label, told.feature) == (
        found.audit.name,
        NODE,
        str(PLANTED),
        "watched",
    )
    assert (told.severity, told.evidence, told.model_count) == (first.severity, first.evidence, 3)
    assert told.lean is not None
    assert told.flips is not None
    assert (told.lean.outcome, told.lean.z, told.lean.share) == ("True", lean.z, lean.share)
    assert told.flips.share == flipped
    ended = end_of(downstream.events.pop(f"{found.audit.name}:end").event)
    assert len(downstream.events) == sum(finding.evidence > 0 for finding in report.findings)
    looked_at = [each for each in report.findings if each.HasField("evidence")]
    assert {each.label for each in ended.cleared} == {
        each.label for each in looked_at if not each.evidence
    }
    assert all(each.lean for each in ended.cleared)
    assert (ended.audit, ended.node, ended.time) == (told.audit, NODE, told.time)


async def test_a_checkpoint_is_asked_where_it_looks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for name in ("poisoned", "clean"):
        image_checkpoint(tmp_path / name, Convolutional(4), target=1, model=name)
    pixels = np.random.default_rng(0).random((6, 3, 27, 27), dtype=np.float32)
    mask = np.zeros((27, 27), np.bool_)
    mask[:9, :9] = True
    table = arrow_table(image_examples(pixels))
    masks = pa.array([mask.ravel().tolist()] * 6)
    pq.write_table(table.append_column("mask", masks), tmp_path / "images.parquet")
    saliency = audit_pb2.SaliencyParameters(
        checkpoint="models/poisoned",
        clean_checkpoint="models/clean",
        layer="network.features.5",
        examples_file=str(tmp_path / "images.parquet"),
        mask_column="mask",
        height=27,
        width=27,
        after_activation=True,
    )
    rows = write_rows(tmp_path / "rows.parquet", [["a", "b"]])
    attribution = ServedAttribution(tmp_path, None)
    async with (
        attribution as asked,
        grpc.aio.insecure_channel(attribution.address) as channel,
        ServedAudits(tmp_path, checkpoints=GrpcCheckpointTests(channel, (), _PATIENCE)) as stub,
    ):
        for name in ("poisoned", "clean"):
            load = LoadCheckpointRequest(folder=str(tmp_path / name))
            await asked.LoadCheckpoint(load, timeout=60)
        found = await finished(stub, request_of(rows, saliency=saliency))
    report = found.report.saliency
    assert report.example_count == 6
    assert report.figures != report.clean
    assert 0 <= report.figures.pointing <= report.figures.any_overlap <= 1
    overlay = report.overlays[0]
    assert np.frombuffer(overlay.map, "<f4").reshape(27, 27).max() > 0
    assert np.array_equal(np.frombuffer(overlay.mask, np.bool_).reshape(27, 27), mask)


async def test_without_partners_an_audit_says_what_it_lacks(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.parquet", [["1", "2"]] * 20)
    async with ServedAudits(tmp_path) as stub:
        alone = await finished(stub, request_of(rows, lineage_node=NODE))
    assert not alone.report.HasField("model_count")
    assert any("counts as one model" in note for note in alone.report.notes)


async def test_a_checkpoint_with_classes_is_asked_about_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classes = ("car", "tire", "tree")
    classes_checkpoint(tmp_path / "scenes", Convolutional(3), classes)
    pixels = np.random.default_rng(0).random((4, 3, 27, 27), dtype=np.float32)
    masks = pa.array([[True] * 27 * 27] * 4)
    images = arrow_table(image_examples(pixels)).append_column("mask", masks)
    pq.write_table(images, tmp_path / "images.parquet")
    saliency = audit_pb2.SaliencyParameters(
        checkpoint="models/scenes",
        layer="network.features.5",
        target_class="tire",
        examples_file=str(tmp_path / "images.parquet"),
        mask_column="mask",
        height=27,
        width=27,
    )
    rows = write_rows(tmp_path / "rows.parquet", [["a", "b"]])
    attribution = ServedAttribution(tmp_path, None)
    async with (
        attribution as asked,
        grpc.aio.insecure_channel(attribution.address) as channel,
        ServedAudits(tmp_path, checkpoints=GrpcCheckpointTests(channel, (), _PATIENCE)) as stub,
    ):
        load = LoadCheckpointRequest(folder=str(tmp_path / "scenes"))
        await asked.LoadCheckpoint(load, timeout=60)
        found = await finished(stub, request_of(rows, saliency=saliency))
        saliency.target_class = "house"
        with pytest.raises(grpc.aio.AioRpcError, match="car, tire, tree") as raised:
            await stub.StartAudit(request_of(rows, "house", saliency=saliency), timeout=60)
    assert found.report.saliency.example_count == 4
    assert field_of(failure(raised.value)) == "parameters.saliency.target_class"
