"""A checkpoint's program runs no code of its own, however it asks for it.

Each attack is real: where nothing stands in the way, `torch.export.load` runs it, or running the
program does. Each leaves a file behind if its code runs.
"""

import contextlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.export.pt2_archive import PT2ArchiveWriter

from services.attribution.adapters.torch_archive import read_program
from services.attribution.domain.errors import CheckpointRefused
from tests.checkpoints import SCHEMA, SMALL_MODELS, random_examples, small_checkpoint, small_model

INPUTS = len(SCHEMA.inputs)
GRAPH = "models/model.json"
CONSTANTS = "data/constants/model_constants_config.json"
WEIGHTS = "data/weights/model_weights_config.json"
SAMPLE_INPUTS = "data/sample_inputs/model.pt"
OWN = {".data/version", ".data/serialization_id", "byteorder"}


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the members of a sound program's archive."""
    folder = small_checkpoint(tmp_path_factory.mktemp("sound"), "concat")
    with zipfile.ZipFile(folder / "model.pt2") as archive:
        names = {name.partition("/")[2]: name for name in archive.namelist()}
        return {name: archive.read(full) for name, full in names.items() if name not in OWN}


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Return the file that an attack leaves behind."""
    return tmp_path / "ran"


def archive(members: Mapping[str, bytes]) -> bytes:
    """Return an archive that torch reads."""
    buffer = io.BytesIO()
    with PT2ArchiveWriter(buffer) as writer:
        for name, content in members.items():
            writer.write_bytes(name, content)
    return buffer.getvalue()


def run(program: torch.export.ExportedProgram) -> None:
    program.module()(*[torch.from_numpy(a) for a in random_examples(count=3).arguments()])


def changed(members: Mapping[str, bytes], change: Callable[[Any], None]) -> dict[str, bytes]:
    """Return the members with a change to the graph's JSON."""
    document = json.loads(members[GRAPH])
    change(document)
    return {**members, GRAPH: json.dumps(document).encode()}


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def evil_torch(mark: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Evil(mark), buffer)
    return buffer.getvalue()


def table(name: str, entry: Mapping[str, object]) -> bytes:
    return json.dumps({"config": {name: entry}}).encode()


def in_sample_inputs(members: Mapping[str, bytes], mark: Path) -> Mapping[str, bytes]:
    return {**members, SAMPLE_INPUTS: evil_torch(mark)}


def in_a_weight(members: Mapping[str, bytes], mark: Path) -> Mapping[str, bytes]:
    config = json.loads(members[WEIGHTS])
    entry = config["config"]["towers.gender.weight"]
    entry["use_pickle"] = True
    pickled = {f"data/weights/{entry['path_name']}": evil_torch(mark)}
    return {**members, WEIGHTS: json.dumps(config).encode(), **pickled}


def in_an_opaque_object(members: Mapping[str, bytes], mark: Path) -> Mapping[str, bytes]:
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}
    pickled = {"data/constants/opaque_obj_0": pickle.dumps(Evil(mark))}
    return {**members, CONSTANTS: table("x", {**entry, "tensor_meta": None}), **pickled}


def in_legacy_constants(members: Mapping[str, bytes], mark: Path) -> Mapping[str, bytes]:
    return {**members, "data/constants/model.pt": evil_torch(mark)}


def in_a_guard(members: Mapping[str, bytes], mark: Path) -> Mapping[str, bytes]:
    code = f"__import__('os').system('touch {mark}') == 0"
    return changed(members, lambda d: d["guards_code"].append(code))


def in_a_size(members: Mapping[str, bytes], mark: Path) -> Mapping[str, bytes]:
    def change(document: Any) -> None:
        for value in document["graph_module"]["graph"]["tensor_values"].values():
            for size in value["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = f"__import__('os').system('touch {mark}')"

    return changed(members, change)


STOPPED = [in_sample_inputs, in_a_weight, in_an_opaque_object, in_legacy_constants, in_a_size]


@pytest.mark.parametrize("attack", [*STOPPED, in_a_guard])
def test_the_attack_works_on_torch_itself(
    members: dict[str, bytes], mark: Path, attack: Callable[..., Mapping[str, bytes]]
) -> None:
    hostile = archive(attack(members, mark))
    # What becomes of the program afterwards does not matter.
    with contextlib.suppress(Exception):
        run(torch.export.load(io.BytesIO(hostile)))
    assert mark.exists()


@pytest.mark.parametrize("attack", STOPPED)
def test_the_attack_is_refused_and_nothing_ran(
    members: dict[str, bytes], mark: Path, attack: Callable[..., Mapping[str, bytes]]
) -> None:
    with pytest.raises(CheckpointRefused, match=r"model\.pt2"):
        read_program(archive(attack(members, mark)), INPUTS)
    assert not mark.exists()


def test_guards_are_dropped_unread(members: dict[str, bytes], mark: Path) -> None:
    program = read_program(archive(in_a_guard(members, mark)), INPUTS)
    run(program)
    assert not mark.exists()


def set_name(document: Any, name: str) -> None:
    text = json.dumps(document).replace('"inputs_10"', json.dumps(name))
    document.clear()
    document.update(json.loads(text))


def set_target(document: Any, target: str) -> None:
    document["graph_module"]["graph"]["nodes"][0]["target"] = target


def set_specification(document: Any, kind: str, context: object) -> None:
    signature = document["graph_module"]["module_call_graph"][0]["signature"]
    leaf: dict[str, object] = {"type": None, "context": None, "children_spec": []}
    spec = [1, {"type": kind, "context": context, "children_spec": [leaf]}]
    signature["out_spec"] = json.dumps(spec)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: set_name(d, "x=__import__('os').abort()"), "plain name"),
        (lambda d: set_name(d, "torch.load"), "plain name"),
        (lambda d: set_name(d, "__class__"), "plain name"),
        (lambda d: set_target(d, "torch.os.system"), "operator"),
        (lambda d: set_target(d, "torch.ops.aten.save.default"), "operator"),
        (lambda d: set_target(d, "torch.ops.aten.from_file.default"), "operator"),
        (lambda d: set_target(d, "torch.ops.higher_order.cond"), "operator"),
        (lambda d: set_target(d, "_operator.methodcaller"), "operator"),
        (lambda d: set_target(d, "#evil:op"), "operator"),
        (
            lambda d: set_specification(
                d,
                "collections.defaultdict",
                {
                    "default_factory_module": "os",
                    "default_factory_name": "abort",
                    "dict_context": [],
                },
            ),
            "positional tensors",
        ),
        (
            lambda d: set_specification(
                d, "builtins.dict", json.dumps({"__enum__": 1, "fqn": "this:x", "name": "y"})
            ),
            "positional tensors",
        ),
        (lambda d: d.pop("graph_module"), "lacks or misplaces"),
        (lambda d: d["graph_module"]["graph"].update(nodes=7), "lacks or misplaces"),
    ],
)
def test_a_graph_that_says_more_than_a_program_needs_is_refused(
    members: dict[str, bytes], change: Callable[[Any], None], message: str
) -> None:
    with pytest.raises(CheckpointRefused, match=message):
        read_program(archive(changed(members, change)), INPUTS)


@pytest.mark.parametrize(
    "name", ["data/aotinductor/model/x.so", "extra/notes", "data/constants/custom_obj_0", "version"]
)
def test_members_of_other_kinds_are_refused(members: dict[str, bytes], name: str) -> None:
    with pytest.raises(CheckpointRefused, match="not part of a plain program"):
        read_program(archive({**members, name: b"x"}), INPUTS)


def test_a_member_that_is_there_twice_is_refused(members: dict[str, bytes]) -> None:
    buffer = io.BytesIO(archive(members))
    with zipfile.ZipFile(buffer, "a") as again, pytest.warns(UserWarning, match="Duplicate"):
        again.writestr(next(n for n in again.namelist() if n.endswith(GRAPH)), b"{}")
    with pytest.raises(CheckpointRefused, match="twice"):
        read_program(buffer.getvalue(), INPUTS)


def test_a_compressed_archive_is_refused(members: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/" + GRAPH, b"0" * 10_000_000)
    with pytest.raises(CheckpointRefused, match="compress"):
        read_program(buffer.getvalue(), INPUTS)


@pytest.mark.parametrize("length", [0, 1, 100, -1, -1000])
def test_a_truncated_archive_is_refused(members: dict[str, bytes], length: int) -> None:
    with pytest.raises(CheckpointRefused, match="corrupt or truncated"):
        read_program(archive(members)[:length], INPUTS)


@pytest.mark.parametrize("member", [GRAPH, WEIGHTS, CONSTANTS])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b'{"a": ' * 100_000, b"\xff"])
def test_members_that_are_not_json_objects_are_refused(
    members: dict[str, bytes], member: str, content: bytes
) -> None:
    with pytest.raises(CheckpointRefused, match="JSON"):
        read_program(archive({**members, member: content}), INPUTS)


def test_a_graph_nested_deeper_than_python_goes_is_refused(members: dict[str, bytes]) -> None:
    deep = b'{"graph_module": ' + b"[" * 900 + b"]" * 900 + b"}"
    with pytest.raises(CheckpointRefused):
        read_program(archive({**members, GRAPH: deep}), INPUTS)


def test_a_program_of_other_inputs_is_refused(members: dict[str, bytes]) -> None:
    with pytest.raises(CheckpointRefused, match="the manifest's 3 inputs"):
        read_program(archive(members), 3)


def test_a_program_that_changes_its_own_state_is_refused(members: dict[str, bytes]) -> None:
    def mutate(document: Any) -> None:
        outputs = document["graph_module"]["signature"]["output_specs"]
        outputs.insert(0, {"buffer_mutation": {"arg": {"name": "mul"}, "buffer_name": "x"}})

    with pytest.raises(CheckpointRefused, match="batch normalisation in training mode"):
        read_program(archive(changed(members, mutate)), INPUTS)


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_a_sound_program_answers_as_it_was_exported(tmp_path: Path, name: str) -> None:
    folder = small_checkpoint(tmp_path, name)
    program = read_program((folder / "model.pt2").read_bytes(), INPUTS)
    arguments = [torch.from_numpy(a) for a in random_examples(count=9).arguments()]
    assert torch.equal(program.module()(*arguments), small_model(name)(*arguments))
