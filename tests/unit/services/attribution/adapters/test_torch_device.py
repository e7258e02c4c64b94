"""Which device a setting stands for, and what is said when it is not there."""

import pytest
import torch

from services.attribution.adapters.torch_device import (
    DeviceAbsent,
    chosen_device,
    cuda_devices,
    make_deterministic,
)


@pytest.mark.parametrize(
    ("setting", "there", "device"),
    [
        ("cpu", 0, "cpu"),
        ("cpu", 2, "cpu"),
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cuda", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_setting_names_a_device(setting: str, there: int, device: str) -> None:
    assert chosen_device(setting, there) == torch.device(device)


@pytest.mark.parametrize(("setting", "there"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_device_that_is_not_there_is_refused(setting: str, there: int) -> None:
    with pytest.raises(DeviceAbsent, match=f"sees {there} CUDA devices here") as caught:
        chosen_device(setting, there)
    assert setting in str(caught.value)
    assert caught.value.field == "device"


def test_gpus_are_counted_as_torch_sees_them() -> None:
    assert cuda_devices() == torch.cuda.device_count()


def test_the_cpu_needs_no_other_algorithms() -> None:
    make_deterministic(torch.device("cpu"))
    assert not torch.are_deterministic_algorithms_enabled()
