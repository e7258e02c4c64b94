"""Starts the attribution service."""

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import torch
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from aftershock.v1 import attribution_service_pb2 as pb
from aftershock.v1.attribution_service_pb2_grpc import add_AttributionServiceServicer_to_server
from services.attribution.adapters.folder_checkpoints import FolderCheckpoints, ProgramReader
from services.attribution.adapters.grpc_access import ACCESS
from services.attribution.adapters.grpc_errors import ERRORS
from services.attribution.adapters.grpc_servicer import AttributionServicer
from services.attribution.adapters.grpc_sink import GrpcSink
from services.attribution.adapters.inference import Inference
from services.attribution.adapters.memory_checkpoints import MemoryCheckpoints
from services.attribution.adapters.torch_checkpoints import TorchPrograms
from services.attribution.adapters.torch_device import (
    DeviceAbsent,
    chosen_device,
    cuda_devices,
    make_deterministic,
)
from services.attribution.domain.errors import CheckpointRefused
from services.attribution.engine.compiler import compiled
from services.attribution.engine.program import Limits
from services.attribution.load import Load
from services.chassis.channel import call_metadata, open_channel
from services.chassis.server import Service, serve
from services.chassis.settings import ServiceSettings
from services.chassis.telemetry import configure_logging

_log = logging.getLogger(__name__)


class AttributionSettings(ServiceSettings):
    """Settings, from the environment with the prefix AFTERSHOCK_ATTRIBUTION_."""

    model_config = SettingsConfigDict(env_prefix="AFTERSHOCK_ATTRIBUTION_", extra="forbid")

    checkpoint_roots: list[Path] = Field(default_factory=list)
    """Folders under which checkpoints may be loaded from."""
    load: list[Path] = Field(default_factory=list)
    """Checkpoints to load at start."""
    aggregator_address: str | None = None
    """Where blocks are delivered, `host:port`. None: to callers only."""
    delivery_patience_seconds: float = Field(default=30.0, gt=0)
    """How long a block is tried before its sender is told to send it again."""
    threads: int = Field(default=max(1, (os.cpu_count() or 1) // 2), ge=1)
    """Threads of one inference. More than there are idle cores is far slower than one."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")
    """Where torch checkpoints are ablated: `cpu`, `cuda`, `cuda:N`, or `auto`, CUDA if present."""
    block_memory_bytes: int = Field(default=1 << 30, ge=1 << 20)
    """What each thread of an inference may take for the examples that it ablates at a time."""
    block_examples: int = Field(default=1024, ge=1, le=1_000_000)
    """Rows of one run of the model."""
    batches_waiting: int = Field(default=64, ge=1, le=4096)
    """Batches of all streams that wait for inference; further ones are told to come back."""
    checkpoint_memory_bytes: int | None = Field(default=None, ge=1)
    """What checkpoints may take together; those used least recently are unloaded. None: no end."""
    batches_under_way: int = Field(default=4, ge=1, le=256)
    """Batches of one stream that are worked on before the first is answered."""


def main() -> None:
    """Load what is to be loaded, and serve until SIGTERM or SIGINT."""
    settings = AttributionSettings()
    configure_logging(settings)
    torch.set_num_threads(settings.threads)
    try:
        device = chosen_device(settings.device, cuda_devices())
    except DeviceAbsent as error:
        sys.exit(str(error))
    make_deterministic(device)
    _log.info("ablating", extra={"device": str(device)})
    with _one_thread("inference") as inference, _one_thread("decoding") as decoding:
        try:
            asyncio.run(_serve(settings, device, inference, decoding))
        except CheckpointRefused as error:
            sys.exit(f"a checkpoint that is to be loaded at start is refused: {error}")


def _one_thread(name: str) -> Executor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)


async def _serve(
    settings: AttributionSettings, device: torch.device, inference: Executor, decoding: Executor
) -> None:
    checkpoints = MemoryCheckpoints(settings.checkpoint_memory_bytes)
    limits = Limits(
        workers=settings.threads if device.type == "cpu" else 1,
        block_bytes=settings.block_memory_bytes,
    )
    load = Load(
        FolderCheckpoints(settings.checkpoint_roots, _readers(settings, device, limits)),
        checkpoints,
    )
    for folder in settings.load:
        await asyncio.get_running_loop().run_in_executor(inference, load, folder)
    sink = _sink(settings)
    servicer = AttributionServicer(
        checkpoints=checkpoints,
        load=load,
        sink=sink,
        inference=Inference(inference, decoding, settings.batches_waiting),
        block_examples=settings.block_examples,
        batches_under_way=settings.batches_under_way,
        examples_at_once=limits.block_rows * limits.workers,
    )
    service = Service(
        names=[pb.DESCRIPTOR.services_by_name["AttributionService"].full_name],
        register=lambda server: add_AttributionServiceServicer_to_server(servicer, server),
        errors=ERRORS,
        access=ACCESS,
        background=[sink.run] if sink else [],
    )
    await serve(service, settings)


def _readers(
    settings: AttributionSettings, device: torch.device, limits: Limits
) -> Mapping[str, ProgramReader]:
    torch_programs = TorchPrograms(lambda p: compiled(p.program, p.checkpoint, limits, device))
    if find_spec("onnxruntime") is None:
        return {".pt2": torch_programs}
    from services.attribution.adapters.onnx_predictor import (  # noqa: PLC0415 - needs the extra
        OnnxPrograms,
    )

    return {
        ".pt2": torch_programs,
        ".onnx": OnnxPrograms(settings.threads, settings.block_examples),
    }


def _sink(settings: AttributionSettings) -> GrpcSink | None:
    address = settings.aggregator_address
    if address is None:
        return None
    return GrpcSink(
        lambda: open_channel(address, settings),
        call_metadata(settings),
        patience=settings.delivery_patience_seconds,
    )


if __name__ == "__main__":
    main()
