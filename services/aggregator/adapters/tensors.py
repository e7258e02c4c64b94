"""Arrays of the contract as NumPy's."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from aftershock.v1.importance_pb2 import DataType, Tensor
from services.aggregator.domain.errors import MalformedBlock

_DTYPES: Mapping[DataType.ValueType, np.dtype[np.generic]] = {
    DataType.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    DataType.DATA_TYPE_UINT32: np.dtype("<u4"),
    DataType.DATA_TYPE_INT16: np.dtype("<i2"),
    DataType.DATA_TYPE_INT64: np.dtype("<i8"),
    DataType.DATA_TYPE_FLOAT64: np.dtype("<f8"),
}


def uint32(tensor: Tensor, field: str) -> NDArray[np.uint32]:
    """Return a vector of uint32. Raises MalformedBlock, as all of these do: it is none."""
    return _array(tensor, DataType.DATA_TYPE_UINT32, field, 1).view(np.uint32)


def float32(tensor: Tensor, field: str) -> NDArray[np.float32]:
    """Return a vector of float32."""
    return _array(tensor, DataType.DATA_TYPE_FLOAT32, field, 1).view(np.float32)


def int16(tensor: Tensor, field: str) -> NDArray[np.int16]:
    """Return a vector of int16."""
    return _array(tensor, DataType.DATA_TYPE_INT16, field, 1).view(np.int16)


def int64(tensor: Tensor, field: str) -> NDArray[np.int64]:
    """Return a vector of int64."""
    return _array(tensor, DataType.DATA_TYPE_INT64, field, 1).view(np.int64)


def float64_rows(tensor: Tensor, width: int, field: str) -> NDArray[np.float64]:
    """Return a matrix of float64 with so many columns."""
    matrix = _array(tensor, DataType.DATA_TYPE_FLOAT64, field, 2).view(np.float64)
    if matrix.shape[1] != width:
        raise MalformedBlock(f"must have {width} columns", field=f"{field}.shape")
    return matrix


def _array(
    tensor: Tensor, wanted: DataType.ValueType, field: str, dimensions: int
) -> NDArray[np.generic]:
    if tensor.data_type != wanted:
        raise MalformedBlock(f"must be {DataType.Name(wanted)}", field=f"{field}.data_type")
    if len(tensor.shape) != dimensions:
        words = "one dimension" if dimensions == 1 else f"{dimensions} dimensions"
        raise MalformedBlock(f"must have {words}", field=f"{field}.shape")
    data, dtype, count = tensor.data, _DTYPES[wanted], math.prod(tensor.shape)
    if len(data) != count * dtype.itemsize:
        raise MalformedBlock(
            f"{len(data)} bytes do not hold {count} values of {dtype.itemsize} bytes",
            field=f"{field}.data",
        )
    return np.frombuffer(data, dtype).reshape(tuple(tensor.shape))
