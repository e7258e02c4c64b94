"""Structured logs and the Prometheus endpoint."""

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from prometheus_client import start_http_server

from services.chassis.settings import ServiceSettings

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and whatever `extra` adds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {k: v for k, v in record.__dict__.items() if k not in _STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure_logging(settings: ServiceSettings) -> None:
    """Send all logs to standard error in the configured format."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)


def serve_metrics(settings: ServiceSettings) -> Callable[[], None]:
    """Start the Prometheus endpoint if one is configured; return how to stop it."""
    if settings.metrics_listen is None:
        return lambda: None
    host, _, port = settings.metrics_listen.rpartition(":")
    server, thread = start_http_server(int(port), addr=host)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
