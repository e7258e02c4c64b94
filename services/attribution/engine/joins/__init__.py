"""How structured deltas pass the operators where features meet, by operator family.

A rule answers a `Delta`, or raises `NoStructure` where writing the change out is all that is left.
"""

from collections.abc import Callable

from services.attribution.engine import operators
from services.attribution.engine.joins import dots, linear, moves, norm, products
from services.attribution.engine.joins.site import Site
from services.attribution.engine.structure import Delta

Join = Callable[[Site], Delta]

JOINS: dict[str, Join] = {
    **dict.fromkeys(operators.MOVES | {"dropout"}, moves.move),
    "linear": linear.linear,
    "addmm": linear.addmm,
    "sum": linear.reduce,
    "mean": linear.reduce,
    "add": products.add,
    "sub": products.subtract,
    "mul": products.multiply,
    **dict.fromkeys(("batch_norm", "batch_norm_inference"), products.batch_norm),
    "layer_norm": norm.layer_norm,
    "native_layer_norm": norm.layer_norm,
    "bmm": dots.pairwise,
    "matmul": dots.pairwise,
}
"""By operator name."""

__all__ = ["JOINS", "Join", "Site"]
