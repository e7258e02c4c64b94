"""Counts, times and logs every call."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from prometheus_client import Counter, Gauge, Histogram

from services.chassis.interceptors.around import AroundInterceptor, Call

_log = logging.getLogger(__name__)
_CALLS = Counter("aftershock_rpc_total", "Calls by method and status.", ["method", "code"])
_SECONDS = Histogram("aftershock_rpc_seconds", "Duration of calls.", ["method"])
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
_UNDER_WAY = Gauge("aftershock_rpc_under_way", "Calls under way.", ["method"])


class TelemetryInterceptor(AroundInterceptor):
    """Metrics by method, and a debug line a call. Never a request's content."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Time the call."""
        start = time.perf_counter()
        with _UNDER_WAY.labels(call.method).track_inprogress():
            try:
                yield
            finally:
                seconds = time.perf_counter() - start
                code = _code(call)
                _CALLS.labels(call.method, code).inc()
                _SECONDS.labels(call.method).observe(seconds)
                _log.debug("call", extra={"method": call.method, "code": code, "seconds": seconds})


def _code(call: Call) -> str:
    # 0 and None both stand for a call that nobody has ended otherwise; a number is what gRPC keeps
    # for a call that was aborted.
    code = call.context.code() or 0
    return code.name if isinstance(code, grpc.StatusCode) else _NAMES[code]
