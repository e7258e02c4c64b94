"""Says what Slack would refuse in a rich_text block, whose text it never interprets."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.slack import limits
from tests.slack.checks import fields, text

Json = Any
_STYLES = frozenset({"bold", "italic", "strike", "code", "underline"})


def rich_text(block: Json, where: str) -> Iterator[str]:
    """What is wrong with a rich_text block."""
    yield from fields(block, where, {"type", "elements"}, {"block_id"})
    for place, element in enumerate(_listed(block)):
        at = f"{where}/elements/{place}"
        kind = element.get("type") if isinstance(element, dict) else None
        if kind == "rich_text_list":
            yield from fields(
                element, at, {"type", "style", "elements"}, {"indent", "offset", "border"}
            )
            for inner, item in enumerate(_listed(element)):
                yield from _rich_section(item, f"{at}/elements/{inner}")
        elif kind in {"rich_text_section", "rich_text_quote", "rich_text_preformatted"}:
            yield from _rich_section(element, at)
        else:
            yield f"{at}/type: unsupported element: {kind!r}"
    if not _listed(block):
        yield f"{where}/elements: must be a list of at least one item"


def _rich_section(node: Json, where: str) -> Iterator[str]:
    yield from fields(node, where, {"type", "elements"}, {"border"})
    if not _listed(node):
        yield f"{where}/elements: must be a list of at least one item"
    for place, element in enumerate(_listed(node)):
        yield from _rich_element(element, f"{where}/elements/{place}")


def _rich_element(node: Json, where: str) -> Iterator[str]:
    kinds: Mapping[Json, tuple[set[str], set[str]]] = {
        "text": ({"type", "text"}, {"style"}),
        "link": ({"type", "url"}, {"text", "style", "unsafe"}),
        "emoji": ({"type", "name"}, {"unicode", "style"}),
        "user": ({"type", "user_id"}, {"style"}),
        "channel": ({"type", "channel_id"}, {"style"}),
        "usergroup": ({"type", "usergroup_id"}, {"style"}),
        "broadcast": ({"type", "range"}, {"style"}),
        "date": ({"type", "timestamp", "format"}, {"url", "fallback", "style"}),
    }
    kind = node.get("type") if isinstance(node, dict) else None
    if kind not in kinds:
        yield f"{where}/type: unsupported element: {kind!r}"
        return
    yield from fields(node, where, *kinds[kind])
    if kind == "text":
        yield from text(node.get("text"), f"{where}/text", limits.CHARACTERS_IN_BLOCKS)
    for style, value in node.get("style", {}).items():
        if style not in _STYLES or not isinstance(value, bool):
            yield f"{where}/style/{style}: unknown style"


def _listed(node: Json) -> Sequence[Json]:
    elements = node.get("elements") if isinstance(node, dict) else None
    return elements if isinstance(elements, list) else []
