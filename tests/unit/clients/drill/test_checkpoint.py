"""A trained checkpoint comes back as it was, states what it holds, and cannot run code."""

import hashlib
import io
import json
import pickle
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from clients.drill.encoding import Encoder
from clients.drill.errors import CheckpointError
from clients.drill.export import load_checkpoint
from clients.drill.movielens.world import World
from clients.drill.schema import FeatureKind
from clients.drill.serving import ModelServer
from clients.drill.training import MODEL, train, train_checkpoint


def test_the_program_equals_the_eager_model(world: World, checkpoint: Path) -> None:
    model, program = train(world, seed=0), load_checkpoint(checkpoint).program
    for rows in (1, 2, 700):
        inputs = Encoder(world.schema)(world.examples.slice(3_000, rows))
        torch.testing.assert_close(program(*inputs), model(*inputs), rtol=0.0, atol=1e-6)


def test_the_manifest_describes_the_world(world: World, checkpoint: Path) -> None:
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    loaded = load_checkpoint(checkpoint)
    assert loaded.schema == world.schema
    assert manifest["model"] == MODEL
    assert manifest["output"] == "LOGIT"
    last = world.timestamps[world.train_rows - 1].astype(datetime).replace(tzinfo=UTC)
    assert datetime.fromisoformat(manifest["trained_until"]) == last
    inputs = {entry["name"]: entry for entry in manifest["inputs"]}
    carried = set()
    for entry in manifest["features"]:
        carried |= {entry["input"], entry.get("weights_input", entry["input"])}
        if entry["kind"] in (FeatureKind.NUMERIC, FeatureKind.CATEGORICAL):
            assert entry["column"] < inputs[entry["input"]]["shape"][0]
    assert carried == set(inputs)


def test_the_time_of_training_can_be_mapped(world: World, tmp_path: Path) -> None:
    until = datetime(2026, 11, 20, tzinfo=UTC)
    folder = train_checkpoint(world, tmp_path, trained_until=until)
    assert load_checkpoint(folder).release.trained_until == until


def test_training_is_deterministic_by_seed(world: World) -> None:
    inputs = Encoder(world.schema)(world.examples.slice(0, 200))
    first, again, other = (train(world, seed)(*inputs) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_training_is_calibrated_on_what_it_saw_last(world: World, checkpoint: Path) -> None:
    seen = world.examples.slice(0, world.train_rows)
    expected = ModelServer.load(checkpoint).predict(seen).sum()
    assert expected == pytest.approx(world.labels[: world.train_rows].sum(), rel=0.01)


def test_a_killed_feature_is_served_at_its_baseline(world: World, checkpoint: Path) -> None:
    server, rows = ModelServer.load(checkpoint), world.examples.slice(4_000, 300)
    healthy, killed = server.predict(rows), server.predict(rows, {"user_lift"})
    assert healthy.dtype == np.float32
    assert not np.array_equal(healthy, killed)
    place = rows.column_names.index("user_lift")
    nothing = pa.nulls(len(rows), rows.schema.field(place).type)
    nulls = rows.set_column(place, rows.schema.field(place), nothing)
    np.testing.assert_array_equal(server.predict(nulls), killed)
    np.testing.assert_array_equal(server.predict(rows, {"long gone"}), healthy)
    assert server.predict(rows.slice(0, 0)).shape == (0,)


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def test_an_altered_program_is_refused(copy: Path) -> None:
    with (copy / "model.pt2").open("ab") as program:
        program.write(b" ")
    with pytest.raises(CheckpointError, match="differs from the digest"):
        load_checkpoint(copy)


def test_a_folder_without_manifest_is_refused(copy: Path) -> None:
    (copy / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="is no checkpoint folder"):
        load_checkpoint(copy)


class _RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must never be seen",)


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("data/sample_inputs/model.pt", "would run code"),
        ("data/extra.json", "no part of a plain program"),
        ("data/constants/custom_obj_0", "no part of a plain program"),
        ("data/weights/model_weights_config.json", "pickled weights"),
    ],
)
def test_a_program_that_would_run_code_is_refused(
    copy: Path, member: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pickled = io.BytesIO()
    torch.save(_RunsCode(), pickled, pickle_module=pickle)
    content = pickled.getvalue() if "config" not in member else b'{"use_pickle": true}'
    program = copy / "model.pt2"
    _put(program, f"model/{member}", content)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["program"]["sha256"] = hashlib.sha256(program.read_bytes()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(copy)
    assert capsys.readouterr().out == ""


def _put(program: Path, name: str, content: bytes) -> None:
    """Adds a member, or replaces it."""
    with zipfile.ZipFile(program) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(program, "w") as archive:
        for member, old in (members | {name: content}).items():
            archive.writestr(member, content if member == name else old)
