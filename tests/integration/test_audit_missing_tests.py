"""Checkpoints that cannot be tested: mistakes are told at once, the rest costs no report."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from aftershock.v1 import audit_pb2
from aftershock.v1.attribution_service_pb2 import LoadCheckpointRequest
from clients.drill.scenes.networks import Convolutional
from services.audit.adapters.grpc_checkpoint_tests import GrpcCheckpointTests
from services.audit.domain.errors import PartnerRefused, PartnerUnavailable
from services.audit.domain.parameters import InsertionParameters, SaliencyParameters
from services.audit.domain.report import Insertion
from tests.audits import ServedAudits, Stub, finished, request_of
from tests.checkpoints import arrow_table
from tests.images import image_checkpoint, image_examples
from tests.snapshots import write_clicks, write_rows
from tests.unit.services.attribution.serving import (
    EXAMPLES,
    ServedAttribution,
    failure,
    field_of,
    reason,
)

FLIPS = Insertion(10, 0, 5, 0, 0.1, 0.6, 2.0, 2.0)


def insertion(folder: Path, **changed: Any) -> audit_pb2.InsertionParameters:
    """Return a test that attribution can do, but for what is changed."""
    file = folder / "examples.parquet"
    pq.write_table(arrow_table(EXAMPLES), file)
    usual = audit_pb2.InsertionParameters(
        checkpoint="models/ads_ctr", feature="watched", examples_file=str(file)
    )
    usual.MergeFrom(audit_pb2.InsertionParameters(**changed))
    return usual


def saliency(folder: Path, **changed: Any) -> audit_pb2.SaliencyParameters:
    """Return a test that attribution can do, but for what is changed."""
    file = folder / "images.parquet"
    pixels = np.random.default_rng(0).random((2, 3, 27, 27), dtype=np.float32)
    masks = pa.array([[True] * 27 * 27] * 2)
    pq.write_table(arrow_table(image_examples(pixels)).append_column("mask", masks), file)
    usual = audit_pb2.SaliencyParameters(
        checkpoint="models/scenes",
        layer="network.features.5",
        examples_file=str(file),
        mask_column="mask",
        height=27,
        width=27,
    )
    usual.MergeFrom(audit_pb2.SaliencyParameters(**changed))
    return usual


@asynccontextmanager
async def with_attribution(folder: Path) -> AsyncIterator[Stub]:
    """Serve audits whose attribution has an image checkpoint too."""
    torch.manual_seed(0)
    image_checkpoint(folder / "scenes", Convolutional(4), target=1)
    attribution = ServedAttribution(folder, None)
    async with (
        attribution as asked,
        grpc.aio.insecure_channel(attribution.address) as channel,
        ServedAudits(folder, checkpoints=GrpcCheckpointTests(channel, (), 60.0)) as stub,
    ):
        await asked.LoadCheckpoint(LoadCheckpointRequest(folder=str(folder / "scenes")), timeout=60)
        yield stub


async def refusal(stub: Stub, request: Any) -> tuple[str, str, str]:
    """Return the reason, the field and the text that an audit is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.StartAudit(request, timeout=60)
    status = failure(raised.value)
    return reason(status), field_of(status), status.message


async def test_what_a_person_got_wrong_is_told_before_anything_starts(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.parquet", [["1", "2"]] * 20)
    pq.write_table(pa.table({"watched": [[1]]}), tmp_path / "other.parquet")
    insertions: list[tuple[dict[str, Any], str, str]] = [
        ({"checkpoint": "models/none"}, "checkpoint", "models/none"),
        ({"feature": "none"}, "feature", "no feature 'none'"),
        ({"feature": "user_age"}, "feature", "'user_age' is NUMERIC"),
        ({"examples_file": str(tmp_path / "other.parquet")}, "examples_file", "has no column"),
        ({"examples_file": str(tmp_path / "gone.parquet")}, "examples_file", "is not a file"),
    ]
    saliencies: list[tuple[dict[str, Any], str, str]] = [
        ({"clean_checkpoint": "models/none"}, "clean_checkpoint", "models/none"),
        ({"layer": "network.head"}, "layer", "it has network.features.0"),
        ({"mask_column": "none"}, "examples_file", "no column 'none'"),
        ({"height": 9}, "mask_column", "lists of 9 x 27 elements"),
        ({"height": 4096, "width": 4096, "example_count": 17}, "example_count", "17 maps of 4096"),
    ]
    async with with_attribution(tmp_path) as stub:
        for changed, field, says in insertions:
            request = request_of(rows, insertion=insertion(tmp_path, **changed))
            _, at, text = await refusal(stub, request)
            assert (at, says in text) == (f"parameters.insertion.{field}", True), text
        for changed, field, says in saliencies:
            request = request_of(rows, saliency=saliency(tmp_path, **changed))
            _, at, text = await refusal(stub, request)
            assert (at, says in text) == (f"parameters.saliency.{field}", True), text
        both = request_of(rows, insertion=insertion(tmp_path), saliency=saliency(tmp_path))
        found = await finished(stub, both)
    assert not found.report.missing_tests
    assert found.report.saliency.example_count == 2


async def test_without_attribution_its_tests_are_refused(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.parquet", [["1", "2"]] * 20)
    async with ServedAudits(tmp_path) as stub:
        told, at, text = await refusal(stub, request_of(rows, insertion=insertion(tmp_path)))
    assert (told, at) == ("DEPENDENCY_UNAVAILABLE", "parameters.insertion")
    assert "runs without attribution" in text


class Changing:
    """CheckpointTests that answer the first question of each kind, and then refuse."""

    def __init__(self) -> None:
        self._asked: set[str] = set()

    async def insertions(
        self,
        wanted: InsertionParameters,
        ids: Sequence[int],
        examples: bytes,
    ) -> Mapping[int, Insertion]:
        self._answer_once(wanted.checkpoint)
        return dict.fromkeys(ids, FLIPS)

    async def saliency(
        self,
        checkpoint: str,
        wanted: SaliencyParameters,
        examples: bytes,
    ) -> NDArray[np.float32]:
        self._answer_once(checkpoint)
        return np.ones((2, wanted.height, wanted.width), np.float32)

    def _answer_once(self, checkpoint: str) -> None:
        if checkpoint in self._asked:
            raise PartnerRefused(f"{checkpoint} was unloaded")
        self._asked.add(checkpoint)


class Away(Changing):
    """CheckpointTests of an attribution that cannot be reached, or breaks."""

    def _answer_once(self, checkpoint: str) -> None:
        if checkpoint == "models/broken":
            raise ZeroDivisionError
        raise PartnerUnavailable(f"{checkpoint}: nobody answers")


async def test_a_test_that_is_refused_later_costs_nothing_else(tmp_path: Path) -> None:
    past = write_clicks(tmp_path / "past.parquet", 3000, seed=1)
    now = write_clicks(tmp_path / "now.parquet", 3000, seed=2, planted=19)
    concentration = audit_pb2.ConcentrationParameters(
        past=[audit_pb2.LabelRowsFile(file=str(past), outcome_column="clicked")]
    )
    request = request_of(
        now,
        outcome="clicked",
        concentration=concentration,
        insertion=insertion(tmp_path),
        saliency=saliency(tmp_path, clean_checkpoint="models/clean"),
        thresholds=None,
    )
    async with ServedAudits(tmp_path, checkpoints=Changing()) as stub:
        found = await finished(stub, request)
    assert found.audit.state == audit_pb2.AUDIT_STATE_DONE
    assert found.audit.stage == "done, without the insertion test, saliency"
    assert [(missing.test, missing.checkpoint) for missing in found.report.missing_tests] == [
        (audit_pb2.CHECKPOINT_TEST_INSERTION, "models/ads_ctr"),
        (audit_pb2.CHECKPOINT_TEST_SALIENCY, "models/scenes"),
    ]
    assert "models/ads_ctr was unloaded" in found.report.missing_tests[0].reason
    first = found.report.findings[0]
    assert (first.label, first.concentration.significant) == ("20", True)
    assert first.severity > 0


async def test_the_checkpoint_s_maps_stay_where_only_the_clean_one_s_are_missing(
    tmp_path: Path,
) -> None:
    rows = write_rows(tmp_path / "rows.parquet", [["a", "b"]] * 20)
    wanted = saliency(tmp_path, clean_checkpoint="models/none")

    class NoClean(Changing):
        def _answer_once(self, checkpoint: str) -> None:
            if checkpoint == "models/none":
                raise PartnerUnavailable("it is away")

    async with ServedAudits(tmp_path, checkpoints=NoClean()) as stub:
        found = await finished(stub, request_of(rows, saliency=wanted))
    assert found.report.saliency.figures.any_overlap == 1.0
    assert not found.report.saliency.HasField("clean")
    (missing,) = found.report.missing_tests
    assert missing.test == audit_pb2.CHECKPOINT_TEST_CLEAN_SALIENCY


async def test_who_is_away_at_the_start_is_asked_again_at_the_end(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.parquet", [["1", "2"]] * 20)
    async with ServedAudits(tmp_path, checkpoints=Away()) as stub:
        away = await finished(stub, request_of(rows, insertion=insertion(tmp_path)))
    (missing,) = away.report.missing_tests
    assert missing.reason == "models/ads_ctr: nobody answers"
    assert away.report.row_count == 20


async def test_labels_that_are_no_ids_are_not_inserted(tmp_path: Path) -> None:
    odd = ["1", "0", "-3", "07", "٣", "99999999999999999999", "9" * 400, "x"]
    mixed = write_rows(tmp_path / "mixed.parquet", [odd] * 20)
    words = write_rows(tmp_path / "words.parquet", [["a", "b"]] * 20)
    async with with_attribution(tmp_path) as stub:
        some = await finished(stub, request_of(mixed, "mixed", insertion=insertion(tmp_path)))
        none = await finished(stub, request_of(words, "words", insertion=insertion(tmp_path)))
        wanted = insertion(tmp_path, feature="genres")
        large = write_rows(tmp_path / "large.parquet", [["1", "4000"]] * 20)
        part = await finished(stub, request_of(large, "large", insertion=wanted))
        beyond = write_rows(tmp_path / "beyond.parquet", [["4001", "4000"]] * 20)
        nothing = await finished(stub, request_of(beyond, "beyond", insertion=wanted))
    inserted = {found.label for found in some.report.findings if found.HasField("insertion")}
    assert inserted == {"1", "-3"}
    assert "labels must be the ids of feature 'watched'" in none.report.missing_tests[0].reason
    assert "1 labels are no ids that feature 'genres' can hold" in part.report.notes[-1]
    assert "can hold none of the findings' ids" in nothing.report.missing_tests[0].reason
