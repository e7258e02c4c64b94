"""Domain values as JSON text."""

import json
from functools import lru_cache
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")
_REMEMBERED = 256


class Codec(Generic[T]):
    """Writes and reads one type. Infinite numbers survive, which JSON columns would refuse.

    Domain values never change, so that equal texts may be read as one value: an incident is read
    several times between an expert's yes and its effect.
    """

    def __init__(self, of: Any) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(of)
        self._read = lru_cache(_REMEMBERED)(self._parse)

    def dump(self, value: T) -> str:
        """Return the value as text."""
        return json.dumps(self._adapter.dump_python(value, mode="json"), ensure_ascii=False)

    def load(self, text: str) -> T:
        """Return the value of a text that `dump` wrote."""
        return self._read(text)

    def _parse(self, text: str) -> T:
        return self._adapter.validate_python(json.loads(text))
