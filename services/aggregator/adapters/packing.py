"""Values under a checksum, and summaries as such.

A value is a CRC-32 and what it covers: a header, then arrays in little-endian order. The header
begins with the format's version: version 1 of a summary has no quantiles, 2 has sixteen bits each,
3 has the profile behind them.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from services.aggregator.adapters.packed_sketches import pack_profile, unpack_profile
from services.aggregator.domain.errors import CorruptValue
from services.aggregator.domain.quantiles import LEVELS
from services.aggregator.domain.summary import Summary

_CHECKSUM = struct.Struct("<I")
CHECKSUM_BYTES = _CHECKSUM.size
"""What a sealed value begins with."""
_SUMMARY = struct.Struct("<BIQQ")  # version, features, considered, displayed
_WITHOUT_QUANTILES, _WITH_QUANTILES, _WITH_PROFILE = 1, 2, 3
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
    quantiles, profile = summary.quantiles, summary.profile
    counts = summary.considered_count, summary.displayed_count
    header = _SUMMARY.pack(_version_of(summary), len(summary.gfi), *counts)
    arrays = summary.gfi, summary.coverage, summary.standard_error
    parts = [header, *(_bytes(array, "<f8") for array in arrays)]
    if quantiles is not None:
        parts.append(_bytes(quantiles.view(np.uint32) >> _UNSEEN_BITS, "<u2"))
    if profile is not None:
        parts.append(pack_profile(profile))
    return seal(b"".join(parts))


def unpack_summary(value: bytes, name: str) -> Summary:
    """Return the summary of a sealed value.

    Raises:
        CorruptValue: the value does not match its checksum.
    """
    payload = unseal(value, name)
    version, features, considered, displayed = _SUMMARY.unpack_from(payload)
    arrays = np.frombuffer(payload, "<f8", 3 * features, _SUMMARY.size).reshape(3, features)
    end = _SUMMARY.size + arrays.nbytes
    quantiles = None
    if version >= _WITH_QUANTILES:
        kept = np.frombuffer(payload, "<u2", len(LEVELS) * features, end)
        bits = kept.astype(np.uint32) << _UNSEEN_BITS
        quantiles = bits.view(np.float32).reshape(features, len(LEVELS))
        end += kept.nbytes
    profile = unpack_profile(payload[end:]) if version == _WITH_PROFILE else None
    return Summary(considered, displayed, arrays[0], arrays[1], arrays[2], quantiles, profile)


def _version_of(summary: Summary) -> int:
    if summary.quantiles is None:
        return _WITHOUT_QUANTILES
    return _WITH_QUANTILES if summary.profile is None else _WITH_PROFILE


def _bytes(array: NDArray[np.generic], dtype: str) -> bytes:
    return array.astype(dtype, copy=False).tobytes()
