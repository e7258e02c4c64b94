"""The images and the composition name what the project has."""

import importlib
import re
from pathlib import Path

import pytest
import yaml

_ROOT = Path(__file__).parents[3]
_COMPOSE = yaml.safe_load((_ROOT / "deploy" / "compose.yaml").read_text())
_SERVICES = ("attribution", "aggregator", "runbook", "audit")


def test_every_service_is_composed_and_hardened() -> None:
    for name in _SERVICES:
        service = _COMPOSE["services"][name]
        assert service["build"]["args"] == {"SERVICE": name}
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_every_setting_in_the_composition_exists() -> None:
    for name in _SERVICES:
        module = importlib.import_module(f"services.{name}.__main__")
        settings = getattr(module, f"{name.capitalize()}Settings")
        fields = {field.upper() for field in settings.model_fields}
        prefix = f"AFTERSHOCK_{name.upper()}_"
        for variable in _COMPOSE["services"][name]["environment"]:
            assert variable.startswith(prefix)
            assert variable.removeprefix(prefix) in fields, variable


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "chatbot.Dockerfile"])
def test_the_image_copies_only_what_exists(dockerfile: str) -> None:
    lines = (_ROOT / "deploy" / dockerfile).read_text().splitlines()
    for line in lines:
        copied = re.match(r"COPY (?!--from)(.+) \S+$", line)
        for source in copied[1].split() if copied else ():
            for service in _SERVICES:
                assert (_ROOT / source.replace("${SERVICE}", service)).exists(), source
