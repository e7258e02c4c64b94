"""A chat for the demo: where the incident is shown and an expert decides."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class ChatScene(Protocol):
    """A chat system that runs beside the platform. Methods block; they are called in order."""

    @property
    def surface(self) -> str:
        """`slack` or `matrix`."""

    @property
    def server(self) -> str:
        """What stands for the chat system."""

    @property
    def identity(self) -> str:
        """The expert, as the chat system knows them and the roster has them."""

    def start(self, folder: Path) -> None:
        """Start the chat system; scratch files go into the folder."""

    def environment(self) -> Mapping[str, str]:
        """Return what tells the bot where it is."""

    def approve(self) -> None:
        """As the expert: wait for the proposal and approve it."""

    def wait_for(self, text: str) -> None:
        """Wait until the incident's message says something."""

    def counts(self) -> tuple[int, int]:
        """Return how many messages there are, threads included, and how many updates there were."""

    def save(self, folder: Path) -> None:
        """Write the messages and the plots."""

    def stop(self) -> None:
        """Stop the chat system."""
