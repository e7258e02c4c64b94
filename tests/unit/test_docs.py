"""What the pages promise is there: links, headings, make targets, commands with their options."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from aftershock.cli.__main__ import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The page's headings, as links name them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in headings]
    return {heading.replace(" ", "-") for heading in words}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page)):
        file, _, heading = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not heading or heading in anchors(target), link


def test_every_page_is_linked_from_the_readme_or_a_page_that_is() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        links = re.findall(r"\]\((?!https?:)([^)#\s]+\.md)", page.read_text())
        waiting += [(page.parent / link).resolve() for link in links]
    assert {named(page) for page in PAGES} <= {named(page) for page in reached}


def code(page: Path) -> list[str]:
    """What stands between backticks, and every line of the page's blocks."""
    inline = re.findall(r"`([^`\n]+)`", prose(page))
    blocks = re.findall(r"```\w*\n(.*?)```", page.read_text(), flags=re.DOTALL)
    return inline + [line for block in blocks for line in block.splitlines()]


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    known = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    lines = [line for page in PAGES for line in code(page)]
    shown = {found[1] for line in lines if (found := re.match(r"make ([a-z-]+)", line))}
    assert {"demo", "demo-lineage", "test", "up", "bench-aggregator"} <= shown
    assert shown <= known


def leaf(line: str) -> str:
    """The command that a line calls, whose options are all its own; raises AssertionError."""
    command: Any = typer.main.get_command(app)
    names = []
    for word in re.sub(r"[\[\]]", " ", line).split():
        if word.startswith("-"):
            flags = [flag for each in command.params for flag in each.opts + each.secondary_opts]
            assert word in [*flags, "--help"], line
        elif hasattr(command, "commands"):
            command = command.get_command(None, word)
            assert command is not None, line
            names.append(word)
    return " ".join(names)


def leaves(command: Any, name: str = "") -> set[str]:
    if not hasattr(command, "commands"):
        return {name.strip()}
    parts = {part: command.get_command(None, part) for part in command.list_commands(None)}
    return set().union(*(leaves(found, f"{name} {part}") for part, found in parts.items()))


def test_every_command_that_a_page_shows_is_one_and_has_its_options() -> None:
    lines = [line for page in PAGES for line in code(page)]
    shown = [line for line in lines if re.match(r"aftershock [a-z]", line)]
    assert len(shown) > 20
    for line in shown:
        leaf(line.removeprefix("aftershock "))


def test_the_reference_has_every_command_and_no_other() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()
    told = set()
    for row in re.findall(r"^\| (`[a-z].*?) \| ", page, flags=re.MULTILINE):
        # A span that begins with a small letter begins a command; others go on with it.
        line = re.sub(r"`(?:, | or | )`(?=[^a-z])", " ", row)
        told |= {leaf(command) for command in re.findall(r"`([^`]+)`", line)}
    assert told == leaves(typer.main.get_command(app))
