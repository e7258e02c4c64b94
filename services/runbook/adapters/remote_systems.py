"""What the runbook reaches over HTTP, if anything: a model registry and a webhook's receiver."""

from dataclasses import dataclass

import httpx

from services.runbook.adapters.mlflow_registry import MlflowRegistry
from services.runbook.adapters.standard_webhook import StandardWebhook
from services.runbook.ports import Clock

_SECONDS = 4.0
"""For one answer: a few attempts fit into a worker's patience."""


@dataclass(frozen=True)
class RemoteSystems:
    """Clients that live as long as the process; None for what is not configured."""

    registry: MlflowRegistry | None
    webhook: StandardWebhook | None
    clients: tuple[httpx.AsyncClient, ...]

    async def close(self) -> None:
        """Close the connections."""
        for client in self.clients:
            await client.aclose()


def open_remote_systems(
    *,
    mlflow_url: str | None,
    mlflow_alias: str,
    mlflow_token: str | None,
    webhook_url: str | None,
    webhook_secret: str | None,
    clock: Clock,
) -> RemoteSystems:
    """Return the systems that are configured. Nothing connects before it is needed."""
    authorization = {"authorization": f"Bearer {mlflow_token}"} if mlflow_token else {}
    to_registry = httpx.AsyncClient(
        base_url=mlflow_url or "", headers=authorization, timeout=_SECONDS
    )
    to_receiver = httpx.AsyncClient(timeout=_SECONDS)
    return RemoteSystems(
        registry=MlflowRegistry(to_registry, mlflow_alias) if mlflow_url else None,
        webhook=StandardWebhook(to_receiver, webhook_url, webhook_secret, clock)
        if webhook_url and webhook_secret
        else None,
        clients=(to_registry, to_receiver),
    )
