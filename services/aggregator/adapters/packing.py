"""Values under a checksum, and summaries as such.

A value is a CRC-32 and what it covers: a header, then arrays in little-endian order. The header
begins with the format's version, so that a later one can be told apart.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.errors import CorruptValue
from services.aggregator.domain.summary import Summary

_CHECKSUM = struct.Struct("<I")
_SUMMARY = struct.Struct("<BIQQ")  # version, features, considered, displayed
_VERSION = 1


def seal(payload: bytes) -> bytes:
    """Put a checksum before the bytes."""
    return _CHECKSUM.pack(zlib.crc32(payload)) + payload


def unseal(value: bytes, name: str) -> bytes:
    """Return the bytes that the checksum covers.

    Raises:
        CorruptValue: they are not those that were sealed.
    """
    payload = value[_CHECKSUM.size :]
    if len(value) < _CHECKSUM.size or _CHECKSUM.unpack_from(value)[0] != zlib.crc32(payload):
        raise CorruptValue(name)
    return payload


def pack_summary(summary: Summary) -> bytes:
    """Return the summary as a sealed value."""
    counts = summary.considered_count, summary.displayed_count
    header = _SUMMARY.pack(_VERSION, len(summary.gfi), *counts)
    arrays = summary.gfi, summary.coverage, summary.standard_error
    return seal(header + b"".join(_bytes(array, "<f8") for array in arrays))


def unpack_summary(value: bytes, name: str) -> Summary:
    """Return the summary of a sealed value.

    Raises:
        CorruptValue: the value does not match its checksum.
    """
    payload = unseal(value, name)
    _, features, considered, displayed = _SUMMARY.unpack_from(payload)
    arrays = np.frombuffer(payload, "<f8", 3 * features, _SUMMARY.size).reshape(3, features)
    return Summary(
        considered, displayed, gfi=arrays[0], coverage=arrays[1], standard_error=arrays[2]
    )


def _bytes(array: NDArray[np.generic], dtype: str) -> bytes:
    return array.astype(dtype, copy=False).tobytes()
