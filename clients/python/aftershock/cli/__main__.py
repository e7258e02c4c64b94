"""Entry point of the command `aftershock`."""

from aftershock.cli import (  # noqa: F401 - they register commands
    _asking,
    _audit,
    _auditing,
    _backfilling,
    _deciding,
    _doctor,
    _lineage,
    _lineage_file,
    _lineage_group,
    _lineage_watch,
    _pausing,
    _policy,
    _rules,
    _timeline,
)
from aftershock.cli._app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    app(prog_name="aftershock")


if __name__ == "__main__":
    main()
