"""Aftershock's Python SDK: what a pipeline logs and what an expert decides.

    client = aftershock.Client("aftershock.internal:8443", model="ads_ctr")

    with client.examples(population="considered") as log:
        for batch in source:
            log.send(batch, event_time=batch_time)

    client.outcomes(window=hour, expected=sum_of_predictions, observed=clicks)

Beside it: `aftershock.aio` for event loops, `aftershock.serving` for model servers,
`aftershock.testing` for users' tests, and `aftershock.v1`, the contract.
"""

from aftershock._client import Client
from aftershock._errors import (
    AftershockError,
    ConfigurationError,
    Conflict,
    DeadlineExceeded,
    InvalidExamples,
    InvalidLineageFile,
    InvalidRequest,
    NotAllowed,
    NotFound,
    Overloaded,
    SchemaMismatch,
    ServerFailure,
    ServiceError,
    Unavailable,
    Violation,
)
from aftershock._group_calls import GroupTest
from aftershock._log import ExampleLog, LogStats

__all__ = [
    "AftershockError",
    "Client",
    "ConfigurationError",
    "Conflict",
    "DeadlineExceeded",
    "ExampleLog",
    "GroupTest",
    "InvalidExamples",
    "InvalidLineageFile",
    "InvalidRequest",
    "LogStats",
    "NotAllowed",
    "NotFound",
    "Overloaded",
    "SchemaMismatch",
    "ServerFailure",
    "ServiceError",
    "Unavailable",
    "Violation",
]
