"""The role that each method demands."""

from services.chassis.interceptors.auth import AccessTable
from services.chassis.tokens import Role

_SERVICE = "/aftershock.v1.AggregatorService/"

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
}
