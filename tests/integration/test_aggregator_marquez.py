"""Marquez' own client reads columns; jobs and datasets, which it cannot ask for, fit its schema."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.environments import environment_of
from tests.integration.test_aggregator_openlineage import RUN_B, Served, at, encode, served
from tests.unit.services.aggregator.adapters.openlineage_world import (
    WAREHOUSE,
    as_json,
    column_lineage,
    schema,
)
from tests.valkey import ValkeyServer

_TESTS = Path(__file__).parents[1]
_TEXT, _TIME = {"type": "string"}, {"type": "string", "format": "date-time"}
_IDENTITY = {"type": "object", "properties": {"namespace": _TEXT, "name": _TEXT}}
_IDENTITIES = {"type": "array", "items": _IDENTITY, "uniqueItems": True}
_EDGES = {
    "type": "array",
    "items": {"type": "object", "properties": {"origin": _TEXT, "destination": _TEXT}},
}
_EITHER = {
    "id": _IDENTITY,
    "type": _TEXT,
    "name": _TEXT,
    "namespace": _TEXT,
    "description": _TEXT,
    "createdAt": _TIME,
    "updatedAt": _TIME,
}
_FIELD = {"name": _TEXT, "type": _TEXT, "tags": {"type": "array", "items": _TEXT}}
_DATASET = {
    **_EITHER,
    "physicalName": _TEXT,
    "sourceName": _TEXT,
    "fields": {"type": "array", "items": {"type": "object", "properties": _FIELD}},
    "tags": {"type": "array", "items": _TEXT},
    "deleted": {"type": "boolean"},
    "facets": {"type": "object"},
}
_JOB = {
    **_EITHER,
    "inputs": _IDENTITIES,
    "outputs": _IDENTITIES,
    "location": _TEXT,
    "latestRun": {"type": "object"},
    "facets": {"type": "object"},
}


def _node(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "id": _TEXT,
            "type": {"const": kind},
            "data": {
                "type": "object",
                "properties": data,
                "required": ["id", "type", "name", "namespace"],
            },
            "inEdges": _EDGES,
            "outEdges": _EDGES,
        },
        "required": ["id", "type", "data", "inEdges", "outEdges"],
    }


LINEAGE_GRAPH = {
    "type": "object",
    "properties": {
        "graph": {
            "type": "array",
            "items": {"oneOf": [_node("JOB", _JOB), _node("DATASET", _DATASET)]},
        }
    },
    "required": ["graph"],
}
"""`LineageGraph` of Marquez' OpenAPI document, none of whose properties may be null."""


@pytest.fixture
async def aggregator(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Served]:
    made = column_lineage({"vector": [("raw", "age", "DIRECT/AGGREGATION")]})
    sold = column_lineage({"price": [("out", "vector", "")]})
    async with served(valkey, tmp_path) as replica:
        await replica.emit(
            encode(inputs={"raw": schema(age="int")}, outputs={"out": schema(vector="f") | made}),
            encode(minutes=1, run=RUN_B, outputs={"shop": sold}),
        )
        yield replica


def _read(url: str, *questions: tuple[str, dict[str, Any]]) -> list[Any]:
    """Return what Marquez' client is answered to calls of its methods."""
    python = environment_of(_TESTS / "marquez_requirements.txt") / "bin" / "python"
    asked = "".join(json.dumps({"method": m, "arguments": a}) + "\n" for m, a in questions)
    done = subprocess.run(
        # -P: beside the script lie modules of this project.
        [python, "-P", _TESTS / "marquez_reader.py", url],
        input=asked,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_marquez_own_client_reads_columns(aggregator: Served) -> None:
    out = {"namespace": WAREHOUSE, "dataset": "out"}
    answers = await asyncio.to_thread(
        _read,
        aggregator.url,
        ("get_column_lineage_by_dataset", out),
        ("get_column_lineage_by_dataset_field", out | {"field": "vector", "depth": 1}),
        ("get_column_lineage_by_dataset", out | {"with_downstream": True}),
        ("get_column_lineage_by_job", {"namespace": "airflow", "job": "encode"}),
    )
    by_dataset, by_field, downstream, by_job = ({n["id"]: n for n in a["graph"]} for a in answers)
    age, vector, price = (
        f"datasetField:{WAREHOUSE}:{name}" for name in ("raw:age", "out:vector", "shop:price")
    )
    assert by_dataset.keys() == by_field.keys() == {age, vector}
    assert downstream.keys() == {age, vector, price}
    assert {vector, price} <= by_job.keys()
    (made_of,) = by_dataset[vector]["data"]["inputFields"]
    assert (made_of["dataset"], made_of["field"]) == ("raw", "age")
    assert by_dataset[vector]["inEdges"] == [{"origin": vector, "destination": age}]


@pytest.mark.parametrize(("node", "depth"), [("job:airflow:encode", 20), ("job:airflow:encode", 0)])
async def test_jobs_and_datasets_are_as_marquez_schema_has_them(
    aggregator: Served, node: str, depth: int
) -> None:
    described = as_json(encode("COMPLETE", 2))
    described["eventTime"] = at(3)
    assert (await aggregator.post("lineage", described)).status_code == 201
    answer = (await aggregator.get("lineage", nodeId=node, depth=str(depth))).json()
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.validate(
        answer, LINEAGE_GRAPH, jsonschema.Draft202012Validator, format_checker=checker
    )
    kinds = [found["type"] for found in answer["graph"]]
    assert sorted(set(kinds)) == (["DATASET", "JOB"] if depth else ["JOB"])
