"""Manifests: every mistake is named with its path."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from services.attribution.adapters.json_manifest import Manifest
from services.attribution.domain.checkpoint import Output
from services.attribution.domain.errors import CheckpointRefused
from tests.checkpoints import GROUPED, SCHEMA, TRAINED_UNTIL, write_manifest
from tests.checkpoints import Manifest as Settings

EXAMPLE = Path(__file__).parents[5] / "docs/reference/checkpoint.md"


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "model.pt2").write_bytes(b"program")
    write_manifest(tmp_path, SCHEMA, Settings())
    parsed: dict[str, Any] = json.loads((tmp_path / "manifest.json").read_text())
    return parsed


def test_a_manifest_is_read(document: dict[str, Any]) -> None:
    content = json.dumps(document).encode()
    manifest = Manifest(content)
    checkpoint = manifest.checkpoint
    assert checkpoint.name == "models/ads_ctr/checkpoints/1"
    assert checkpoint.schema == SCHEMA
    assert checkpoint.trained_until == TRAINED_UNTIL
    assert checkpoint.output is Output.LOGIT
    assert checkpoint.digest == hashlib.sha256(content).hexdigest()
    assert manifest.program_file == "model.pt2"
    assert manifest.program_sha256 == hashlib.sha256(b"program").hexdigest()


def test_groups_stand_where_the_first_of_their_members_stands(document: dict[str, Any]) -> None:
    document["groups"] = groups("zip_code", "hour") + groups("poster", name="media")
    schema = Manifest(json.dumps(document).encode()).checkpoint.schema
    names = list(SCHEMA.index)
    names[names.index("hour")], names[names.index("poster")] = "g0", "media"
    assert list(schema.index) == [name for name in names if name != "zip_code"]
    assert [c.name for c in schema.features[1].members] == ["zip_code", "hour"]
    assert sorted(schema.columns, key=repr) == sorted(SCHEMA.columns, key=repr)


def test_written_groups_are_read(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(b"program")
    write_manifest(tmp_path, GROUPED, Settings())
    schema = Manifest((tmp_path / "manifest.json").read_bytes()).checkpoint.schema
    assert schema == GROUPED


def test_times_are_kept_in_utc(document: dict[str, Any]) -> None:
    local = datetime(2026, 11, 20, 5, tzinfo=timezone(timedelta(hours=5)))
    manifest = Manifest(json.dumps(document | {"trained_until": local.isoformat()}).encode())
    assert manifest.checkpoint.trained_until.tzinfo is UTC
    assert manifest.checkpoint.trained_until == TRAINED_UNTIL


def test_the_documented_manifest_is_read() -> None:
    text = EXAMPLE.read_text()
    block = text.split("```json")[1].split("```")[0].replace("9f2c...", "0" * 64)
    assert len(Manifest(block.encode()).checkpoint.schema.features) == 6


def groups(*members: str, name: str = "g0") -> list[dict[str, Any]]:
    return [{"name": name, "features": members}]


def put(*path: str | int, value: object) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("format_version", value=2), "format_version: "),
        (put("model", value="../x"), "model: "),
        (put("version", value=""), "version: "),
        (put("trained_until", value="2026-11-20T00:00:00"), "trained_until: .*timezone"),
        (put("output", value="SCORE"), "output: "),
        (put("threshold", value=1.0), "threshold: "),
        (put("classes", value=["car"]), "one class is told from nothing"),
        (put("classes", value=["car", "car"]), "class 'car' appears twice"),
        (put("classes", value=["car", ""]), r"classes\[1\]: "),
        (put("program", "file", value="../model.pt2"), "program.file: "),
        (put("program", "sha256", value="9f2c"), "program.sha256: "),
        (put("inputs", value=[]), "inputs: "),
        (put("inputs", 2, "dtype", value="float64"), r"inputs\[2\].dtype: "),
        (put("inputs", 2, "shape", value=[2, 3]), r"inputs\[2\].shape: "),
        (put("inputs", 2, "shape", value=[0]), r"inputs\[2\].shape\[0\]: "),
        (put("features", 4, "kind", value="TEXT"), r"features\[4\].kind: "),
        (put("features", 4, "cardinality", value=0), r"features\[4\].cardinality: "),
        (put("features", 0, "cardinality", value=9), r"features\[0\].cardinality: .*no ids"),
        (put("features", 0, "baseline", value=None), r"features\[0\].baseline: .*needs one"),
        (put("features", 9, "weights_input", value=None), r"features\[9\].weights_input: "),
        (put("features", 8, "weights_input", value="x"), r"features\[8\].weights_input: "),
        (put("features", 4, "baseline", value=7), "feature 'gender': baseline 7"),
        (put("features", 3, "cardinalty", value=7), r"features\[3\].cardinalty: Extra"),
        (put("colour", value="blue"), "colour: Extra"),
        (put("features", 4, "kind", value="GROUP"), r"features\[4\].kind: "),
        (put("groups", value=[{"name": "g", "features": []}]), "group 'g' has no members"),
        (put("groups", value=[{"name": "", "features": ["hour"]}]), r"groups\[0\].name: "),
        (put("groups", value=[{"name": "g", "members": []}]), r"groups\[0\].features: "),
        (put("groups", value=groups("hour", "agee")), r"groups\[0\].features\[1\]: .*'agee'"),
        (put("groups", value=groups("hour", "hour")), r"groups\[0\].features\[1\]: .*'g0' already"),
        (put("groups", value=groups("hour") + groups("hour")), r"groups\[1\].*'g0' already"),
        (put("groups", value=groups("hour", name="price")), "feature 'price' appears twice"),
        (put("groups", value=groups("hour", name="hour")), "feature 'hour' appears twice"),
        (put("groups", value=groups("hour") + groups("price")), "feature 'g0' appears twice"),
    ],
)
def test_a_mistake_is_named(
    document: dict[str, Any], change: Callable[[Any], None], message: str
) -> None:
    change(document)
    with pytest.raises(CheckpointRefused, match=f"manifest.json: {message}"):
        Manifest(json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointRefused, match=r"manifest\.json: document"):
        Manifest(content)
