"""The kill-switch guard of a model server: serves a killed feature at its baseline, and id lists
without masked ids.

guard = KillSwitchGuard(model="ads_ctr", features=schema.names)
guard.wait_ready(timeout=5.0)
...
prediction = predict(guard.apply(features, baselines))
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from aftershock._backoff import Backoff
from aftershock._channel import Channels, call_metadata, open_channel
from aftershock._environment import Endpoints, Environment, Service
from aftershock._errors import error_of_call
from aftershock._flags import Switches, switches
from aftershock._ids import NotIds
from aftershock._masking import without
from aftershock.v1.flag_sync_pb2 import FlagSyncRequest, FlagSyncResponse

__all__ = ["KillSwitchGuard"]

Value = TypeVar("Value")

_SYNC_FLAGS = "/flagd.sync.v1.FlagSyncService/SyncFlags"
_log = logging.getLogger("aftershock")


class KillSwitchGuard:
    """Follows the runbook's kill switches and masks for one model, on a thread of its own.

    What it knows changes only when the runbook says so: a broken stream, an unreachable runbook or
    a configuration that cannot be read never switches a feature back on. It opens the stream again
    by itself. Make it after a fork, not before.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        model: str,
        features: Iterable[str] | None = None,
        groups: Mapping[str, Iterable[str]] | None = None,
        on_change: Callable[[frozenset[str]], None] | None = None,
    ) -> None:
        """Start to follow.

        Args:
            address: of the runbook, `host:port`; otherwise AFTERSHOCK_RUNBOOK_ADDRESS, or
                AFTERSHOCK_ADDRESS.
            model: id of the model.
            features: that this server feeds the model; a kill of another one is logged and left
                out. All, if not given.
            groups: members by the name of each group in the checkpoint's manifest; a kill of a
                group is one of each of its members. `features` are then the members.
            on_change: called with what is killed, on the guard's thread, after each change.

        Raises:
            ConfigurationError: no address, or a TLS file that cannot be read.
        """
        environment = Environment.read()
        channels = Channels(Endpoints(environment, address), open_channel)
        self._channel = channels.to(Service.RUNBOOK)
        self._callee = channels.describe(Service.RUNBOOK)
        self._metadata = call_metadata(environment)
        self._model = model.removeprefix("models/")
        self._features = None if features is None else frozenset(features)
        self._groups = {name: frozenset(members) for name, members in (groups or {}).items()}
        self._on_change = on_change
        self._switches = Switches()
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._stream: Any = None
        self._complaints: set[str] = set()
        self._thread = threading.Thread(target=self._follow, name="aftershock-guard", daemon=True)
        self._thread.start()

    @property
    def killed(self) -> frozenset[str]:
        """The features that are switched off now, be it for all traffic or for part of it.

        Of a group, its members.
        """
        return self._switches.killed

    @property
    def masked(self) -> Mapping[str, frozenset[int]]:
        """The ids that are left out now, by id-list feature."""
        return self._switches.masked

    def is_killed(self, feature: str, key: str | None = None) -> bool:
        """Whether a feature is switched off now, for a request with this targeting key.

        While a kill is released by stages, a share of the keys is served the feature again; a
        request without a key is among the last.
        """
        switches = self._switches
        return feature in switches.killed and feature in switches.killed_for(key)

    def apply(
        self,
        features: Mapping[str, Value],
        baselines: Mapping[str, Value],
        *,
        key: str | None = None,
    ) -> Mapping[str, Value]:
        """Return `features` with killed ones at their baselines and lists without masked ids, for
        a request with this key.

        While nothing is killed and nothing masked, that is the same object, at no cost. A killed
        feature without a baseline keeps its value, and so does a masked one that holds no list of
        ids, which is logged: half a prediction is better than none.

        Args:
            features: as the request brought them. An id list is a sequence or an array of ids, with
                weights a pair `(ids, weights)`, of a batch a list of those or an Arrow array; a
                list that loses its last id becomes an empty one.
            baselines: by feature.
            key: tells requests apart while a kill is released by stages; a user's id, for example,
                so that one user sees one behaviour.
        """
        # Read once: the guard's thread replaces it, and never changes it.
        switches = self._switches
        if switches.nothing:
            return features
        killed = switches.killed_for(key)
        replaced = {f: baselines[f] for f in killed if f in features and f in baselines}
        if len(replaced) != len(killed):
            self._complain_of_baselines(killed & features.keys() - baselines.keys())
        for feature in switches.masked.keys() & features.keys() - replaced.keys():
            value = self._without_masked(feature, features[feature], switches.masked[feature])
            if value is not features[feature]:
                replaced[feature] = value
        return {**features, **replaced} if replaced else features

    def _without_masked(self, feature: str, value: Value, masked: frozenset[int]) -> Value:
        try:
            return without(value, masked)  # type: ignore[no-any-return]
        except NotIds as error:
            self._complain(f"ids {feature}", f"ids of {feature} stay as they are: {error}")
            return value

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until the runbook has said what is killed; return whether it has."""
        return self._ready.wait(timeout)

    def close(self) -> None:
        """Stop following. What is killed stays as last known."""
        self._closing.set()
        if self._stream is not None:
            self._stream.cancel()
        self._thread.join()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _follow(self) -> None:
        backoff = Backoff()
        while not self._closing.is_set():
            try:
                for response in self._open_stream():
                    backoff.reset()
                    self._take(response.flag_configuration)
                    self._complaints.discard("stream")
            except grpc.RpcError as error:
                self._complain("stream", str(error_of_call(error, self._callee)))
            except Exception:
                # Whatever it is, a guard that stops following would miss the next kill.
                _log.exception("unexpected error; trying again")
            self._closing.wait(backoff.pause())

    def _open_stream(self) -> Iterator[FlagSyncResponse]:
        call = self._channel.unary_stream(
            _SYNC_FLAGS, FlagSyncRequest.SerializeToString, FlagSyncResponse.FromString
        )
        request = FlagSyncRequest(provider_id="aftershock-guard", selector=self._model)
        stream = self._stream = call(request, metadata=self._metadata)
        if self._closing.is_set():
            # Closed in between, when there was no stream to cancel yet.
            stream.cancel()
        return stream

    def _take(self, configuration: str) -> None:
        try:
            found = switches(configuration, self._model).of_members(self._groups)
        except ValueError as error:
            self._complain("configuration", f"kill switches stay as they are: {error}")
            return
        touched = found.killed | found.masked.keys()
        if self._features is not None and not touched <= self._features:
            strangers = ", ".join(sorted(touched - self._features))
            self._complain(strangers, f"killed but not served here, so not killed: {strangers}")
            found = found.among(self._features)
        changed, self._switches = found != self._switches, found
        self._ready.set()
        if changed:
            _log.warning("kill switches of %s: %s", self._model, _told(found))
            self._tell(found.killed)

    def _tell(self, killed: frozenset[str]) -> None:
        if self._on_change is None:
            return
        try:
            self._on_change(killed)
        except Exception:
            # The callback is the caller's; the guard has to go on.
            _log.exception("on_change failed")

    def _complain_of_baselines(self, features: Iterable[str]) -> None:
        for feature in features:
            self._complain(f"baseline {feature}", f"no baseline of {feature}: it stays as it is")

    def _complain(self, kind: str, message: str) -> None:
        """Log once a kind."""
        if kind not in self._complaints and not self._closing.is_set():
            self._complaints.add(kind)
            _log.warning("%s", message)


def _told(found: Switches) -> str:
    off = [
        f"{feature} ({found.shares[feature].percent} % served)"
        if feature in found.shares
        else feature
        for feature in sorted(found.killed)
    ]
    without_ids = [
        f"{feature} without {', '.join(map(str, sorted(ids)))}"
        for feature, ids in sorted(found.masked.items())
    ]
    return ", ".join((*off, *without_ids)) or "none"
