"""What the sync and the async client have in common: everything but waiting."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import grpc

from aftershock import _methods as methods
from aftershock._channel import Channels, call_metadata
from aftershock._courier import Courier
from aftershock._environment import Endpoints, Environment, Service
from aftershock._errors import ConfigurationError
from aftershock._log import ExampleLog, Examples, OnFull, Population, SilentLog
from aftershock._names import model_name
from aftershock._outbox import Outbox
from aftershock.v1.attribution_service_pb2 import (
    ComputeLfiOptions,
    ComputeLfiRequest,
    Delivery,
    RaceStanding,
    Racing,
)
from aftershock.v1.example_pb2 import Population as PopulationValue

DEFAULT_TIMEOUT = 10.0
RACE_TIMEOUT = 600.0
DEFAULT_BUFFER_BYTES = 64 * 1024 * 1024
_POPULATIONS = {
    "considered": PopulationValue.POPULATION_CONSIDERED,
    "displayed": PopulationValue.POPULATION_DISPLAYED,
}


class BaseClient:
    """Where the services are, who is calling, and of which model it speaks."""

    def __init__(
        self,
        address: str | None = None,
        *,
        model: str | None = None,
        attribution: str | None = None,
        aggregator: str | None = None,
        runbook: str | None = None,
        audit: str | None = None,
        token: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """Take addresses; what is left out comes from the environment. Connects to nothing yet.

        Args:
            address: `host:port` of one endpoint that serves all (AFTERSHOCK_ADDRESS).
            model: id of the model that calls are about when they name none.
            attribution: where that service is, if on its own (AFTERSHOCK_ATTRIBUTION_ADDRESS).
            aggregator: likewise (AFTERSHOCK_AGGREGATOR_ADDRESS).
            runbook: likewise (AFTERSHOCK_RUNBOOK_ADDRESS).
            audit: likewise (AFTERSHOCK_AUDIT_ADDRESS).
            token: says who is calling (AFTERSHOCK_TOKEN).
            timeout: seconds that a call may take, with its retries.
        """
        addresses = {
            Service.ATTRIBUTION: attribution,
            Service.AGGREGATOR: aggregator,
            Service.RUNBOOK: runbook,
            Service.AUDIT: audit,
        }
        environment = Environment.read()
        self._environment = replace(environment, token=token or environment.token)
        self._endpoints = Endpoints(self._environment, address, addresses)
        self._metadata = call_metadata(self._environment)
        self._model = model
        self._timeout = timeout

    def _model_name(self, model: str | None) -> str:
        return model_name(model or self._model)

    def _filter(self, model: str | None) -> str:
        chosen = model or self._model
        return model_name(chosen) if chosen else ""

    def _open_log(
        self,
        channels: Channels[grpc.Channel],
        population: Population,
        *,
        on_full: OnFull,
        sample: float,
        seed: int,
        timeout: float,
        buffer_bytes: int,
    ) -> ExampleLog:
        if self._environment.disabled:
            return SilentLog()
        if population not in _POPULATIONS or on_full not in {"drop", "wait"}:
            raise ValueError(
                f"population={population!r}, on_full={on_full!r}: a population is 'considered' or "
                "'displayed', and a full buffer makes 'drop' or 'wait'"
            )
        try:
            from aftershock._sampling import Sampler  # noqa: PLC0415 - needs the extra
            from aftershock._streaming_log import StreamingLog  # noqa: PLC0415 - likewise
        except ImportError as error:
            raise ConfigurationError(
                f"sending examples needs Arrow ({error}): pip install 'aftershock[arrow]'"
            ) from error
        sampler = Sampler(sample, seed, _POPULATIONS[population])
        method = methods.COMPUTE_LFI
        channel = channels.to(method.service)
        stub = channel.stream_stream(method.path, method.serialize, method.answer.FromString)

        def open_stream(requests: Iterator[ComputeLfiRequest]) -> object:
            return stub(requests, metadata=self._metadata)

        options = ComputeLfiOptions(
            checkpoint=self._model_name(None), delivery=Delivery.DELIVERY_AGGREGATOR
        )
        callee = channels.describe(method.service)
        courier = Courier(open_stream, callee, options, Outbox(buffer_bytes))
        return StreamingLog(courier, _POPULATIONS[population], on_full, sampler, timeout)

    def _race(
        self,
        channels: Channels[grpc.Channel],
        examples: Examples,
        *,
        racing: Racing,
        event_time: datetime,
        population: Population,
        seed: int,
        timeout: float,
    ) -> RaceStanding:
        if population not in _POPULATIONS:
            raise ValueError(f"population={population!r}: 'considered' or 'displayed'")
        try:
            from aftershock._race import Race  # noqa: PLC0415 - needs the extra
        except ImportError as error:
            raise ConfigurationError(
                f"sending examples needs Arrow ({error}): pip install 'aftershock[arrow]'"
            ) from error
        method = methods.COMPUTE_LFI
        stub = channels.to(method.service).stream_stream(
            method.path, method.serialize, method.answer.FromString
        )

        def open_stream(requests: Iterator[ComputeLfiRequest], timeout: float) -> object:
            return stub(requests, timeout=timeout, metadata=self._metadata)

        return Race(
            open_stream=open_stream,
            callee=channels.describe(method.service),
            options=ComputeLfiOptions(checkpoint=self._model_name(None), racing=racing),
            examples=examples,
            population=_POPULATIONS[population],
            event_time=event_time,
            seed=seed,
        ).run(timeout)
