"""Serves aftershock.v1.AttributionService."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from aftershock.v1 import attribution_service_pb2 as pb
from aftershock.v1 import attribution_service_pb2_grpc as pb_grpc
from services.attribution.ablate_group import AblateGroup
from services.attribution.adapters.arrow_examples import decode
from services.attribution.adapters.grpc_lfi_stream import LfiStream, in_order
from services.attribution.adapters.grpc_messages import (
    checkpoint_message,
    explanation_message,
    insertion_message,
    method_of,
    move_message,
    tensor_message,
)
from services.attribution.adapters.grpc_race_stream import RaceStream, racing_of
from services.attribution.adapters.grpc_requests import (
    last_name,
    options_in,
    page_token,
    samples_in,
)
from services.attribution.adapters.inference import Inference
from services.attribution.domain.classes import check_one_output
from services.attribution.domain.errors import CheckpointRefused, NoAggregator
from services.attribution.domain.example import Examples
from services.attribution.domain.importance import Move
from services.attribution.domain.layer import Layer
from services.attribution.domain.racing import Race
from services.attribution.explain import Explain
from services.attribution.highlight import Highlight
from services.attribution.insert import Insert
from services.attribution.load import Load
from services.attribution.ports import Ablator, CheckpointRepository, LfiSink
from services.attribution.predict import Predict
from services.attribution.preview import MitigationPreview, Preview, PreviewMask, PreviewReplacement

_Context = grpc.aio.ServicerContext[Any, Any]
_DEFAULT_PAGE = 100


@dataclass(frozen=True)
class AttributionServicer(pb_grpc.AttributionServiceServicer):
    """Translates requests to use cases."""

    checkpoints: CheckpointRepository
    load: Load
    sink: LfiSink | None
    """Where blocks for the aggregator go. None: the service runs without one."""
    inference: Inference
    block_examples: int
    """Rows of one run of the model for previews."""
    batches_under_way: int
    """Of one stream."""
    examples_at_once: int
    """Ablated before it is looked whether the stream still lasts."""

    async def ComputeLfi(  # noqa: N802 - the contract's name
        self,
        request_iterator: AsyncIterator[pb.ComputeLfiRequest],
        context: _Context,  # noqa: ARG002 - the stub's signature
    ) -> AsyncIterator[pb.ComputeLfiResponse]:
        """Attribute batches."""
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None:
            return
        options = options_in(first)
        with self.checkpoints.using(options.checkpoint) as scorer:
            check_one_output(scorer.checkpoint, "options.checkpoint")
            stream = self._stream(options, scorer.ablator)
            answers = in_order(requests, stream.answer, self.batches_under_way)
            try:
                async with aclosing(answers):
                    async for response in answers:
                        yield response
            finally:
                stream.ended.set()

    async def PreviewMitigation(  # noqa: N802
        self,
        request: pb.PreviewMitigationRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.PreviewMitigationResponse:
        """Preview a mitigation."""
        with self.checkpoints.using(request.checkpoint) as scorer:
            check_one_output(scorer.checkpoint, "checkpoint")
            served = Predict(scorer.predictor, self.block_examples)
            if request.replacement:
                result = await self._replaced(request, served)
            else:
                result = await self.inference.run(
                    lambda: samples_in(request.arrow_streams, scorer.checkpoint.schema),
                    partial(_previewed, request, served),
                )
        return pb.PreviewMitigationResponse(
            example_count=result.example_count,
            mean_prediction=result.mean_prediction,
            mitigated_mean_prediction=result.mitigated_mean_prediction,
            ratio_standard_error=result.ratio_standard_error,
            checkpoint_digest=scorer.checkpoint.digest,
        )

    async def _replaced(
        self, request: pb.PreviewMitigationRequest, served: Predict
    ) -> MitigationPreview:
        with self.checkpoints.using(request.replacement) as other:
            check_one_output(other.checkpoint, "replacement")
            replacement = Predict(other.predictor, self.block_examples)
            preview = PreviewReplacement(served, replacement)
            schemas = served.predictor.checkpoint.schema, other.checkpoint.schema
            return await self.inference.run(
                lambda: [samples_in(request.arrow_streams, schema) for schema in schemas],
                lambda samples: preview(*samples),
            )

    async def ListCheckpoints(  # noqa: N802
        self,
        request: pb.ListCheckpointsRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.ListCheckpointsResponse:
        """List checkpoints by name."""
        names = self.checkpoints.names()
        start = bisect_right(names, last_name(request.page_token)) if request.page_token else 0
        page = names[start : start + (request.page_size or _DEFAULT_PAGE)]
        more = start + len(page) < len(names)
        return pb.ListCheckpointsResponse(
            checkpoints=[checkpoint_message(self.checkpoints.get(n).checkpoint) for n in page],
            next_page_token=page_token(page[-1]) if more else "",
        )

    async def GetCheckpoint(  # noqa: N802
        self,
        request: pb.GetCheckpointRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.GetCheckpointResponse:
        """Get a checkpoint."""
        checkpoint = self.checkpoints.get(request.name).checkpoint
        return pb.GetCheckpointResponse(checkpoint=checkpoint_message(checkpoint))

    async def LoadCheckpoint(  # noqa: N802
        self,
        request: pb.LoadCheckpointRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.LoadCheckpointResponse:
        """Load a checkpoint."""
        folder = Path(request.folder)
        try:
            scorer = await asyncio.to_thread(self.load, folder)
        except CheckpointRefused as error:
            raise CheckpointRefused(str(error), field="folder") from error
        return pb.LoadCheckpointResponse(checkpoint=checkpoint_message(scorer.checkpoint))

    async def UnloadCheckpoint(  # noqa: N802
        self,
        request: pb.UnloadCheckpointRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.UnloadCheckpointResponse:
        """Forget a checkpoint; streams that use it go on."""
        self.checkpoints.remove(request.name)
        return pb.UnloadCheckpointResponse()

    async def ExplainCheckpoint(  # noqa: N802
        self,
        request: pb.ExplainCheckpointRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.ExplainCheckpointResponse:
        """Say how a checkpoint is ablated."""
        scorer = self.checkpoints.get(request.name)
        check_one_output(scorer.checkpoint, "name")
        return explanation_message(scorer.checkpoint, scorer.ablator.explanation)

    async def ComputeSaliency(  # noqa: N802
        self,
        request: pb.ComputeSaliencyRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.ComputeSaliencyResponse:
        """Say where in images a checkpoint looks."""
        size = (request.height, request.width) if request.height and request.width else None
        with self.checkpoints.using(request.checkpoint) as scorer:
            schema, highlight = scorer.checkpoint.schema, Highlight(scorer)
            layer = Layer(request.layer, request.after_activation)
            maps = await self.inference.run(
                lambda: decode(request.arrow_stream, schema, "arrow_stream"),
                lambda examples: highlight(examples, layer, size, request.target_class),
            )
        digest = scorer.checkpoint.digest
        return pb.ComputeSaliencyResponse(maps=tensor_message(maps), checkpoint_digest=digest)

    async def TestInsertion(  # noqa: N802
        self,
        request: pb.TestInsertionRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.TestInsertionResponse:
        """Append ids to lists, and predict again; each id takes its own turn."""
        with self.checkpoints.using(request.checkpoint) as scorer:
            predict, schema = (
                Predict(scorer.predictor, self.block_examples),
                scorer.checkpoint.schema,
            )
            insert = await self.inference.run(
                lambda: samples_in(request.arrow_streams, schema),
                lambda samples: Insert.into(predict, request.feature, samples),
            )
            if not request.skip_unknown_ids:
                insert.check(request.ids)
            outcomes = [
                await self.inference.run(partial(int, inserted), insert)
                for inserted in request.ids
                if insert.can_hold(inserted)
            ]
        return pb.TestInsertionResponse(
            outcomes=[insertion_message(outcome) for outcome in outcomes],
            checkpoint_digest=scorer.checkpoint.digest,
        )

    async def TestGroup(  # noqa: N802
        self,
        request: pb.TestGroupRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.TestGroupResponse:
        """Ablate features together; each window takes its own turn."""
        with self.checkpoints.using(request.checkpoint) as scorer:
            check_one_output(scorer.checkpoint, "checkpoint")
            schema, method = scorer.checkpoint.schema, method_of(request.method)
            group = AblateGroup.of(scorer, request.features, method, self.block_examples)
            found = [
                await self.inference.run(
                    partial(samples_in, window.arrow_streams, schema, f"windows[{place}]."), group
                )
                for place, window in enumerate(request.windows)
            ]
        return pb.TestGroupResponse(
            joint=move_message(Move([window.joint for window in found])),
            members=[
                pb.FeatureMove(
                    feature=feature,
                    move=move_message(Move([window.members[place] for window in found])),
                )
                for place, feature in enumerate(request.features)
            ],
            checkpoint_digest=scorer.checkpoint.digest,
        )

    def _stream(self, options: pb.ComputeLfiOptions, ablator: Ablator) -> LfiStream:
        """Return what the options of a stream ask for."""
        explain = Explain(ablator, method_of(options.method), self.examples_at_once)
        if options.HasField("racing"):
            racing = racing_of(options, ablator.checkpoint)
            race = Race(racing, len(ablator.checkpoint.schema.features))
            return RaceStream(explain, None, True, self.inference, race=race)
        to_caller = options.delivery != pb.DELIVERY_AGGREGATOR
        to_aggregator = options.delivery in (pb.DELIVERY_AGGREGATOR, pb.DELIVERY_BOTH)
        if to_aggregator and self.sink is None:
            raise NoAggregator(
                "this service runs without an aggregator: set aggregator_address, or ask for "
                "delivery to the caller",
                field="options.delivery",
            )
        return LfiStream(
            explain=explain,
            sink=self.sink if to_aggregator else None,
            to_caller=to_caller,
            inference=self.inference,
        )


def _previewed(
    request: pb.PreviewMitigationRequest, served: Predict, samples: Sequence[Examples]
) -> MitigationPreview:
    if request.masks:
        masks = [(mask.feature, mask.ids) for mask in request.masks]
        return PreviewMask(served)(samples, masks)
    return Preview(served)(samples, request.features)
