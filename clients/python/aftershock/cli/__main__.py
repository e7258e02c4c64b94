"""Entry point of the command `aftershock`."""

from aftershock.cli import _asking, _audit, _deciding, _doctor  # noqa: F401 - they register commands
from aftershock.cli._app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    app(prog_name="aftershock")


if __name__ == "__main__":
    main()
