"""The published surface: exactly these names, and light."""

import ast
import inspect
import pkgutil
import subprocess
import sys

import pytest

import aftershock
import aftershock.aio
import aftershock.serving
import aftershock.testing
from aftershock import _errors, _methods
from aftershock.v1 import (
    aggregator_service_pb2,
    attribution_service_pb2,
    audit_service_pb2,
    lineage_service_pb2,
    runbook_service_pb2,
)

_SERVICES = (
    aggregator_service_pb2,
    attribution_service_pb2,
    audit_service_pb2,
    lineage_service_pb2,
    runbook_service_pb2,
)


def test_all_is_exactly_the_public_names() -> None:
    public = {
        name
        for name, value in vars(aftershock).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert aftershock.__all__ == sorted(public)


def test_modules_are_private_but_for_the_named_ones() -> None:
    names = {module.name for module in pkgutil.iter_modules(aftershock.__path__)}
    public = {name for name in names if not name.startswith("_")}
    assert public == {"aio", "cli", "serving", "testing", "v1"}


@pytest.mark.parametrize("module", [aftershock.aio, aftershock.serving, aftershock.testing])
def test_submodules_define_what_they_export(module: object) -> None:
    names: list[str] = module.__all__  # type: ignore[attr-defined]
    for name in names:
        assert getattr(module, name).__module__ == module.__name__  # type: ignore[attr-defined]


def test_the_error_tree_in_the_docstring_is_the_real_one() -> None:
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (_errors.__doc__ or "").splitlines()[2:]:
        start = len(line) - len(line.lstrip("│├└─ "))
        path = [*path[: start // 4], line[start:].split()[0]]
        drawn[path[-1]] = path[-2] if len(path) > 1 else "Exception"
    real = {
        name: next(base.__name__ for base in value.__bases__ if issubclass(base, Exception))
        for name, value in vars(_errors).items()
        if inspect.isclass(value) and issubclass(value, _errors.AftershockError)
    }
    assert drawn == real
    assert set(real) < set(aftershock.__all__)


def test_every_method_is_the_contracts() -> None:
    declared = {
        f"/{service.full_name}/{method.name}": (
            method.input_type.full_name,
            method.output_type.full_name,
        )
        for module in _SERVICES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    used = [m for m in vars(_methods).values() if isinstance(m, _methods.Method)]
    assert used
    for method in used:
        types = (method.request.DESCRIPTOR.full_name, method.answer.DESCRIPTOR.full_name)
        assert declared[method.path] == types


def test_the_async_client_has_the_operations_of_the_sync_one() -> None:
    def operations(cls: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(value).parameters)
            for name, value in inspect.getmembers(cls, inspect.isfunction)
            if not name.startswith("_")
        }

    assert operations(aftershock.Client) == operations(aftershock.aio.Client)


def test_the_recording_client_takes_what_the_pipeline_calls_take() -> None:
    for name in ("examples", "outcomes"):
        real = inspect.signature(getattr(aftershock.Client, name)).parameters
        fake = inspect.signature(getattr(aftershock.testing.RecordingClient, name)).parameters
        assert list(real) == list(fake)


def test_importing_it_loads_no_heavy_package() -> None:
    program = "import aftershock, aftershock.aio, aftershock.serving, sys; print(list(sys.modules))"
    loaded = ast.literal_eval(
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout
    )
    heavy = {"numpy", "pyarrow", "torch", "pydantic", "typer", "rich", "redis", "sqlalchemy"}
    assert not heavy & set(loaded)
