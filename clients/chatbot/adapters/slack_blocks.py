"""Cards, notes and answers as Slack's Block Kit. Pure.

Everything from outside goes into `plain_text` and `rich_text`, whose text Slack shows as it is: no
markup, mention, link or emoji name in it comes to life. The one exception is the line for
notifications, which is markup always, and escaped.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from clients.chatbot.core.card import MARKS, Button, Card, Choice, Note, Section
from clients.chatbot.core.text import Line, Span, Style, clean, plain

HEADER_LENGTH = 150
SECTION_LENGTH = 3000
MOST_CHARACTERS = 12_000
"""Over all blocks; Slack refuses about 13,200."""
NOTIFICATION_LENGTH = 300
REJECT = "reject"
REASON = "reason"
_CUT: Line = (Span("… cut short: `Details`, or the command line, has the rest."),)
_STYLES: Mapping[Style, dict[str, bool]] = {
    Style.STRONG: {"bold": True},
    Style.NAME: {"code": True},
}
_LOOKS = {Choice.APPROVE: "primary", Choice.PAUSE: "danger", Choice.REVERT: "danger"}

Json = dict[str, Any]


def message_of(card: Card) -> Json:
    """Return `text` and `blocks` of the message about an incident."""
    headline = f"{MARKS[card.mood]} {card.headline}"
    blocks = [_header(headline), *rich_texts(card.sections)]
    if card.buttons:
        elements = [_button(button) for button in card.buttons]
        blocks.append({"type": "actions", "block_id": "decision", "elements": elements})
    return {"text": notification(f"{headline} ({card.incident})"), "blocks": blocks}


def note_of(note: Note) -> Json:
    """Return `text` and `blocks` of a message in a thread."""
    section = Section(note.lines)
    return {"text": notification(plain(note.lines[0])), "blocks": rich_texts([section])}


def answer_of(sections: Sequence[Section]) -> Json:
    """Return `text` and `blocks` of what one person sees."""
    first = plain(sections[0].lines[0])
    return {"text": notification(first), "blocks": rich_texts(sections)}


def reason_asked(value: str, channel: str) -> Json:
    """Return the view that asks why a plan is rejected.

    Args:
        value: of the button.
        channel: in which the answer is given.
    """
    return {
        "type": "modal",
        "callback_id": REJECT,
        "private_metadata": f"{value} {channel}",
        "title": _plain_text("Reject"),
        "submit": _plain_text("Reject"),
        "close": _plain_text("Cancel"),
        "blocks": [
            {
                "type": "input",
                "block_id": REASON,
                "label": _plain_text("Why not?"),
                "hint": _plain_text("Kept in the timeline; policies learn from it."),
                "element": {
                    "type": "plain_text_input",
                    "action_id": REASON,
                    "multiline": True,
                    "min_length": 1,
                    "max_length": 1000,
                },
            }
        ],
    }


def notification(text: str) -> str:
    """Return one line for notifications, in which nothing is markup."""
    line = clean(text, NOTIFICATION_LENGTH, keep_end=False)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def rich_texts(sections: Sequence[Section]) -> list[Json]:
    """Return one block a section, as many as Slack takes; the first matter most."""
    blocks, left = [], MOST_CHARACTERS
    for section in sections:
        lines = _fitting(section.lines, min(SECTION_LENGTH, left))
        if not lines:
            break
        blocks.append(_rich_text(lines))
        left -= _length(lines)
    return blocks


def _fitting(lines: Sequence[Line], room: int) -> list[Line]:
    """Return the first lines that fit, and that some did not."""
    if _length(lines) <= room:
        return list(lines)
    kept: list[Line] = []
    for line in lines:
        if _length([*kept, line, _CUT]) > room:
            break
        kept.append(line)
    return [*kept, _CUT] if _length([*kept, _CUT]) <= room else []


def _length(lines: Sequence[Line]) -> int:
    return sum(len(plain(line)) + 1 for line in lines)


def _rich_text(lines: Sequence[Line]) -> Json:
    elements: list[Json] = []
    for place, line in enumerate(lines):
        if place:
            elements.append({"type": "text", "text": "\n"})
        elements += [_element(span) for span in line if span.text]
    return {
        "type": "rich_text",
        "elements": [{"type": "rich_text_section", "elements": elements}],
    }


def _element(span: Span) -> Json:
    element: Json = {"type": "text", "text": span.text}
    style = _STYLES.get(span.style)
    return element | {"style": style} if style else element


def _header(headline: str) -> Json:
    text = headline if len(headline) <= HEADER_LENGTH else headline[: HEADER_LENGTH - 1] + "…"
    return {"type": "header", "text": _plain_text(text)}


def _button(button: Button) -> Json:
    block: Json = {
        "type": "button",
        "action_id": button.choice.value,
        "text": _plain_text(button.label),
        "value": button.value,
    }
    if look := _LOOKS.get(button.choice):
        block["style"] = look
    if button.question:
        block["confirm"] = {
            "title": _plain_text(button.label),
            "text": _plain_text(button.question),
            "confirm": _plain_text(button.label),
            "deny": _plain_text("Cancel"),
            "style": "danger",
        }
    return block


def _plain_text(text: str) -> Json:
    return {"type": "plain_text", "text": text, "emoji": False}
