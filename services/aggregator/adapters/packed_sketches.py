"""Value sketches, profiles and counts as bytes: deflated, once what deflating misses is done.

Keys rise within a row, so their differences are small; and small numbers are mostly zero bytes,
which lie together once all first bytes come first, then all second ones, and so on.
"""

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.profile import Profile
from services.aggregator.domain.sketch import Ragged, Sketch

_LENGTHS = struct.Struct("<8I")
_PREDICTIONS = struct.Struct("<dd")
_PROFILE = struct.Struct("<Q")
_LENGTH = struct.Struct("<I")
_QUICK, _SMALL = 1, 6


def pack_sketch(sketch: Sketch) -> bytes:
    """Return the sketch; quickly, for it is kept for as long as its window takes examples."""
    predictions = _PREDICTIONS.pack(sketch.prediction_mean, sketch.prediction_squares)
    parts = [
        _planes(sketch.baseline_counts, "<u4"),
        *_ragged_parts(sketch.buckets, "<i2"),
        *_ragged_parts(sketch.hitters, "<i8"),
        sketch.moments.astype("<f8", copy=False).tobytes(),
    ]
    return predictions + _deflated(parts, _QUICK)


def unpack_sketch(value: bytes) -> Sketch:
    """Return the sketch of bytes that a checksum covers."""
    mean, squares = _PREDICTIONS.unpack_from(value)
    parts = _inflated(value[_PREDICTIONS.size :])
    return Sketch(
        baseline_counts=parts.planes("<u4").astype(np.uint32),
        buckets=_ragged(parts, "<i2"),
        hitters=_ragged(parts, "<i8"),
        moments=np.frombuffer(parts.next(), "<f8").reshape(-1, 3),
        prediction_mean=mean,
        prediction_squares=squares,
    )


def pack_counts(counts: NDArray[np.uint32]) -> bytes:
    """Return the counts, behind the number of bytes that they take."""
    deflated = zlib.compress(_planes(counts, "<u4"), _QUICK)
    return _LENGTH.pack(len(deflated)) + deflated


def unpack_counts(value: bytes) -> tuple[NDArray[np.uint32], bytes]:
    """Return the counts that the bytes begin with, and the rest of the bytes."""
    end = _LENGTH.size + _LENGTH.unpack_from(value)[0]
    planes = zlib.decompress(value[_LENGTH.size : end])
    return _Parts(planes, [len(planes)]).planes("<u4").astype(np.uint32), value[end:]


def pack_profile(profile: Profile) -> bytes:
    """Return the profile; small, for it is kept for days. Shares of SCALE fit sixteen bits."""
    parts = [
        _planes(profile.baseline_rate, "<f4"),
        *_ragged_parts(profile.buckets, "<i2", "<u2"),
        *_ragged_parts(profile.hitters, "<i8"),
        _planes(profile.correlations, "<f4"),
    ]
    return _PROFILE.pack(profile.example_count) + _deflated(parts, _SMALL)


def unpack_profile(value: bytes) -> Profile:
    """Return the profile of bytes that a checksum covers."""
    parts = _inflated(value[_PROFILE.size :])
    return Profile(
        example_count=_PROFILE.unpack_from(value)[0],
        baseline_rate=parts.planes("<f4").astype(np.float32),
        buckets=_ragged(parts, "<i2", "<u2"),
        hitters=_ragged(parts, "<i8"),
        correlations=parts.planes("<f4").astype(np.float32),
    )


@dataclass
class _Parts:
    """Byte strings to be taken one after the other."""

    payload: bytes
    lengths: list[int]
    place: int = 0

    def next(self) -> bytes:
        """Take the next one."""
        length = self.lengths.pop(0)
        self.place += length
        return self.payload[self.place - length : self.place]

    def planes(self, dtype: str) -> NDArray[np.generic]:
        """Take an array whose bytes were sorted by `_planes`."""
        size = np.dtype(dtype).itemsize
        planes = np.frombuffer(self.next(), np.uint8).reshape(size, -1)
        # Shifted into each other, which is ten times as quick as turning the bytes around.
        numbers = planes[-1].astype(f"u{size}")
        for plane in planes[-2::-1]:
            numbers <<= 8
            numbers |= plane
        return np.asarray(numbers.view(np.dtype(dtype).newbyteorder("=")))


def _deflated(parts: list[bytes], level: int) -> bytes:
    lengths = _LENGTHS.pack(*map(len, parts), *([0] * (8 - len(parts))))
    return lengths + zlib.compress(b"".join(parts), level)


def _inflated(value: bytes) -> _Parts:
    lengths = _LENGTHS.unpack_from(value)
    return _Parts(zlib.decompress(value[_LENGTHS.size :]), list(lengths))


def _planes(array: NDArray[np.generic], dtype: str) -> bytes:
    """Return the array's bytes: the first of each number, then the second of each, and so on."""
    exact = np.ascontiguousarray(array, dtype=dtype)
    return exact.view(np.uint8).reshape(-1, exact.itemsize).T.tobytes()


def _ragged_parts(ragged: Ragged, dtype: str, counts: str = "<u4") -> list[bytes]:
    # Differences wrap around where a row begins, and back again when they are summed up.
    differences = np.diff(ragged.keys, prepend=ragged.keys.dtype.type(0))
    return [
        _planes(np.diff(ragged.offsets), "<u4"),
        _planes(differences, dtype),
        _planes(ragged.counts, counts),
    ]


def _ragged(parts: _Parts, dtype: str, counts: str = "<u4") -> Ragged:
    lengths = parts.planes("<u4")
    offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.uint32))).astype(np.uint32)
    differences = parts.planes(dtype)
    keys = np.cumsum(differences, dtype=differences.dtype)
    return Ragged(offsets, keys, parts.planes(counts).astype(np.uint32))
