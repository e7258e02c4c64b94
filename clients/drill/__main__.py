"""Runs the drill: `python -m clients.drill`."""

from clients.drill.cli import app

if __name__ == "__main__":
    app(prog_name="aftershock drill")
