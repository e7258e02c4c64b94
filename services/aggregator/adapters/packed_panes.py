"""Panes as bytes, two a value: half of what they took in float32, within a thousandth.

An LFI becomes a sign and 15 bits: its position above the column's floor on the ladder of float32
numbers with 10 bits of mantissa. So it is rounded to within 2^-11 of itself, the ladder has 32
octaves, and the floor is chosen such that the column's largest magnitude lies in the topmost. What
lies under the floor, or is subnormal, is an exception: it is kept whole, with its place. No value
becomes zero, and coverage stays exact; the median of values that are off by at most 2^-11 is off by
at most 2^-11 itself, and with it the importance.

Version 2 ends there; in version 3 the sketch of the values follows, in version 4, of folded panes,
the counts and then the sketch, if there is one. A folded value is kept exactly.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from services.aggregator.adapters.packed_sketches import (
    pack_counts,
    pack_sketch,
    unpack_counts,
    unpack_sketch,
)
from services.aggregator.adapters.packing import seal, unseal
from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.errors import CorruptValue

MOST_RELATIVE_ERROR = 2.0**-11
_WITHOUT_SKETCH, _WITH_SKETCH, _WITH_COUNTS = 2, 3, 4
_HEADER = struct.Struct("<BBIIII")  # version, population, examples, features, entries, exceptions
_POPULATIONS = (Population.CONSIDERED, Population.DISPLAYED)
_DROPPED_BITS = 13  # of float32's 23 of mantissa
_MANTISSA_BITS = 10
_OCTAVES = 32
_MAGNITUDE = np.uint32(0x7FFF_FFFF)
_SMALLEST_NORMAL = np.uint32(1 << 23)
_LARGEST = np.uint32((255 << _MANTISSA_BITS) - 1)  # the next one is infinity
_SIGN = np.uint32(1 << 31)


def pack_pane(pane: Pane) -> bytes:
    """Return the pane as a sealed value."""
    bits = pane.values.view(np.uint32)
    magnitudes = bits & _MAGNITUDE
    rounded = (magnitudes + np.uint32(1 << (_DROPPED_BITS - 1))) >> np.uint32(_DROPPED_BITS)
    rungs = np.minimum(rounded, _LARGEST).astype(np.int32)
    tops = _top_octaves(rungs, pane.offsets)
    codes = rungs - _floors(tops, pane.offsets)
    is_exception = (codes < 1) | (magnitudes < _SMALLEST_NORMAL)
    codes[is_exception] = 0
    exceptions = np.flatnonzero(is_exception)
    signs = (bits & _SIGN) >> np.uint32(16)
    version = _WITHOUT_SKETCH if pane.sketch is None else _WITH_SKETCH
    if pane.counts is not None:
        version = _WITH_COUNTS
    header = _HEADER.pack(
        *(version, _POPULATIONS.index(pane.population), pane.example_count),
        *(pane.feature_count, len(pane.values), len(exceptions)),
    )
    return seal(
        header
        + pane.offsets.astype("<u4", copy=False).tobytes()
        + tops.tobytes()
        + (codes.astype(np.uint32) | signs).astype("<u2").tobytes()
        + exceptions.astype("<u4").tobytes()
        + pane.values[exceptions].astype("<f4", copy=False).tobytes()
        + (b"" if pane.counts is None else pack_counts(pane.counts))
        + (b"" if pane.sketch is None else pack_sketch(pane.sketch))
    )


def unpack_pane(value: bytes, name: str) -> Pane:
    """Return the pane of a sealed value.

    Raises:
        CorruptValue: the value does not match its checksum, or is of another format.
    """
    payload = unseal(value, name)
    if payload[0] not in (_WITHOUT_SKETCH, _WITH_SKETCH, _WITH_COUNTS):
        raise CorruptValue(name)
    version, population, examples, features, entries, exceptions = _HEADER.unpack_from(payload)
    place = _HEADER.size
    offsets = np.frombuffer(payload, "<u4", features + 1, place)
    tops = np.frombuffer(payload, np.uint8, features, place := place + offsets.nbytes)
    packed = np.frombuffer(payload, "<u2", entries, place := place + tops.nbytes)
    places = np.frombuffer(payload, "<u4", exceptions, place := place + packed.nbytes)
    whole = np.frombuffer(payload, "<f4", exceptions, place := place + places.nbytes)
    values = _unpacked(packed.astype(np.uint32), _floors(tops, offsets))
    values[places] = whole
    rest, counts = payload[place + whole.nbytes :], None
    if version == _WITH_COUNTS:
        counts, rest = unpack_counts(rest)
    sketch = unpack_sketch(rest) if rest else None
    return Pane(_POPULATIONS[population], examples, offsets, values, sketch, counts)


def _unpacked(packed: NDArray[np.uint32], floors: NDArray[np.int32]) -> NDArray[np.float32]:
    rungs = (packed & np.uint32(0x7FFF)).astype(np.int32) + floors
    magnitudes = rungs.astype(np.uint32) << np.uint32(_DROPPED_BITS)
    return (magnitudes | ((packed & np.uint32(0x8000)) << np.uint32(16))).view(np.float32)


def _top_octaves(rungs: NDArray[np.int32], offsets: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return the octave of each column's largest magnitude, 0 for an empty one."""
    tops = np.zeros(len(offsets) - 1, dtype=np.uint8)
    is_filled = offsets[1:] > offsets[:-1]
    if len(rungs):
        largest = np.maximum.reduceat(rungs, offsets[:-1][is_filled].astype(np.intp))
        tops[is_filled] = largest >> _MANTISSA_BITS
    return tops


def _floors(tops: NDArray[np.uint8], offsets: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Return for each entry the rung under its column's lowest octave; it may lie below zero."""
    floors = (tops.astype(np.int32) - (_OCTAVES - 1)) << _MANTISSA_BITS
    return np.repeat(floors, np.diff(offsets))
