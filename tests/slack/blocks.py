"""Says what Slack would refuse in Block Kit: one line a fault, with its JSON pointer."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.slack import limits
from tests.slack.checks import any_text, count, fields, plain, text
from tests.slack.rich_text import rich_text

Json = Any
Check = Callable[[Json, str], Iterator[str]]


def faults_of_message(blocks: Json) -> list[str]:
    """Return what is wrong with a message's blocks."""
    return [*_blocks(blocks, limits.BLOCKS_IN_MESSAGE, _IN_MESSAGE)]


def faults_of_view(view: Json) -> list[str]:
    """Return what is wrong with a modal."""
    return [*_view(view)]


def characters(node: Json) -> int:
    """Return how many characters of text there are in blocks."""
    if isinstance(node, dict):
        own = len(node["text"]) if isinstance(node.get("text"), str) else 0
        return own + sum(characters(value) for value in node.values())
    if isinstance(node, list):
        return sum(map(characters, node))
    return 0


def _blocks(blocks: Json, most: int, kinds: Mapping[Json, Check]) -> Iterator[str]:
    if not isinstance(blocks, list):
        yield "/blocks: must be a list"
        return
    if len(blocks) > most:
        yield f"/blocks: no more than {most} items allowed"
    ids: set[str] = set()
    for place, block in enumerate(blocks):
        where = f"/blocks/{place}"
        kind = block.get("type") if isinstance(block, dict) else None
        if kind not in kinds:
            yield f"{where}/type: unsupported block: {kind!r}"
            continue
        yield from kinds[kind](block, where)
        block_id = block.get("block_id")
        if block_id is not None:
            yield from text(block_id, f"{where}/block_id", limits.ID)
            if block_id in ids:
                yield f"{where}/block_id: must be unique: {block_id!r}"
            ids.add(block_id)


def _header(block: Json, where: str) -> Iterator[str]:
    yield from fields(block, where, {"type", "text"}, {"block_id"})
    yield from plain(block.get("text"), f"{where}/text", limits.HEADER)


def _divider(block: Json, where: str) -> Iterator[str]:
    yield from fields(block, where, {"type"}, {"block_id"})


def _section(block: Json, where: str) -> Iterator[str]:
    yield from fields(block, where, {"type"}, {"block_id", "text", "fields", "accessory", "expand"})
    if "text" not in block and "fields" not in block:
        yield f"{where}: either text or fields is required"
    if "text" in block:
        yield from any_text(block["text"], f"{where}/text", limits.SECTION_TEXT)
    if "fields" in block:
        yield from count(block["fields"], f"{where}/fields", limits.SECTION_FIELDS)
    for place, field in enumerate(block.get("fields", [])):
        yield from any_text(field, f"{where}/fields/{place}", limits.SECTION_FIELD)
    if "accessory" in block:
        yield from _element(block["accessory"], f"{where}/accessory")


def _context(block: Json, where: str) -> Iterator[str]:
    yield from fields(block, where, {"type", "elements"}, {"block_id"})
    yield from count(block.get("elements"), f"{where}/elements", limits.CONTEXT)
    for place, element in enumerate(block.get("elements", [])):
        at = f"{where}/elements/{place}"
        if isinstance(element, dict) and element.get("type") == "image":
            yield from _image_element(element, at)
        else:
            yield from any_text(element, at, limits.SECTION_TEXT)


def _actions(block: Json, where: str) -> Iterator[str]:
    yield from fields(block, where, {"type", "elements"}, {"block_id"})
    yield from count(block.get("elements"), f"{where}/elements", limits.ACTIONS)
    ids: set[Json] = set()
    for place, element in enumerate(block.get("elements", [])):
        yield from _element(element, f"{where}/elements/{place}")
        action_id = element.get("action_id") if isinstance(element, dict) else None
        if action_id is not None and action_id in ids:
            yield f"{where}/elements/{place}/action_id: must be unique in its block: {action_id!r}"
        ids.add(action_id)


def _element(node: Json, where: str) -> Iterator[str]:
    kind = node.get("type") if isinstance(node, dict) else None
    if kind == "button":
        yield from _button(node, where)
    elif kind == "image":
        yield from _image_element(node, where)
    else:
        yield f"{where}/type: unsupported element: {kind!r}"


def _button(node: Json, where: str) -> Iterator[str]:
    optional = {"action_id", "value", "url", "style", "confirm", "accessibility_label"}
    yield from fields(node, where, {"type", "text"}, optional)
    yield from plain(node.get("text"), f"{where}/text", limits.BUTTON_TEXT)
    for name, most in (
        ("action_id", limits.ID),
        ("value", limits.BUTTON_VALUE),
        ("url", limits.URL),
        ("accessibility_label", limits.BUTTON_TEXT),
    ):
        if name in node:
            yield from text(node[name], f"{where}/{name}", most)
    if node.get("style", "primary") not in {"primary", "danger"}:
        yield f"{where}/style: must be primary or danger"
    if "confirm" in node:
        yield from _confirm(node["confirm"], f"{where}/confirm")


def _confirm(node: Json, where: str) -> Iterator[str]:
    yield from fields(node, where, {"title", "text", "confirm", "deny"}, {"style"})
    if not isinstance(node, dict):
        return
    yield from plain(node.get("title"), f"{where}/title", limits.CONFIRM_TITLE)
    yield from any_text(node.get("text"), f"{where}/text", limits.CONFIRM_TEXT)
    for name in ("confirm", "deny"):
        yield from plain(node.get(name), f"{where}/{name}", limits.CONFIRM_BUTTON)
    if node.get("style", "primary") not in {"primary", "danger"}:
        yield f"{where}/style: must be primary or danger"


def _image_element(node: Json, where: str) -> Iterator[str]:
    yield from fields(node, where, {"type", "alt_text"}, {"image_url", "slack_file"})
    yield from text(node.get("alt_text"), f"{where}/alt_text", limits.ALT_TEXT)
    if ("image_url" in node) == ("slack_file" in node):
        yield f"{where}: exactly one of image_url and slack_file is required"


def _image(block: Json, where: str) -> Iterator[str]:
    optional = {"block_id", "title", "image_url", "slack_file"}
    yield from fields(block, where, {"type", "alt_text"}, optional)
    yield from text(block.get("alt_text"), f"{where}/alt_text", limits.ALT_TEXT)
    if "title" in block:
        yield from plain(block["title"], f"{where}/title", limits.IMAGE_TITLE)
    if ("image_url" in block) == ("slack_file" in block):
        yield f"{where}: exactly one of image_url and slack_file is required"


def _input(block: Json, where: str) -> Iterator[str]:
    optional = {"block_id", "hint", "optional", "dispatch_action"}
    yield from fields(block, where, {"type", "label", "element"}, optional)
    yield from plain(block.get("label"), f"{where}/label", limits.LABEL)
    if "hint" in block:
        yield from plain(block["hint"], f"{where}/hint", limits.LABEL)
    yield from _text_input(block.get("element"), f"{where}/element")


def _text_input(node: Json, where: str) -> Iterator[str]:
    optional = {
        "action_id",
        "initial_value",
        "multiline",
        "min_length",
        "max_length",
        "placeholder",
        "focus_on_load",
        "dispatch_action_config",
    }
    yield from fields(node, where, {"type"}, optional)
    if not isinstance(node, dict) or node.get("type") != "plain_text_input":
        yield f"{where}/type: unsupported element"
        return
    if "placeholder" in node:
        yield from plain(node["placeholder"], f"{where}/placeholder", limits.PLACEHOLDER)
    for name in ("min_length", "max_length"):
        if not 0 <= node.get(name, 1) <= limits.INPUT:
            yield f"{where}/{name}: must be between 0 and {limits.INPUT}"


def _view(view: Json) -> Iterator[str]:
    optional = {
        "submit",
        "close",
        "private_metadata",
        "callback_id",
        "clear_on_close",
        "notify_on_close",
        "external_id",
    }
    yield from fields(view, "", {"type", "title", "blocks"}, optional)
    if not isinstance(view, dict):
        return
    if view.get("type") != "modal":
        yield "/type: must be modal"
    for name in ("title", "submit", "close"):
        if name in view:
            yield from plain(view[name], f"/{name}", limits.VIEW_TITLE)
    if "callback_id" in view:
        yield from text(view["callback_id"], "/callback_id", limits.ID)
    if "private_metadata" in view:
        yield from text(view["private_metadata"], "/private_metadata", limits.PRIVATE_METADATA, 0)
    blocks = view.get("blocks", [])
    yield from _blocks(blocks, limits.BLOCKS_IN_VIEW, _IN_VIEW)
    if (
        any(isinstance(b, dict) and b.get("type") == "input" for b in blocks)
        and "submit" not in view
    ):
        yield "/submit: required where there are inputs"


_IN_MESSAGE: Mapping[Json, Check] = {
    "actions": _actions,
    "context": _context,
    "divider": _divider,
    "header": _header,
    "image": _image,
    "rich_text": rich_text,
    "section": _section,
}
_IN_VIEW: Mapping[Json, Check] = {**_IN_MESSAGE, "input": _input}
