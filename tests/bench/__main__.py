"""Runs every benchmark, each a process of its own: `make bench`, `make bench QUICK=1`."""

import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run them one after the other and stop at the first that fails."""
    for name in benchmarks():
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *sys.argv[1:]], check=True)


def benchmarks() -> list[str]:
    """Return what there is to run: modules and packages that are programs."""
    here = Path(__file__).parent
    programs = [*here.glob("[!_]*.py"), *here.glob("*/__main__.py")]
    found = [p for p in programs if 'if __name__ == "__main__":' in p.read_text(encoding="utf-8")]
    return sorted(p.parent.name if p.stem == "__main__" else p.stem for p in found)


if __name__ == "__main__":
    main()
