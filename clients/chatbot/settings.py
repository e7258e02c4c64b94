"""Settings of the bot, read once from the environment."""

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ChatbotSettings(BaseSettings):
    """Settings, from the environment with the prefix AFTERSHOCK_CHATBOT_.

    Where the services are, and TLS, comes from the SDK's own variables.
    """

    model_config = SettingsConfigDict(env_prefix="AFTERSHOCK_CHATBOT_", extra="forbid")

    chat: Literal["slack", "matrix"] = "slack"
    """Which chat system."""
    token: SecretStr
    """Identifies the bot to the services; its roles are `reader` and `delegate`."""
    catch_up_hours: float = Field(default=24.0, gt=0)
    """Closed incidents that nothing happened to for so long are left alone."""
    theme: Literal["light", "dark"] = "light"
    """Of the plots."""
    plots: bool = True
    """Needs an aggregator."""
    lineage: bool = True
    """Whether to ask what happened upstream. Needs an aggregator."""
    slack_bot_token: SecretStr | None = None
    """`xoxb-`."""
    slack_app_token: SecretStr | None = None
    """`xapp-`, for Socket Mode."""
    slack_signing_secret: SecretStr | None = None
    """With it, HTTP requests are taken instead of Socket Mode."""
    slack_listen: str = "127.0.0.1:3000"
    """Where HTTP requests are taken, under /slack/events, `host:port`."""
    slack_channel: str = ""
    """Id of the channel, `C012AB`."""
    slack_url: str = "https://slack.com/api/"
    """Of the Web API."""
    matrix_url: str = ""
    """Of the homeserver, `https://matrix.example.org`."""
    matrix_access_token: SecretStr | None = None
    """Of the bot's account. All copies of the bot use the same one."""
    matrix_room: str = ""
    """Id of the room, `!abc:example.org`."""

    @model_validator(mode="after")
    def _matrix_is_whole(self) -> Self:
        told = (self.matrix_url, self.matrix_access_token, self.matrix_room)
        if self.chat == "matrix" and not all(told):
            raise ValueError("matrix needs matrix_url, matrix_access_token and matrix_room")
        return self

    @model_validator(mode="after")
    def _slack_is_whole(self) -> Self:
        if self.chat != "slack":
            return self
        if self.slack_bot_token is None or not self.slack_channel:
            raise ValueError("slack needs slack_bot_token and slack_channel")
        if (self.slack_app_token is None) == (self.slack_signing_secret is None):
            raise ValueError(
                "slack needs one of slack_app_token (Socket Mode) and slack_signing_secret (HTTP)"
            )
        return self
