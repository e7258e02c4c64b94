"""Events as the real OpenLineage client makes them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from openlineage.client import event_v2 as ol
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    error_message_run,
    lifecycle_state_change_dataset,
    schema_dataset,
    symlinks_dataset,
)
from openlineage.client.serde import Serde

NOON = "2026-11-20T12:00:00+00:00"
RUN = "01940000-0000-7000-8000-000000000001"
WAREHOUSE = "postgres://db:5432"
Lifecycle = lifecycle_state_change_dataset.LifecycleStateChange
Inputs = Mapping[str, Sequence[tuple[str, str, str]]]
"""By output column: input dataset, input column, transformation as TYPE/SUBTYPE or empty."""


def schema(**columns: str) -> dict[str, Any]:
    """Return a schema facet, as the facets of a dataset."""
    fields = [schema_dataset.SchemaDatasetFacetFields(name, of) for name, of in columns.items()]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields)}


def column_lineage(inputs: Inputs, whole: Sequence[tuple[str, str, str]] = ()) -> dict[str, Any]:
    """Return a column-lineage facet, as the facets of a dataset."""
    facet = column_lineage_dataset.ColumnLineageDatasetFacet(
        fields={
            column: column_lineage_dataset.Fields([_input(*source) for source in sources])
            for column, sources in inputs.items()
        },
        dataset=[_input(*source) for source in whole],
    )
    return {"columnLineage": facet}


def lifecycle(change: Lifecycle, former: str | None = None) -> dict[str, Any]:
    """Return a lifecycle facet, as the facets of a dataset."""
    previous = former and lifecycle_state_change_dataset.PreviousIdentifier(former, WAREHOUSE)
    facet = lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
        change,
        previous or None,
    )
    return {"lifecycleStateChange": facet}


def symlinks(*names: str) -> dict[str, Any]:
    """Return other names of a dataset, as its facets."""
    others = [symlinks_dataset.Identifier("hive://meta", name, "TABLE") for name in names]
    return {"symlinks": symlinks_dataset.SymlinksDatasetFacet(others)}


def run_event(
    state: str = "COMPLETE",
    *,
    inputs: Mapping[str, dict[str, Any]] | None = None,
    outputs: Mapping[str, dict[str, Any]] | None = None,
    time: str = NOON,
    run: str = RUN,
    error: str = "",
) -> ol.RunEvent:
    """Return an event of a run of `airflow`'s job `encode`; datasets lie in the warehouse."""
    facets: Any = (
        {"errorMessage": error_message_run.ErrorMessageRunFacet(error, "python")} if error else {}
    )
    return ol.RunEvent(
        eventTime=time,
        eventType=ol.RunState(state),
        run=ol.Run(run, facets),
        job=ol.Job("airflow", "encode"),
        inputs=[ol.InputDataset(WAREHOUSE, name, facets=f) for name, f in (inputs or {}).items()],
        outputs=[
            ol.OutputDataset(WAREHOUSE, name, facets=f) for name, f in (outputs or {}).items()
        ],
    )


def job_event(inputs: Sequence[str], outputs: Sequence[str] = ()) -> ol.JobEvent:
    """Return what the job `encode` reads and writes."""
    return ol.JobEvent(
        eventTime=NOON,
        job=ol.Job("airflow", "encode"),
        inputs=[ol.InputDataset(WAREHOUSE, name) for name in inputs],
        outputs=[ol.OutputDataset(WAREHOUSE, name) for name in outputs],
    )


def dataset_event(name: str, facets: dict[str, Any], time: str = NOON) -> ol.DatasetEvent:
    """Return what became of a dataset in the warehouse."""
    return ol.DatasetEvent(eventTime=time, dataset=ol.StaticDataset(WAREHOUSE, name, facets=facets))


def as_json(event: Any) -> Any:
    """Return an event as the client sends it."""
    return json.loads(Serde.to_json(event))


def _input(dataset: str, column: str, steps: str) -> column_lineage_dataset.InputField:
    pairs = (step.split("/") for step in steps.split())
    transformations = [column_lineage_dataset.Transformation(kind, of) for kind, of in pairs]
    return column_lineage_dataset.InputField(WAREHOUSE, dataset, column, transformations)
