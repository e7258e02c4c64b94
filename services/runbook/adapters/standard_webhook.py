"""Signed messages to somebody's HTTP endpoint, as https://www.standardwebhooks.com describes them.

A message keeps its id over all attempts, so that a receiver can tell a repetition from a new one.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_base, wait_exponential_jitter

from services.runbook.ports import Clock

_PREFIX = "whsec_"
_FEWEST_BYTES = 24
_SERVER_ERROR = 500
_TRY_AGAIN = frozenset({408, 425, 429})
_PAUSES = wait_exponential_jitter(multiplier=0.2, max=2.0)


class WebhookUnavailable(Exception):
    """The endpoint did not answer, or cannot just now; the message may have arrived."""


class WebhookRefused(Exception):
    """The endpoint will not have this message."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def secret_bytes(secret: str) -> bytes:
    """Return the key of a secret `whsec_{base64}`. Raises ValueError where it is none."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook's secret is `whsec_` and base64") from error
    if len(key) < _FEWEST_BYTES:
        raise ValueError(f"a webhook's secret has at least {_FEWEST_BYTES} bytes")
    return key


def signature(key: bytes, message_id: str, time: datetime, body: bytes) -> str:
    """Return `v1,{base64}`: HMAC-SHA256 of `{id}.{seconds}.{body}`."""
    signed = f"{message_id}.{int(time.timestamp())}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


class StandardWebhook:
    """One endpoint, and the secret that it shares with us."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        secret: str,
        clock: Clock,
        *,
        attempts: int = 3,
        pauses: wait_base = _PAUSES,
    ) -> None:
        """Take the endpoint. Raises ValueError where the secret is none."""
        self._http = http
        self._url = url
        self._key = secret_bytes(secret)
        self._clock = clock
        self._attempts = attempts
        self._pauses = pauses

    async def send(self, message_id: str, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message until it is taken, and return the answer's JSON object; empty if none.

        Raises:
            WebhookRefused: no attempt will be taken.
            WebhookUnavailable: no attempt was answered; one may have been taken.
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(WebhookUnavailable),
            stop=stop_after_attempt(self._attempts),
            wait=self._pauses,
            reraise=True,
        )
        return await attempts(self._send, message_id, kind, data)

    async def _send(self, message_id: str, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
        time = self._clock.now()
        content = {"type": kind, "timestamp": time.isoformat(), "data": data}
        body = json.dumps(content, ensure_ascii=False).encode()
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(time.timestamp())),
            "webhook-signature": signature(self._key, message_id, time, body),
        }
        try:
            answer = await self._http.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise WebhookUnavailable(f"{self._url} does not answer: {error!r}") from error
        return self._read(answer)

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        status = answer.status_code
        said = f"{self._url} answers {status}: {answer.text[:300]}"
        if status in _TRY_AGAIN or status >= _SERVER_ERROR:
            raise WebhookUnavailable(said)
        if not answer.is_success:
            raise WebhookRefused(said, status)
        try:
            content = answer.json() if answer.content else {}
        except ValueError as error:
            raise WebhookUnavailable(f"{said}, which is no JSON") from error
        return content if isinstance(content, dict) else {}
