"""What people's events mean."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.chatbot.adapters.matrix_says import said_in
from clients.chatbot.core.card import Choice

scraps = st.sampled_from(
    ["m.thread", "m.annotation", "m.replace", "$1", "👍", "approve", "m.text", "!aftershock"]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | scraps,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["msgtype", "body", "m.relates_to", "rel_type", "event_id", "key", "m.in_reply_to"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


def event(kind: str, content: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "sender": "@ada:example.org",
        "event_id": "$2",
        "origin_server_ts": 5,
        "content": content,
    }


def message(body: str, **relation: Any) -> dict[str, Any]:
    return event("m.room.message", {"msgtype": "m.text", "body": body, "m.relates_to": relation})


def reaction(key: str) -> dict[str, Any]:
    relation = {"rel_type": "m.annotation", "event_id": "$1", "key": key}
    return event("m.reaction", {"m.relates_to": relation})


@given(st.sampled_from(["m.reaction", "m.room.message", "m.room.topic"]), anything)
def test_no_event_is_too_strange(kind: str, content: Any) -> None:
    said = said_in(event(kind, content))
    if said is not None:
        assert said.who == "@ada:example.org"
        assert len(said.words) <= 1000


@pytest.mark.parametrize(
    ("mark", "choice"),
    [
        ("👍", Choice.APPROVE),
        ("👍🏿", Choice.APPROVE),
        ("✔️", Choice.APPROVE),
        ("👎", Choice.REJECT),
        ("❌", Choice.REJECT),
        ("🔍", Choice.DETAILS),
        ("💤", Choice.SNOOZE),
        ("⏸️", Choice.PAUSE),
    ],
)
def test_a_reaction(mark: str, choice: Choice) -> None:
    said = said_in(reaction(mark))
    assert said is not None
    assert (said.choice, said.about, said.is_reaction) == (choice, "$1", True)


@pytest.mark.parametrize("mark", ["🎉", "approve", "", "👍👍"])
def test_other_reactions_are_talk(mark: str) -> None:
    assert said_in(reaction(mark)) is None


@pytest.mark.parametrize(
    ("body", "choice", "words"),
    [
        ("approve", Choice.APPROVE, ""),
        (" Approve\n", Choice.APPROVE, ""),
        ("reject it is\nthe sale", Choice.REJECT, "it is the sale"),
        ("reject half \ud83d", Choice.REJECT, "half ?"),
        ("> <@bot:e> approve\n> x\n\nreject no", Choice.REJECT, "no"),
        ("!aftershock why ads_ctr", None, "why ads_ctr"),
    ],
)
@pytest.mark.parametrize("way", ["reply", "thread"])
def test_a_reply(body: str, choice: Choice | None, words: str, way: str) -> None:
    relation = (
        {"m.in_reply_to": {"event_id": "$1"}}
        if way == "reply"
        else {"rel_type": "m.thread", "event_id": "$1", "m.in_reply_to": {"event_id": "$9"}}
    )
    said = said_in(message(body, **relation))
    assert said is not None
    assert (said.choice, said.words) == (choice, words)
    assert said.about == ("" if choice is None and way == "reply" else "$1")


@pytest.mark.parametrize("body", ["I approve", "approved", "> approve", "", "aftershock status"])
def test_talk(body: str) -> None:
    assert said_in(message(body, **{"m.in_reply_to": {"event_id": "$1"}})) is None


def test_a_word_that_answers_nothing_and_an_edited_word() -> None:
    assert said_in(message("approve")) is None
    assert said_in(message("approve", rel_type="m.replace", event_id="$1")) is None
