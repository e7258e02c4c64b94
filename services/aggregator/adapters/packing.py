"""Values under a checksum, and summaries as such.

A value is a CRC-32 and what it covers: a header, then arrays in little-endian order. The header
begins with the format's version: version 1 of a summary has no quantiles, 2 has sixteen bits each.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.errors import CorruptValue
from services.aggregator.domain.summary import Summary

_CHECKSUM = struct.Struct("<I")
_SUMMARY = struct.Struct("<BIQQ")  # version, features, considered, displayed
_WITHOUT_QUANTILES, _WITH_QUANTILES = 1, 2
_UNSEEN_BITS = np.uint32(16)


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
    quantiles = summary.quantiles
    version = _WITHOUT_QUANTILES if quantiles is None else _WITH_QUANTILES
    counts = summary.considered_count, summary.displayed_count
    header = _SUMMARY.pack(version, len(summary.gfi), *counts)
    arrays = summary.gfi, summary.coverage, summary.standard_error
    parts = [header, *(_bytes(array, "<f8") for array in arrays)]
    if quantiles is not None:
        parts.append(_bytes(quantiles.view(np.uint32) >> _UNSEEN_BITS, "<u2"))
    return seal(b"".join(parts))


def unpack_summary(value: bytes, name: str) -> Summary:
    """Return the summary of a sealed value.

    Raises:
        CorruptValue: the value does not match its checksum.
    """
    payload = unseal(value, name)
    version, features, considered, displayed = _SUMMARY.unpack_from(payload)
    arrays = np.frombuffer(payload, "<f8", 3 * features, _SUMMARY.size).reshape(3, features)
    quantiles = None
    if version == _WITH_QUANTILES:
        kept = np.frombuffer(payload, "<u2", offset=_SUMMARY.size + arrays.nbytes)
        bits = kept.astype(np.uint32) << _UNSEEN_BITS
        quantiles = bits.view(np.float32).reshape(features, -1)
    return Summary(considered, displayed, arrays[0], arrays[1], arrays[2], quantiles)


def _bytes(array: NDArray[np.generic], dtype: str) -> bytes:
    return array.astype(dtype, copy=False).tobytes()
