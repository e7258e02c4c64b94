"""Matrix messages: harmless and within limits for any incident."""

import json
import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aftershock.v1.incident_pb2 import Incident
from clients.chatbot.adapters.matrix_html import (
    answer_of,
    headline_of,
    message_of,
    note_of,
    picture_of,
)
from clients.chatbot.core.card import Picture, kept
from clients.chatbot.core.describe import card_of
from clients.chatbot.core.evidence import details
from clients.chatbot.core.thread import next_note
from tests.unit.clients.chatbot.incidents import NASTY, incident, incidents, mitigation, names

EVENT_BYTES = 65_536
ENVELOPE_BYTES = 4_000
"""What a server adds to a content: ids, hashes, signatures."""
LIVELY = re.compile(r"(?<!matrix:)@\w|://|#\w")
DIVERTING = set(map(chr, [*range(0x202A, 0x202F), *range(32), 0x2028, 0x2029])) - {"\n"}


class Tags(HTMLParser):
    """Reads HTML as a client does."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "br":
            self.text += "\n"
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check(content: dict[str, Any]) -> None:
    """Raise AssertionError where a message could do harm, or would be refused."""
    read = Tags(content["formatted_body"])
    assert read.open == []
    assert read.tags <= {"p", "br", "strong", "code"}
    assert not read.attributes
    assert content["m.mentions"] == {}
    for text in (content["body"], read.text):
        assert not LIVELY.search(text)
        assert not DIVERTING & set(text)
    assert not re.search("^>", content["body"], re.MULTILINE)


def size(content: dict[str, Any]) -> int:
    return len(json.dumps(content, ensure_ascii=False).encode())


@given(incidents())
def test_a_message_and_its_edit(worst: Incident) -> None:
    card = card_of(worst)
    content = message_of(card)
    check(content)
    edit = {**content, "body": headline_of(card), "m.new_content": content}
    assert size(edit | {"formatted_body": ""}) + ENVELOPE_BYTES < EVENT_BYTES
    assert not LIVELY.search(headline_of(card))
    if card.buttons:
        assert content["body"].endswith(("pause", "snooze", "revert"))


@given(incidents())
def test_a_note_in_the_thread(worst: Incident) -> None:
    note = next_note(worst, 0)
    assert note is not None
    check(note_of(note))
    assert size(note_of(note)) + ENVELOPE_BYTES < EVENT_BYTES


@given(incidents())
def test_an_answer_calls_one_person(worst: Incident) -> None:
    content = answer_of(kept(details(worst)), "@ada:example.org")
    assert content["m.mentions"] == {"user_ids": ["@ada:example.org"]}
    read = Tags(content["formatted_body"])
    assert read.attributes == [("href", "https://matrix.to/#/%40ada%3Aexample.org")]
    assert read.tags <= {"a", "p", "br", "strong", "code"}
    assert size(content) + ENVELOPE_BYTES < EVENT_BYTES


@given(names)
def test_a_plot_s_text(alt_text: str) -> None:
    content = picture_of(Picture("gfi", "GFI", alt_text, b"\x89PNG"), "gfi.png", "mxc://e/1")
    assert not LIVELY.search(content["body"])
    assert content["m.mentions"] == {}


@given(st.from_regex(r"@[a-z0-9._=/+-]{1,40}:[a-z0-9.-]{1,40}", fullmatch=True))
def test_whoever_is_answered(who: str) -> None:
    read = Tags(answer_of(kept(details(incident())), who)["formatted_body"])
    assert read.text.startswith(f"{who}:")


def test_a_name_is_shown_as_it_is() -> None:
    content = message_of(card_of(incident(mitigation(NASTY[:1]), features=NASTY[:1])))
    assert "<code>&lt;!\u2060channel&gt;</code>" in content["formatted_body"]
    assert "<!\u2060channel>" in content["body"]


def test_thirty_features_with_long_names_lose_only_the_tail() -> None:
    worst = incident(mitigation(["x" * 200] * 30), features=["y" * 200] * 30)
    body = message_of(card_of(worst))["body"]
    assert "Proposed: " in body
    assert "and 25 more" in body
    assert "👍 Approve" in body
