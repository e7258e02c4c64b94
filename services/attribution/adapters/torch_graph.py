"""What the JSON of a torch.export program may say.

torch turns several of its strings into code: symbolic expressions are evaluated by SymPy, guards by
Python, names of nodes become names in generated source, operators are looked up by attribute from
`torch` on, and calling conventions import modules. So every string must be a plain name, an
expression of whole numbers and batch sizes, or an operator on tensors; what torch does not need to
run the program (guards, traces, metadata) is dropped; the calling convention is ours.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from services.attribution.domain.errors import CheckpointRefused

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|")
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*|")
_EXPRESSION = re.compile(
    r"((Symbol|Integer|Add|Mul|Max|Min|CeilDiv|FloorDiv|Mod|PythonMod|Equality|Unequality|"
    r"(Strict)?(Less|Greater)Than)(?=\()|"
    r"'[su]\d+'|\d|(positive|integer|nonnegative)=True|[-(), ])*"
)
_TEXT = re.compile(r"[A-Za-z0-9 ,.>_+-]{0,200}")
_OPERATOR = re.compile(r"torch\.ops\.(aten|prims)\.([A-Za-z0-9_]+)\.([A-Za-z0-9_]+)")

_DOTTED_FIELDS = frozenset({"parameter_name", "buffer_name", "tensor_constant_name"})
"""Fields that name a tensor by its module's path."""

_SIZE_OPERATOR = re.compile(
    r"_operator\.(add|sub|mul|floordiv|mod|neg|getitem|eq|ne|lt|le|gt|ge)|torch\.sym_(max|min|not)"
)
"""Operators on sizes, apart from those on tensors."""

_TYPES = frozenset({"Tensor", "int", "float", "bool", "number", "complex", "Device"})
_WORDS = frozenset({"approximate", "equation", "mode", "norm", "ord", "reduce", "rounding_mode"})
"""String arguments that choose how an operator computes; others name files."""


def purified(document: bytes, input_count: int) -> bytes:
    """Return a program's JSON without what could run code.

    Raises:
        CheckpointRefused: it is not the JSON of a program that takes `input_count` tensors and
            answers one, or says what no such program needs to.
    """
    program = parsed(document, "models/model.json")
    try:
        program |= {"guards_code": [], "torch_version": str(torch.__version__)}
        module = program["graph_module"]
        module["metadata"] = {}
        module["module_call_graph"] = [_entry(module["module_call_graph"][0], input_count)]
        for node in module["graph"]["nodes"]:
            node["metadata"] = {}
        _check_outputs(module["signature"]["output_specs"])
        _check(program | {"graph_module": module | {"module_call_graph": []}, "torch_version": ""})
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointRefused(f"model.pt2: its graph lacks or misplaces {error}") from error
    return json.dumps(program).encode()


def check_tensors(document: bytes, member: str, prefix: str) -> None:
    """Check the table of a program's weights or constants, which `member` holds.

    Raises:
        CheckpointRefused: an entry is anything but a plain tensor kept as bytes.
    """
    table = parsed(document, member).get("config")
    if not isinstance(table, dict):
        raise CheckpointRefused(f"model.pt2: {member} is not a table of tensors")
    for name, entry in table.items():
        plain = isinstance(entry, dict) and entry.get("use_pickle") is False
        if not plain or not re.fullmatch(rf"{prefix}\d+", str(entry.get("path_name"))):
            raise CheckpointRefused(
                f"model.pt2: {name!r} in {member} is not a plain tensor: custom objects and tensor "
                "subclasses are pickled, and nothing is unpickled here"
            )
        _check_string(name, _DOTTED)
        _check(entry)


def parsed(document: bytes, member: str) -> dict[str, Any]:
    """Return a member's JSON object.

    Raises:
        CheckpointRefused: it is not one.
    """
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise CheckpointRefused(f"model.pt2: {member} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointRefused(f"model.pt2: {member} is not a JSON object")
    return value


def _entry(entry: Mapping[str, Any], input_count: int) -> dict[str, Any]:
    """Return the program's own entry of the call graph, if it says what ours would."""
    no_keywords: dict[str, int] = {}
    convention = {
        "in_spec": _specification((tuple(range(input_count)), no_keywords)),
        "out_spec": _specification(0),
    }
    for key, ours in convention.items():
        if json.loads(entry["signature"][key]) != json.loads(ours):
            raise CheckpointRefused(
                f"model.pt2: the program must take the manifest's {input_count} inputs as "
                "positional tensors and return one tensor"
            )
    rest: dict[str, list[str]] = {"inputs": [], "outputs": [], "forward_arg_names": []}
    return {"fqn": "", "signature": {**convention, **rest}}


def _specification(structure: object) -> str:
    return pytree.treespec_dumps(pytree.tree_structure(structure))


def _check_outputs(outputs: list[dict[str, Any]]) -> None:
    if [set(output) for output in outputs] != [{"user_output"}]:
        raise CheckpointRefused(
            "model.pt2: the program must return one tensor and change nothing (is a batch "
            "normalisation in training mode? call .eval() before exporting)"
        )


def _check(value: Any) -> None:
    """Check everything in a JSON value."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_string(key, _NAME)
            _check_field(key, item)
    elif isinstance(value, list):
        for item in value:
            _check(item)
    elif isinstance(value, str):
        _check_string(value, _NAME)


def _check_field(key: str, item: Any) -> None:
    if isinstance(item, str):
        match key:
            case "expr_str":
                _check_expression(item)
            case "target":
                _check_operator(item)
            case "as_string":
                _check_string(item, _TEXT)
            case _:
                _check_string(item, _DOTTED if key in _DOTTED_FIELDS else _NAME)
    else:
        _check(item)


def _check_string(text: str, allowed: re.Pattern[str]) -> None:
    if not allowed.fullmatch(text) or any(
        part.startswith("__") and part.endswith("__") for part in text.split(".") if part
    ):
        raise CheckpointRefused(
            f"model.pt2: its graph says {text[:80]!r} where there should be a plain name"
        )


def _check_expression(text: str) -> None:
    if len(text) > 500 or not _EXPRESSION.fullmatch(text):
        raise CheckpointRefused(
            f"model.pt2: its graph says {text[:80]!r} where there should be a size"
        )


def _check_operator(target: str) -> None:
    if _SIZE_OPERATOR.fullmatch(target):
        return
    match = _OPERATOR.fullmatch(target)
    packet = getattr(getattr(torch.ops, match[1]), match[2], None) if match else None
    operator = getattr(packet, match[3], None) if match else None
    if not isinstance(operator, torch._ops.OpOverload) or not _is_on_tensors(operator):
        raise CheckpointRefused(
            f"model.pt2: operator {target[:80]!r} is not allowed: a program may use ATen operators "
            "on tensors and nothing else"
        )


def _is_on_tensors(operator: torch._ops.OpOverload[..., Any]) -> bool:
    for argument in operator._schema.arguments:
        kind = _element(str(argument.type))
        if kind not in _TYPES and not (kind == "str" and argument.name in _WORDS):
            return False
    return True


def _element(kind: str) -> str:
    """Return the type inside Optional and List."""
    while match := re.fullmatch(r"(?:Optional|List)\[(.*)\]", kind):
        kind = match[1]
    return kind
