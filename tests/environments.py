"""Environments for servers that do not install beside this project, made once a machine."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def environment_of(requirements: Path) -> Path:
    """Return the environment, made if there is none for these requirements yet.

    Args:
        requirements: `{name}_requirements.txt`.
    """
    name = requirements.name.removesuffix("_requirements.txt")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aftershock"
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    made = cache / f"{name}-{digest}"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "whole").exists():
            shutil.rmtree(made, ignore_errors=True)
            _make(made, requirements)
            (made / "whole").touch()
    return made


def _make(folder: Path, requirements: Path) -> None:
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    where: list[str | Path] = ["--python", python, "-r", requirements]
    subprocess.run([*uv, "pip", "install", "--quiet", *where], check=True)
