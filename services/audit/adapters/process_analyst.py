"""Analyses each snapshot in a process of its own, which can be stopped at any moment.

The process reads an audit as a line of JSON from standard input and writes lines of JSON to its
standard output: progress, then the report or a failure. Nothing is pickled. Standard input stays
open for as long as somebody waits: its end is the end of the process.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import IO, Any

from services.audit.adapters.json_codec import AUDIT, FAILURE, REPORT
from services.audit.analyse import Analyse
from services.audit.domain import errors
from services.audit.domain.audit import Audit, Failure
from services.audit.domain.errors import AuditError, TooLargeForExact
from services.audit.domain.report import AuditReport

_log = logging.getLogger(__name__)
_LONGEST_LINE = 256 * 1024 * 1024


class ProcessAnalyst:
    """An Analyst that starts `command` for each audit."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    async def analyse(
        self, audit: Audit, progress: Callable[[float, str], Awaitable[None]]
    ) -> AuditReport:
        """Return the report of the snapshot itself."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
        )
        try:
            return await _conversation(process, audit, progress)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _conversation(
    process: asyncio.subprocess.Process,
    audit: Audit,
    progress: Callable[[float, str], Awaitable[None]],
) -> AuditReport:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process has no pipes")
    # A process that ends at once says why on standard error; its end is seen below.
    with contextlib.suppress(ConnectionError):
        process.stdin.write(AUDIT.dump_json(audit) + b"\n")
        await process.stdin.drain()
    while line := await _line(process.stdout):
        match json.loads(line):
            case {"report": report}:
                return REPORT.validate_python(report)
            case {"failure": failure}:
                raise error_of(FAILURE.validate_python(failure))
            case {"progress": share, "stage": stage}:
                await progress(share, stage)
    raise AuditError(
        f"the analysis ended without a report (exit code {await process.wait()}): the service's "
        "log has the details; was there memory enough?"
    )


async def _line(answers: asyncio.StreamReader) -> bytes:
    try:
        return await answers.readline()
    except ValueError as error:
        raise TooLargeForExact(
            f"the report is larger than {_LONGEST_LINE >> 20} MiB: look for fewer labels (top)"
        ) from error


def error_of(failure: Failure) -> AuditError:
    """Return the error that a failure was made of."""
    cls: type[AuditError] = getattr(errors, failure.kind, AuditError)
    error = cls.__new__(cls)
    AuditError.__init__(error, failure.message, failure.field)
    return error


def converse(analyse: Analyse, questions: IO[bytes], answers: IO[bytes]) -> None:
    """Read an audit, analyse, and write lines: the other end of the conversation."""

    def say(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content).encode() + b"\n")
        answers.flush()

    audit = AUDIT.validate_json(questions.readline())
    threading.Thread(target=_end_with, args=[questions], daemon=True).start()
    try:
        report = analyse(audit, lambda share, stage: say({"progress": share, "stage": stage}))
        say({"report": REPORT.dump_python(report, mode="json")})
    except Exception as error:
        say({"failure": FAILURE.dump_python(_failure(error), mode="json")})


def _failure(error: Exception) -> Failure:
    """Return what to tell of an error; what is nobody's mistake goes to the log whole."""
    if isinstance(error, AuditError):
        return Failure.of(error)
    _log.error("an analysis broke", exc_info=error)
    if isinstance(error, MemoryError):
        return Failure.of(
            TooLargeForExact(
                f"the analysis takes more memory than there is ({error}): raise min_overlaps, look "
                "for fewer labels (top), or audit fewer rows"
            )
        )
    return Failure("AuditError", "internal error; the service's log has the details")


def _end_with(questions: IO[bytes]) -> None:
    """End the process once nobody waits for it: its parent stopped, or died."""
    questions.read()
    os._exit(1)


def analysis_command() -> list[str]:
    """Return the command that this service answers with `converse`."""
    return [sys.executable, "-m", "services.audit", "analyse"]
