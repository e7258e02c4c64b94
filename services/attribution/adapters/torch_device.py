"""Chooses the device that checkpoints are ablated on."""

import os

import torch

from services.attribution.domain.errors import AttributionError


class DeviceAbsent(AttributionError):
    """The device that is asked for is not there."""


def chosen_device(setting: str, cuda_devices: int) -> torch.device:
    """Return the device for `auto`, `cpu`, `cuda` or `cuda:N`, of a machine with so many GPUs.

    Raises:
        DeviceAbsent: it is not there.
    """
    kind, _, number = setting.partition(":")
    if kind == "cpu" or (kind == "auto" and not cuda_devices):
        return torch.device("cpu")
    index = int(number or 0)
    if index >= cuda_devices:
        raise DeviceAbsent(
            f"device is {setting!r}, and torch {torch.__version__} sees {cuda_devices} CUDA "
            "devices here: install a CUDA build of torch and a driver, name a device that is "
            "there, or set device to auto or cpu",
            field="device",
        )
    return torch.device("cuda", index)


def cuda_devices() -> int:
    """Return how many GPUs torch sees."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def make_deterministic(device: torch.device) -> None:
    """Make a GPU answer the same every time, in full float32. Call it before the GPU is used."""
    if device.type != "cuda":
        return
    # cuBLAS reads it when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
