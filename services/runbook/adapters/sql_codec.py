"""Domain values as JSON text."""

import json
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


class Codec(Generic[T]):
    """Writes and reads one type. Infinite numbers survive, which JSON columns would refuse."""

    def __init__(self, of: Any) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(of)

    def dump(self, value: T) -> str:
        """Return the value as text."""
        return json.dumps(self._adapter.dump_python(value, mode="json"), ensure_ascii=False)

    def load(self, text: str) -> T:
        """Return the value of a text that `dump` wrote."""
        return self._adapter.validate_python(json.loads(text))
