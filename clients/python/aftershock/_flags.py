"""Kill switches in a flagd configuration."""

import json
from collections.abc import Iterator
from typing import Any


def killed_features(configuration: str, model: str) -> frozenset[str]:
    """Return the features of `model` that a flagd configuration switches off.

    A flag `aftershock.kill.{model}.{feature}` kills while it is enabled and its default variant
    is true.

    Raises:
        ValueError: the configuration is not flagd's JSON.
    """
    try:
        flags = json.loads(configuration)["flags"]
        return frozenset(_killed(flags, f"aftershock.kill.{model}."))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a flagd configuration: {error!r}") from error


def _killed(flags: dict[str, dict[str, Any]], prefix: str) -> Iterator[str]:
    for key, flag in flags.items():
        if not key.startswith(prefix):
            continue
        kills = flag["variants"][flag["defaultVariant"]] is True
        if kills and flag.get("state") == "ENABLED":
            yield key.removeprefix(prefix)
