"""Every command in the README runs, and its Python is what a pipeline would write."""

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.local import Platform
from services.chassis.tokens import Role
from tests.checkpoints import export_click_checkpoint, random_batch

_ROOT = Path(__file__).parents[2]
_README = (_ROOT / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _README, flags=re.DOTALL)


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"\bmake ([a-z]+)", _README))
    assert {"demo", "test", "up", "check", "bench"} <= targets
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=_ROOT, check=True, capture_output=True)


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", _README):
        assert (_ROOT / link).exists(), link
