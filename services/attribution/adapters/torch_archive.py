"""Reads a torch.export program without running anything that it brings along.

`torch.export.load` unpickles what it finds in several places, loads compiled libraries, and reads
an archive in two ways that may see different members. So the archive is taken apart here, each part
is proved harmless, and torch gets a new archive made of those parts.
"""

import io
import pickle
import re
import zipfile
from collections.abc import Mapping

import torch
from torch.export import ExportedProgram

from services.attribution.adapters.torch_graph import check_tensors, purified
from services.attribution.domain.errors import CheckpointRefused

_GRAPH = "models/model.json"
_WEIGHTS = "data/weights/model_weights_config.json"
_CONSTANTS = "data/constants/model_constants_config.json"
_SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_REQUIRED = frozenset({_GRAPH, _WEIGHTS, _CONSTANTS, _SAMPLE_INPUTS, "archive_format"})
_TENSOR = re.compile(r"data/weights/weight_\d+|data/constants/tensor_\d+")
_BOOKKEEPING = frozenset(
    {"archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id"}
)


def read_program(archive: bytes, input_count: int) -> ExportedProgram:
    """Return the program in an archive that `torch.export.save` wrote.

    Raises:
        CheckpointRefused: the archive is corrupt, holds anything but a plain program that takes
            `input_count` tensors, or holds a pickle that could run code.
    """
    try:
        harmless = _harmless(_members(archive), input_count)
        return torch.export.load(_archive_of(harmless))
    except CheckpointRefused:
        raise
    except Exception as error:
        # torch raises what it likes; whatever it is, this program does not load.
        raise CheckpointRefused(
            f"model.pt2 does not load with torch {torch.__version__}: {_last_line(error)}"
        ) from error


def _harmless(members: Mapping[str, bytes], input_count: int) -> dict[str, bytes]:
    """Return the members that make up the same program and cannot run code."""
    _check_pickle(members[_SAMPLE_INPUTS])
    check_tensors(members[_WEIGHTS], _WEIGHTS, "weight_")
    check_tensors(members[_CONSTANTS], _CONSTANTS, "tensor_")
    return {
        **members,
        _GRAPH: purified(members[_GRAPH], input_count),
        # Sample inputs are not needed, so that nothing pickled remains.
        _SAMPLE_INPUTS: b"",
        "archive_format": b"pt2",
        "archive_version": b"0",
    }


def _members(archive: bytes) -> dict[str, bytes]:
    """Return the archive's members by name, without their common folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as reader:
            entries = reader.infolist()
            _check_entries(entries, len(archive))
            members = {entry.filename.partition("/")[2]: reader.read(entry) for entry in entries}
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, ValueError) as error:
        raise CheckpointRefused(f"model.pt2 is corrupt or truncated: {error}") from error
    if len(members) != len(entries) or len({e.filename.partition("/")[0] for e in entries}) > 1:
        raise CheckpointRefused("model.pt2 is corrupt: a member appears twice")
    for name in members:
        known = name in _REQUIRED | _BOOKKEEPING or _TENSOR.fullmatch(name)
        if not known:
            raise CheckpointRefused(
                f"model.pt2: {name!r} is not part of a plain program: compiled libraries, custom "
                "objects, pickled weights and extra files are not loaded"
            )
    if missing := sorted(_REQUIRED - members.keys()):
        raise CheckpointRefused(
            f"model.pt2 lacks {missing[0]!r}: write it with torch.export.save of torch "
            f"{torch.__version__}"
        )
    return members


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Check, before reading, that members are no larger than what is there, and begin with it."""
    if min((entry.header_offset for entry in entries), default=0):
        raise zipfile.BadZipFile("another archive's members are in the way")
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > size:
        raise CheckpointRefused("model.pt2: torch.export.save does not compress, and this is")


def _check_pickle(content: bytes) -> None:
    """Prove that a pickled member holds tensors only."""
    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointRefused(
            f"model.pt2: {_SAMPLE_INPUTS} is a pickle that could run code, and is not read: export "
            "with tensors as sample inputs"
        ) from error


def _archive_of(members: Mapping[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(buffer)
    # From this version on, an archive without a program is not read the old way.
    writer.set_min_version(6)
    for name, content in members.items():
        if not name.startswith(".data/") and name != "byteorder":
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    buffer.seek(0)
    return buffer


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1][:300] if lines else ''}"
