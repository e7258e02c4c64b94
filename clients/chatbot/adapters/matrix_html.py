"""Cards, notes, pictures and answers as Matrix messages: HTML, and plain text beside it. Pure.

Everything from outside is escaped, and an invisible mark parts what clients and servers look for in
text: mentions, ids, links. `m.mentions` says whom a message calls: the one who is answered.
"""

import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from clients.chatbot.adapters.matrix_says import REACTIONS
from clients.chatbot.core.card import MARKS, Button, Card, Choice, Note, Picture, Section, kept
from clients.chatbot.core.text import Line, Span, Style, plain, say

MOST_BYTES = 40_000
"""Of text, plain and HTML, as JSON. An event has at most 65,536 bytes, edits included."""
_PART = "\u2060"
_LIVELY = re.compile(
    # Who is told their identity copies it into the roster: it stays whole.
    r"(?<!matrix:@)(?<=[@#!$])(?=\w)|(?<=:)(?=//)|(?<=\b[Ww][Ww][Ww])(?=\.)|(?<=mailto)(?=:)"
)
_QUOTATION = re.compile("^(?=>)", re.MULTILINE)
_TAGS = {Style.STRONG: "strong", Style.NAME: "code"}
_CUT: Line = (Span("… cut short: `details`, or the command line, has the rest."),)
_NOTICE, _TEXT = "m.notice", "m.text"

Json = dict[str, Any]


def message_of(card: Card) -> Json:
    """Return the content of the message about an incident."""
    headline = f"{MARKS[card.mood]} {card.headline}"
    sections = kept((Section(((Span(headline, Style.STRONG),),)), *card.sections))
    # The way to answer comes first where not everything fits.
    invitation = _invitation(card.buttons)
    body, html = _rendered(sections, MOST_BYTES - _bytes(*_rendered([invitation])))
    tail, tail_html = _rendered([invitation] if invitation.lines else [])
    return _content(_TEXT, f"{body}\n\n{tail}".strip(), html + tail_html)


def headline_of(card: Card) -> str:
    """Return one plain line, for who cannot see edits."""
    return _harmless(f"* {MARKS[card.mood]} {card.headline}")


def note_of(note: Note) -> Json:
    """Return the content of a message in a thread."""
    return _content(_NOTICE, *_rendered([Section(note.lines)]))


def picture_of(picture: Picture, name: str, address: str) -> Json:
    """Return the content of a plot in a thread; its text is what it shows.

    Args:
        picture: the plot.
        name: of the file.
        address: `mxc://...`, where the server keeps it.
    """
    width, height = (int.from_bytes(picture.png[at : at + 4]) for at in (16, 20))
    return {
        "msgtype": "m.image",
        "body": _harmless(picture.alt_text),
        "filename": name,
        "url": address,
        "info": {"mimetype": "image/png", "size": len(picture.png), "w": width, "h": height},
        "m.mentions": {},
    }


def answer_of(sections: Sequence[Section], who: str) -> Json:
    """Return the content of an answer, which calls only who is answered."""
    body, html = _rendered(sections)
    link = f"https://matrix.to/#/{quote(who, safe='')}"
    pill = f'<a href="{escape(link)}">{escape(who)}</a>'
    content = _content(_NOTICE, f"{who}: {body}", f"<p>{pill}:</p>{html}")
    return content | {"m.mentions": {"user_ids": [who]}}


def _invitation(buttons: Sequence[Button]) -> Section:
    if not buttons:
        return Section(())
    react = " · ".join(f"{REACTIONS[button.choice]} {button.label}" for button in buttons)
    words = (f"{b.choice}{' REASON' * (b.choice is Choice.REJECT)}" for b in buttons)
    return Section(((say(f"React with {react}"),), (say(f"or reply {' / '.join(words)}"),)))


def _content(kind: str, body: str, html: str) -> Json:
    return {
        "msgtype": kind,
        "body": body,
        "format": "org.matrix.custom.html",
        "formatted_body": html,
        "m.mentions": {},
    }


def _rendered(sections: Sequence[Section], room: int = MOST_BYTES) -> tuple[str, str]:
    """Return plain text and HTML, as much as there is room for; the first lines matter most."""
    left = room - _bytes(*_of([_CUT]))
    texts, htmls = [], []
    for section in sections:
        lines: list[Line] = []
        for line in section.lines:
            left -= _bytes(*_of([line]))
            lines.append(line if left >= 0 else _CUT)
            if left < 0:
                break
        text, html = _of(lines)
        texts.append(text)
        htmls.append(html)
        if left < 0:
            break
    return "\n\n".join(texts), "".join(htmls)


def _of(lines: Sequence[Line]) -> tuple[str, str]:
    """Return a paragraph as plain text and as HTML."""
    text = _QUOTATION.sub(_PART, "\n".join(_harmless(plain(line)) for line in lines))
    return text, f"<p>{'<br>'.join(''.join(map(_span, line)) for line in lines)}</p>"


def _span(span: Span) -> str:
    text = escape(_harmless(span.text))
    tag = _TAGS.get(span.style)
    return f"<{tag}>{text}</{tag}>" if tag else text


def _harmless(text: str) -> str:
    return _LIVELY.sub(_PART, text)


def _bytes(*texts: str) -> int:
    return sum(len(json.dumps(text, ensure_ascii=False).encode()) for text in texts)
