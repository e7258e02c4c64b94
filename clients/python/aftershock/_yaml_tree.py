"""A YAML file that people wrote, with the line of each of its parts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aftershock._errors import ConfigurationError

_NULL = "tag:yaml.org,2002:null"


@dataclass
class Problems:
    """Everything that is wrong with a file."""

    file: str
    found: list[str] = field(default_factory=list)

    def add(self, line: int, path: str, text: str) -> None:
        """Say what is wrong on a line."""
        place = f"{path}: " if path else ""
        self.found.append(f"{self.file}:{line}: {place}{text}")


@dataclass(frozen=True)
class Branch:
    """One part of the file."""

    node: Any
    """A node of PyYAML's."""
    path: str
    problems: Problems

    @property
    def line(self) -> int:
        """The line that it begins on, from 1."""
        return int(self.node.start_mark.line) + 1

    @property
    def is_mapping(self) -> bool:
        """Whether it has keys."""
        return bool(self.node.id == "mapping")

    def complain_here(self, text: str) -> None:
        """Say what is wrong with this part."""
        self.problems.add(self.line, self.path, text)

    def complain(self, key: str, text: str) -> None:
        """Say what is wrong with the value of a key, or with its absence."""
        self.at(key).complain_here(text)

    def at(self, key: str) -> "Branch":
        """Return the value of a key, or this part if it has no such key."""
        found = self._members().get(key)
        return self if found is None else Branch(found, self._below(key), self.problems)

    def only(self, *keys: str) -> None:
        """Complain of other keys."""
        for key in self._members():
            if key not in keys:
                self.complain(key, f"is not known here: one of {', '.join(keys)}")

    def text(self, key: str) -> str:
        """Return the text of a key, empty without one."""
        found = self._members().get(key)
        return "" if found is None else Branch(found, self._below(key), self.problems).as_text()

    def required(self, key: str) -> str:
        """Return the text of a key, and complain if there is none."""
        text = self.text(key)
        if not text and not self._has_problem(key):
            self.complain(key, f"needs `{key}`")
        return text

    def as_text(self) -> str:
        """Return this part as text, empty and complaining if it is none."""
        if self.node.id == "scalar" and self.node.tag != _NULL:
            return str(self.node.value)
        self.complain_here("is no text")
        return ""

    def number(self, key: str, default: int) -> int:
        """Return the whole number of a key."""
        found = self.decimal(key)
        return default if found is None else int(found)

    def decimal(self, key: str) -> float | None:
        """Return the number of a key, None without one."""
        if not self.is_mapping or key not in self._members():
            return None
        text = self.text(key)
        try:
            return float(text)
        except ValueError:
            self.complain(key, f"{text!r} is no number")
            return None

    def items(self, key: str) -> Iterator["Branch"]:
        """Yield the items of a list, none without one."""
        found = self._members().get(key)
        if found is None or found.tag == _NULL:
            return
        if found.id != "sequence":
            self.complain(key, "is no list: write its items as `- item`, or in brackets")
            return
        for number, item in enumerate(found.value):
            yield Branch(item, f"{self._below(key)}[{number}]", self.problems)

    def branches(self, key: str) -> Iterator["Branch"]:
        """Yield the items of a list that have keys, and complain of others."""
        for item in self.items(key):
            if item.is_mapping:
                yield item
            else:
                item.complain_here("has no keys")

    def _members(self) -> dict[str, Any]:
        if not self.is_mapping:
            return {}
        return {str(key.value): value for key, value in self.node.value}

    def _below(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _has_problem(self, key: str) -> bool:
        place = f": {self._below(key)}: "
        return any(place in problem for problem in self.problems.found)


def read_tree(text: str, problems: Problems) -> Branch | None:
    """Return the file's root, or None after saying what is wrong.

    Raises:
        ConfigurationError: the extra `lineage` is missing.
    """
    try:
        import yaml  # noqa: PLC0415 - needs the extra
    except ImportError as error:
        raise ConfigurationError(
            f"reading YAML needs PyYAML ({error}): pip install 'aftershock[lineage]'"
        ) from error
    try:
        root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add(mark.line + 1 if mark else 1, "", f"is no YAML: {error.problem}")
        return None
    except yaml.YAMLError as error:
        problems.add(1, "", f"is no YAML: {error}")
        return None
    if root is None or root.id != "mapping":
        problems.add(1, "", "holds no keys: see docs/reference/lineage.md")
        return None
    return Branch(root, "", problems)
