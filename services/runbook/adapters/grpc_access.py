"""Who may call which method."""

from services.chassis.interceptors.auth import AccessTable
from services.chassis.tokens import Role

_SERVICE = "/aftershock.v1.RunbookService"

ACCESS: AccessTable = {
    f"{_SERVICE}/ListIncidents": Role.READER,
    f"{_SERVICE}/GetIncident": Role.READER,
    f"{_SERVICE}/WatchIncidents": Role.READER,
    f"{_SERVICE}/ApproveMitigation": Role.APPROVER,
    f"{_SERVICE}/RejectMitigation": Role.APPROVER,
    f"{_SERVICE}/RevertMitigation": Role.APPROVER,
    f"{_SERVICE}/RenewMitigation": Role.APPROVER,
    f"{_SERVICE}/ReleaseMitigation": Role.APPROVER,
    f"{_SERVICE}/PauseMitigations": Role.APPROVER,
    f"{_SERVICE}/ResumeMitigations": Role.APPROVER,
    f"{_SERVICE}/GetPause": Role.READER,
    f"{_SERVICE}/SnoozeIncident": Role.APPROVER,
    f"{_SERVICE}/ClaimSurface": Role.DELEGATE,
    f"{_SERVICE}/RecordSurface": Role.DELEGATE,
    f"{_SERVICE}/CheckPolicy": Role.READER,
    f"{_SERVICE}/ReplayPolicy": Role.READER,
    f"{_SERVICE}/VerifyAudit": Role.READER,
}
