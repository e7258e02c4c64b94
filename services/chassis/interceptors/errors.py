"""Domain exceptions become canonical statuses here and nowhere else."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from google.rpc.status_pb2 import Status

from services.chassis.errors import ErrorTable, is_expected, status_of
from services.chassis.interceptors.around import AroundInterceptor, Call
from services.chassis.interceptors.fitting import fitted

_log = logging.getLogger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ErrorInterceptor(AroundInterceptor):
    """Aborts a call whose handler raised, with the status that the table gives."""

    def __init__(self, table: ErrorTable) -> None:
        self._table = table

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Translate what the call raises."""
        try:
            yield
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            if not is_expected(error, self._table):
                _log.exception("unexpected error", extra={"method": call.method})
            await _abort(call, status_of(error, self._table))


async def _abort(call: Call, status: Status) -> None:
    fitting = fitted(status)
    await call.context.abort(
        _CODES[status.code],
        fitting.message,
        trailing_metadata=(("grpc-status-details-bin", fitting.SerializeToString()),),
    )
