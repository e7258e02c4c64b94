"""Who may call what."""

from services.chassis.interceptors.auth import AccessTable
from services.chassis.tokens import Role

_SERVICE = "/aftershock.v1.AttributionService"

ACCESS: AccessTable = {
    f"{_SERVICE}/ComputeLfi": Role.PIPELINE,
    f"{_SERVICE}/PreviewMitigation": Role.READER,
    f"{_SERVICE}/ListCheckpoints": Role.READER,
    f"{_SERVICE}/GetCheckpoint": Role.READER,
    f"{_SERVICE}/ExplainCheckpoint": Role.READER,
    f"{_SERVICE}/ComputeSaliency": Role.READER,
    f"{_SERVICE}/TestInsertion": Role.READER,
    f"{_SERVICE}/TestGroup": Role.READER,
    f"{_SERVICE}/LoadCheckpoint": Role.ADMIN,
    f"{_SERVICE}/UnloadCheckpoint": Role.ADMIN,
}
