"""Runs commands as a shell would, and reads their tables."""

import json
from typing import Any

from typer.testing import CliRunner, Result

from aftershock.cli.__main__ import app


def run(*arguments: str, answer: str | None = None, code: int = 0) -> Result:
    result = CliRunner().invoke(app, arguments, input=answer, env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result


def run_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


def cells(output: str, row: str) -> list[str]:
    """Return the cells of the first table row that contains `row`."""
    line = next(line for line in output.splitlines() if row in line)
    return [cell.strip() for cell in line.split("  ") if cell.strip()]
