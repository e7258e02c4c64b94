"""Processes that are the first of their container, as a service is in its image."""

import shutil
import subprocess

import pytest

_FIRST = ("unshare", "--user", "--map-root-user", "--fork", "--pid", "--kill-child")


def first_process() -> list[str]:
    """Return what to put before a command to run it as process 1. Skips where nobody may."""
    if shutil.which("unshare") is None or subprocess.run([*_FIRST, "true"], check=False).returncode:
        pytest.skip("this machine gives nobody process ids of their own")
    return list(_FIRST)
