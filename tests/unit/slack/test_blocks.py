"""The fake refuses what Slack refuses: each limit, one piece beyond it."""

from typing import Any

import pytest

from tests.slack import limits
from tests.slack.blocks import characters, faults_of_message, faults_of_view

Json = dict[str, Any]


def plain(length: int = 5, **more: Any) -> Json:
    return {"type": "plain_text", "text": "x" * length, **more}


def markup(length: int = 5, **more: Any) -> Json:
    return {"type": "mrkdwn", "text": "x" * length, **more}


def button(**more: Any) -> Json:
    return {"type": "button", "action_id": "a", "text": plain(), **more}


def actions(*elements: Json, **more: Any) -> Json:
    return {"type": "actions", "elements": list(elements), **more}


def confirm(**more: Any) -> Json:
    parts = {"title": plain(), "text": plain(), "confirm": plain(), "deny": plain()}
    return {**parts, **more}


def rich(*elements: Json) -> Json:
    section = {"type": "rich_text_section", "elements": list(elements)}
    return {"type": "rich_text", "elements": [section]}


def view(**more: Any) -> Json:
    text_input = {"type": "plain_text_input", "action_id": "a"}
    block = {"type": "input", "block_id": "b", "label": plain(), "element": text_input}
    return {"type": "modal", "title": plain(), "submit": plain(), "blocks": [block], **more}


WITHIN = [
    {"type": "divider"},
    {"type": "header", "text": plain(limits.HEADER)},
    {"type": "section", "text": markup(limits.SECTION_TEXT, verbatim=True)},
    {"type": "section", "fields": [plain(limits.SECTION_FIELD)] * limits.SECTION_FIELDS},
    {"type": "section", "text": plain(), "accessory": button()},
    {"type": "context", "elements": [plain()] * limits.CONTEXT},
    actions(*(button(action_id=str(n)) for n in range(limits.ACTIONS))),
    actions(button(text=plain(limits.BUTTON_TEXT), value="v" * limits.BUTTON_VALUE)),
    actions(button(style="danger", confirm=confirm(title=plain(limits.CONFIRM_TITLE)))),
    {"type": "image", "alt_text": "a plot", "image_url": "https://example.com/a.png"},
    rich({"type": "text", "text": "<!channel>", "style": {"code": True}}),
]
BEYOND = [
    ({"type": "banner"}, "unsupported block"),
    ({"type": "divider", "colour": "red"}, "unknown field"),
    ({"type": "header", "text": plain(limits.HEADER + 1)}, "no more than 150 characters"),
    ({"type": "header", "text": markup()}, "must be plain_text"),
    ({"type": "header", "text": plain(0)}, "at least 1"),
    ({"type": "header"}, "missing required field: text"),
    ({"type": "section", "text": markup(limits.SECTION_TEXT + 1)}, "no more than 3000"),
    ({"type": "section"}, "either text or fields"),
    ({"type": "section", "fields": [plain()] * 11}, "no more than 10 items"),
    ({"type": "section", "fields": [plain(2001)]}, "no more than 2000"),
    ({"type": "context", "elements": [plain()] * 11}, "no more than 10 items"),
    (actions(), "at least one item"),
    (actions(*(button(action_id=str(n)) for n in range(26))), "no more than 25 items"),
    (actions(button(), button()), "must be unique in its block"),
    (actions(button(text=plain(76))), "no more than 75"),
    (actions(button(value="v" * 2001)), "no more than 2000"),
    (actions(button(value="")), "at least 1"),
    (actions(button(style="warning")), "primary or danger"),
    (actions(button(tooltip="x")), "unknown field"),
    (actions(button(confirm=confirm(title=plain(101)))), "no more than 100"),
    (actions(button(confirm=confirm(text=plain(301)))), "no more than 300"),
    (actions(button(confirm=confirm(deny=plain(31)))), "no more than 30"),
    (actions(button(), block_id="b" * 256), "no more than 255"),
    ({"type": "image", "image_url": "https://example.com/a.png"}, "alt_text"),
    ({"type": "image", "alt_text": "a plot"}, "exactly one of"),
    (rich(), "at least one item"),
    (rich({"type": "text", "text": ""}), "at least 1"),
    (rich({"type": "text", "text": "x", "style": {"big": True}}), "unknown style"),
    (rich({"type": "text", "text": "x", "colour": "red"}), "unknown field"),
    (rich({"type": "image"}), "unsupported element"),
]


@pytest.mark.parametrize("block", WITHIN)
def test_what_is_within_limits_is_taken(block: Json) -> None:
    assert faults_of_message([block]) == []


@pytest.mark.parametrize(("block", "fault"), BEYOND)
def test_what_is_beyond_them_is_refused(block: Json, fault: str) -> None:
    assert any(fault in found for found in faults_of_message([block]))


def test_blocks_are_counted() -> None:
    assert faults_of_message([{"type": "divider"}] * 50) == []
    assert "no more than 50" in faults_of_message([{"type": "divider"}] * 51)[0]
    twice = [{"type": "divider", "block_id": "same"}] * 2
    assert "must be unique" in faults_of_message(twice)[0]


def test_characters_are_counted_over_all_blocks() -> None:
    blocks = [rich({"type": "text", "text": "x" * 10}), {"type": "header", "text": plain(5)}]
    assert characters(blocks) == 15


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"title": plain(25)}, "no more than 24"),
        ({"submit": plain(25)}, "no more than 24"),
        ({"private_metadata": "x" * 3001}, "no more than 3000"),
        ({"callback_id": "x" * 256}, "no more than 255"),
        ({"type": "home"}, "must be modal"),
        ({"colour": "red"}, "unknown field"),
        ({"blocks": [{"type": "divider"}] * 101}, "no more than 100"),
    ],
)
def test_a_view_beyond_its_limits_is_refused(more: Json, fault: str) -> None:
    assert faults_of_view(view()) == []
    assert any(fault in found for found in faults_of_view(view(**more)))


def test_inputs_need_a_submit_button() -> None:
    without = view()
    del without["submit"]
    assert any("/submit" in fault for fault in faults_of_view(without))
