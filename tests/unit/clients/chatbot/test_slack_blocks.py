"""What Slack gets is within its limits and harmless, whatever the incident."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aftershock.v1.incident_pb2 import Incident, MitigationState
from clients.chatbot.adapters.slack_blocks import (
    MOST_CHARACTERS,
    answer_of,
    message_of,
    note_of,
    notification,
    reason_asked,
)
from clients.chatbot.core.card import Choice
from clients.chatbot.core.decision import Target
from clients.chatbot.core.describe import card_of
from clients.chatbot.core.evidence import details
from clients.chatbot.core.thread import next_note
from tests.slack.blocks import characters, faults_of_message, faults_of_view
from tests.unit.clients.chatbot.incidents import NASTY, incident, incidents, mitigation, names

FEATURES = ("user_embedding_v3", "user_embedding_v2")


def kinds(node: Any) -> set[str]:
    """Return every type of text and element in blocks."""
    if isinstance(node, dict):
        own = {node["type"]} if isinstance(node.get("type"), str) else set()
        return own.union(*map(kinds, node.values()))
    return set().union(*map(kinds, node)) if isinstance(node, list) else set()


def is_harmless(message: dict[str, Any]) -> bool:
    """Nothing is markup but the notification's text, and that is escaped."""
    markup = kinds(message["blocks"]) & {"mrkdwn", "link", "user", "broadcast", "emoji", "channel"}
    return not markup and not set("<>\n") & set(message["text"])


class TestAnyIncident:
    @given(incidents())
    def test_the_message(self, worst: Incident) -> None:
        message = message_of(card_of(worst))
        assert faults_of_message(message["blocks"]) == []
        assert characters(message["blocks"]) <= MOST_CHARACTERS + 1200
        assert is_harmless(message)

    @given(incidents(), st.integers(0, 40))
    def test_the_thread(self, worst: Incident, told: int) -> None:
        if note := next_note(worst, told):
            message = note_of(note)
            assert faults_of_message(message["blocks"]) == []
            assert is_harmless(message)

    @given(incidents())
    def test_the_details(self, worst: Incident) -> None:
        message = answer_of([section for section in details(worst) if section.lines])
        assert faults_of_message(message["blocks"]) == []
        assert characters(message["blocks"]) <= MOST_CHARACTERS + 1200
        assert is_harmless(message)

    @given(names)
    def test_the_notification(self, name: str) -> None:
        line = notification(name)
        assert not set("<>\n") & set(line)
        assert line.count("&") == sum(line.count(e) for e in ("&amp;", "&lt;", "&gt;"))


def test_thirty_features_with_long_names_lose_only_the_tail() -> None:
    worst = incident(mitigation(["x" * 200] * 30), features=["y" * 200] * 30)
    message = message_of(card_of(worst))
    text = json.dumps(message["blocks"], ensure_ascii=False)
    assert "Proposed: " in text
    assert "and 25 more" in text
    every = answer_of(details(worst))
    assert json.dumps(every["blocks"]).count("rank 212") == 30 or "cut short" in json.dumps(every)


def test_a_name_is_shown_as_it_is() -> None:
    message = message_of(card_of(incident(mitigation(NASTY[:1]), features=NASTY[:1])))
    spans = [
        span
        for block in message["blocks"]
        if block["type"] == "rich_text"
        for span in block["elements"][0]["elements"]
    ]
    assert {"type": "text", "text": "<!channel>", "style": {"code": True}} in spans


def test_buttons_say_nothing_to_slack_but_ids() -> None:
    asked = incident(mitigation(FEATURES))
    effective = mitigation(FEATURES, MitigationState.MITIGATION_STATE_EFFECTIVE)
    both = (message_of(card_of(each))["blocks"] for each in (asked, incident(effective)))
    buttons = {b["action_id"]: b for blocks in both for b in blocks[-1]["elements"]}
    assert set(buttons) == set(Choice)
    plan = Target("incidents/INC-42", "incidents/INC-42/mitigations/1", "ab" * 32)
    assert buttons["approve"]["value"] == plan.encode()
    assert {name for name, button in buttons.items() if "confirm" in button} == {
        "pause",
        "release",
        "revert",
    }


def test_the_reason_is_asked_within_limits() -> None:
    assert faults_of_view(reason_asked("1." + "x" * 150, "C012AB")) == []
