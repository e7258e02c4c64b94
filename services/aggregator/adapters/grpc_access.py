"""The role that each method demands."""

from services.chassis.interceptors.auth import AccessTable
from services.chassis.tokens import Role

_SERVICE = "/aftershock.v1.AggregatorService/"
_LINEAGE = "/aftershock.v1.LineageService/"

ACCESS: AccessTable = {
    f"{_SERVICE}IngestLfi": Role.PIPELINE,
    f"{_SERVICE}ReportOutcomes": Role.PIPELINE,
    f"{_SERVICE}ListModels": Role.READER,
    f"{_SERVICE}SetModelRules": Role.ADMIN,
    f"{_SERVICE}ListWindows": Role.READER,
    f"{_SERVICE}GetGfi": Role.READER,
    f"{_SERVICE}GetFeatureProfile": Role.READER,
    f"{_SERVICE}CompareWindows": Role.READER,
    f"{_SERVICE}ChooseSampleSize": Role.READER,
    f"{_SERVICE}GetWindowSample": Role.READER,
    f"{_SERVICE}WatchShifts": Role.READER,
    f"{_LINEAGE}RegisterFeatures": Role.PIPELINE,
    f"{_LINEAGE}RegisterModel": Role.PIPELINE,
    f"{_LINEAGE}RegisterLineage": Role.PIPELINE,
    f"{_LINEAGE}GetLineage": Role.READER,
    f"{_LINEAGE}TracePropagation": Role.READER,
    f"{_LINEAGE}FindCommonCauses": Role.READER,
    f"{_LINEAGE}GetBlastRadius": Role.READER,
    f"{_LINEAGE}WatchPropagation": Role.READER,
    f"{_LINEAGE}RecordEvent": Role.PIPELINE,
    f"{_LINEAGE}ListEvents": Role.READER,
}
