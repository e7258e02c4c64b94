"""What the bot has to be told."""

import pytest
from pydantic import ValidationError

from clients.chatbot.settings import ChatbotSettings

SLACK = {"token": "t", "slack_bot_token": "xoxb-1", "slack_channel": "C1"}

MATRIX = {
    "token": "t",
    "chat": "matrix",
    "matrix_url": "https://matrix.example.org",
    "matrix_access_token": "syt_3",
    "matrix_room": "!abc:example.org",
}


@pytest.mark.parametrize("way", ["slack_app_token", "slack_signing_secret"])
def test_slack_takes_one_way_in(way: str) -> None:
    assert ChatbotSettings.model_validate({**SLACK, way: "x"}).chat == "slack"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (SLACK, "one of"),
        ({**SLACK, "slack_app_token": "x", "slack_signing_secret": "x"}, "one of"),
        ({"token": "t"}, "slack_bot_token and slack_channel"),
        ({**SLACK, "slack_app_token": "x", "theme": "pink"}, "theme"),
        ({**SLACK, "slack_app_token": "x", "colour": "red"}, "colour"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ChatbotSettings.model_validate(given)


def test_secrets_stay_out_of_logs() -> None:
    settings = ChatbotSettings.model_validate({**SLACK, "slack_app_token": "xapp-2"})
    assert "xoxb-1" not in repr(settings)
    assert "xapp-2" not in repr(settings)
    assert "syt_3" not in repr(ChatbotSettings.model_validate(MATRIX))


@pytest.mark.parametrize("lacking", ["matrix_url", "matrix_access_token", "matrix_room"])
def test_matrix_takes_all_it_needs(lacking: str) -> None:
    given = {name: value for name, value in MATRIX.items() if name != lacking}
    with pytest.raises(ValidationError, match="matrix needs"):
        ChatbotSettings.model_validate(given)
