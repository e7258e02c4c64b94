"""A device other than the CPU on a machine without one: real numbers, and no mixing.

Its tensors compute on the CPU inside, and refuse what a real accelerator refuses: to meet a CPU
tensor of one dimension or more in an operation, and to be a NumPy array before they are copied.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

OTHER = torch.device("meta")
"""The one kind of device, apart from the CPU, that every build of torch lets tensors claim."""

_COPIES = frozenset({torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default})
"""Between devices."""


class OtherTensor(Tensor):
    """A tensor on the other device."""

    within: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OtherTensor":
        made: OtherTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=OTHER,
        )
        made.within = inner
        return made

    def tolist(self) -> Any:
        """Return the numbers: an accelerator copies them."""
        return self.within.tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        return _computed(func, args, kwargs or {})


class OtherDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Makes tensors on the other device where they are asked for, in this thread."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        return _computed(func, args, kwargs or {})


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors: list[Tensor] = []
    tree_map(lambda a: tensors.append(a) if isinstance(a, Tensor) else None, (args, kwargs))
    others = [t for t in tensors if isinstance(t, OtherTensor)]
    wanted = kwargs.get("device")
    if others and func not in _COPIES:
        here = [t for t in tensors if not isinstance(t, OtherTensor) and t.dim()]
        assert not here, f"{func} mixes devices: {[tuple(t.shape) for t in tensors]}"
    plain = {k: torch.device("cpu") if k == "device" else a for k, a in kwargs.items()}
    answer = func(*tree_map(_inner, args), **tree_map(_inner, plain))
    if wanted is not None:
        return tree_map(_other, answer) if wanted == OTHER else answer
    if not others:
        return answer
    # What is written in place, or into `out`, is the tensor that was given.
    given = {id(t.within): t for t in others}
    return tree_map(lambda a: given.get(id(a)) if id(a) in given else _other(a), answer)


def _inner(value: Any) -> Any:
    return value.within if isinstance(value, OtherTensor) else value


def _other(value: Any) -> Any:
    return OtherTensor(value) if isinstance(value, Tensor) else value
