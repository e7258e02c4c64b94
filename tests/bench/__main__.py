"""Runs every benchmark, each a process of its own: `make bench`, `make bench QUICK=1`."""

import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run them one after the other and stop at the first that fails."""
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if not file.name.startswith("_"):
            print(f"== {file.stem}", flush=True)
            subprocess.run(
                [sys.executable, "-m", f"tests.bench.{file.stem}", *sys.argv[1:]], check=True
            )


if __name__ == "__main__":
    main()
