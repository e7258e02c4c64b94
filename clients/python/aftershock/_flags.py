"""Kill switches and masks in a flagd configuration."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aftershock._murmur import murmur3

_KEY = {"var": "targetingKey"}


@dataclass(frozen=True)
class Share:
    """The part of traffic that is served a killed feature again."""

    seed: str
    """Tells requests apart in the same way for all features of one mitigation."""
    percent: int

    def holds(self, key: str) -> bool:
        """Whether a request with this targeting key is served the feature.

        flagd's fractional evaluation: the key's hash, scaled to the sum of weights, 100.
        """
        return murmur3(_cbor_text(self.seed + key)) * 100 >> 32 < self.percent


@dataclass(frozen=True)
class Switches:
    """What is switched off of one model."""

    killed: frozenset[str] = frozenset()
    """For all traffic, or for all but a share."""
    shares: Mapping[str, Share] = field(default_factory=dict)
    """Of killed features that some traffic is served again."""
    masked: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Ids that are left out, by id-list feature."""
    nothing: bool = field(init=False)
    """Neither is anything killed nor masked. Known beforehand: a server asks for each request."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nothing", not (self.killed or self.masked))

    def killed_for(self, key: str | None) -> frozenset[str]:
        """Return the features that are off for a request; all of them if it has no key."""
        if not self.shares or key is None:
            return self.killed
        return self.killed - {f for f, share in self.shares.items() if share.holds(key)}

    def of_members(self, groups: Mapping[str, frozenset[str]]) -> "Switches":
        """Return the switches with each of the groups replaced by its members.

        A member that is switched off on its own, too, has no share: off too often does less harm.
        """
        if not self.killed & groups.keys():
            return self
        members = {f: groups.get(f, frozenset({f})) for f in self.killed}
        times = Counter(m for some in members.values() for m in some)
        shares = {m: share for f, share in self.shares.items() for m in members[f] if times[m] == 1}
        return Switches(frozenset(times), shares, self.masked)

    def among(self, features: frozenset[str]) -> "Switches":
        """Return the switches of these features only."""
        masked = {f: ids for f, ids in self.masked.items() if f in features}
        return replace(self, killed=self.killed & features, masked=masked)


def switches(configuration: str, model: str) -> Switches:
    """Return what a flagd configuration switches off of `model`.

    A flag `aftershock.kill.{model}.{feature}` kills while it is enabled and its default variant
    is true; the default variant of `aftershock.mask.{model}.{feature}` tells which ids are left out
    of the feature's lists, as `{"ids": ["4711"]}`.

    Of targeting rules, those that the runbook writes are understood; a flag with another one kills
    for all: a feature that is off too often does less harm than a broken one.

    Raises:
        ValueError: the configuration is not flagd's JSON.
    """
    try:
        flags = dict(_kills(json.loads(configuration)["flags"], f"aftershock.kill.{model}."))
        shares = {f: share for f, flag in flags.items() if (share := _share(flag))}
        masked = dict(_masks(json.loads(configuration)["flags"], f"aftershock.mask.{model}."))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a flagd configuration: {error!r}") from error
    return Switches(frozenset(flags), shares, masked)


def _kills(flags: dict[str, dict[str, Any]], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, flag in flags.items():
        if not key.startswith(prefix):
            continue
        kills = flag["variants"][flag["defaultVariant"]] is True
        if kills and flag.get("state") == "ENABLED":
            yield key.removeprefix(prefix), flag


def _masks(flags: dict[str, dict[str, Any]], prefix: str) -> Iterator[tuple[str, frozenset[int]]]:
    for key, flag in flags.items():
        if not key.startswith(prefix) or flag.get("state") != "ENABLED":
            continue
        if ids := frozenset(map(int, flag["variants"][flag["defaultVariant"]]["ids"])):
            yield key.removeprefix(prefix), ids


def _share(flag: Mapping[str, Any]) -> Share | None:
    match flag.get("targeting"):
        case {
            "if": [
                {"var": "targetingKey"},
                {"fractional": [{"cat": [str(seed), key]}, ["off", int(percent)], ["on", int()]]},
                "on",
            ]
        } if key == _KEY:
            return Share(seed, percent)
    return None


def _cbor_text(text: str) -> bytes:
    """Return a text as canonical CBOR, which is what flagd hashes."""
    content = text.encode()
    size = len(content)
    if size < 24:
        head = bytes([0x60 + size])
    elif size < 0x100:
        head = bytes([0x78, size])
    else:
        head = b"\x79" + size.to_bytes(2, "big")
    return head + content
