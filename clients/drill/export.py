"""A checkpoint folder as docs/reference/checkpoint.md describes it: written here, read back here.

Reading proves the folder harmless first: the digest must match, the archive must hold a plain
program and nothing else, and its one pickled member must load with `weights_only=True`.
"""

import hashlib
import io
import json
import re
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clients.drill.encoding import Encoder
from clients.drill.errors import CheckpointError
from clients.drill.schema import (
    CATEGORIES,
    DENSE,
    Feature,
    FeatureKind,
    Schema,
    inputs_of,
    weights_input,
)

FORMAT_VERSION = 1
MANIFEST, PROGRAM = "manifest.json", "model.pt2"
THRESHOLD = 0.5
EXAMPLE_ROWS = 3
SAMPLE_INPUTS = "data/sample_inputs/model.pt"
PLAIN_MEMBER = re.compile(
    r"models/model\.json|archive_format|archive_version|byteorder|\.data/(version|serialization_id)"
    r"|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
)


@dataclass(frozen=True)
class Release:
    """What tells one checkpoint from another; `trained_until` must carry a time zone."""

    model: str
    version: str
    trained_until: datetime


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back: its features and its program."""

    release: Release
    schema: Schema
    program: nn.Module


def export_checkpoint(model: nn.Module, schema: Schema, release: Release, folder: Path) -> Path:
    """Writes the program, then the manifest: a folder without a manifest is not a checkpoint.

    The program is traced with baselines, so that no logged example ends up in the archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    example = Encoder(schema).baseline(EXAMPLE_ROWS)
    batch = torch.export.Dim("batch", min=1)
    axes = tuple({0: batch} for _ in example)
    shapes = (*axes[:2], axes[2:])
    program = torch.export.export(model.eval(), example, dynamic_shapes=shapes)
    torch.export.save(program, folder / PROGRAM)
    manifest = manifest_of(schema, release, _digest(folder / PROGRAM))
    part = folder / f".{MANIFEST}.part"
    part.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    part.replace(folder / MANIFEST)
    return folder


def manifest_of(schema: Schema, release: Release, sha256: str) -> dict[str, Any]:
    """The manifest of a program with this digest."""
    columns = {
        feature.name: column
        for kind in (FeatureKind.NUMERIC, FeatureKind.CATEGORICAL)
        for column, feature in enumerate(schema.of_kind(kind))
    }
    until = release.trained_until.astimezone(UTC)
    return {
        "format_version": FORMAT_VERSION,
        "model": release.model,
        "version": release.version,
        "trained_until": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "output": "LOGIT",
        "threshold": THRESHOLD,
        "program": {"file": PROGRAM, "sha256": sha256},
        "inputs": [
            {"name": i.name, "dtype": i.dtype, "shape": list(i.shape)} for i in schema.inputs
        ],
        "features": [_describe(feature, columns.get(feature.name)) for feature in schema.features],
    }


def load_checkpoint(folder: Path) -> Checkpoint:
    """Reads a folder that `export_checkpoint` wrote; refuses one that could run code."""
    release, schema = read_manifest(folder)
    manifest = _manifest(folder)
    path = folder / PROGRAM
    if _digest(path) != manifest["program"]["sha256"]:
        raise CheckpointError(f"{path}: differs from the digest in {MANIFEST}: export it again")
    require_harmless(path)
    return Checkpoint(release, schema, program=torch.export.load(path).module())


def read_manifest(folder: Path) -> tuple[Release, Schema]:
    """What a checkpoint is called and its features, without its program.

    Raises:
        CheckpointError: there is no manifest, or it is not one.
    """
    manifest = _manifest(folder)
    try:
        until = datetime.fromisoformat(manifest["trained_until"])
        return Release(manifest["model"], manifest["version"], until), _schema(manifest)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise CheckpointError(f"{folder / MANIFEST}: {error!r}") from error


def require_harmless(path: Path) -> None:
    """Raises CheckpointError if reading the program could run code that it brings along."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            name, content = member.partition("/")[2], archive.read(member)
            if name == SAMPLE_INPUTS:
                _require_tensors(path, content)
            elif not PLAIN_MEMBER.fullmatch(name):
                raise CheckpointError(f"{path}: {name!r} is no part of a plain program")
            elif name.endswith("_config.json") and b'"use_pickle": true' in content:
                raise CheckpointError(f"{path}: {name!r} asks for pickled weights")


def _require_tensors(path: Path, content: bytes) -> None:
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{path}: {SAMPLE_INPUTS!r} would run code when read") from error


def _describe(feature: Feature, column: int | None) -> dict[str, Any]:
    described: dict[str, Any] = {"name": feature.name, "kind": str(feature.kind)}
    if feature.kind is FeatureKind.NUMERIC:
        return described | {"baseline": feature.baseline, "input": DENSE, "column": column}
    if feature.kind is FeatureKind.CATEGORICAL:
        packed = {"baseline": 0, "cardinality": feature.cardinality}
        return described | packed | {"input": CATEGORIES, "column": column}
    if feature.cardinality is not None:
        described["cardinality"] = feature.cardinality
    described["input"] = inputs_of(feature)[0].name
    if feature.kind is FeatureKind.WEIGHTED_ID_LIST:
        described["weights_input"] = weights_input(feature)
    return described


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        told = f"{folder} is no checkpoint folder: {MANIFEST} cannot be read ({error.strerror})"
        raise CheckpointError(told) from error
    except ValueError as error:
        raise CheckpointError(f"{folder / MANIFEST}: {error}") from error
    return manifest


def _schema(manifest: dict[str, Any]) -> Schema:
    shapes = {i["name"]: i["shape"] for i in manifest["inputs"]}
    packed = (FeatureKind.NUMERIC, FeatureKind.CATEGORICAL)
    features = []
    for entry in manifest["features"]:
        kind = FeatureKind(entry["kind"])
        features.append(
            Feature(
                name=entry["name"],
                kind=kind,
                baseline=float(entry.get("baseline", 0.0)),
                cardinality=entry.get("cardinality"),
                size=0 if kind in packed else shapes[entry["input"]][0],
            )
        )
    return Schema(tuple(features))


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: {error}") from error
