"""Who may call what."""

from services.chassis.interceptors.auth import AccessTable
from services.chassis.tokens import Role

_SERVICE = "/aftershock.v1.AuditService"

ACCESS: AccessTable = {
    f"{_SERVICE}/StartAudit": Role.PROPOSER,
    f"{_SERVICE}/CancelAudit": Role.PROPOSER,
    f"{_SERVICE}/GetAudit": Role.READER,
    f"{_SERVICE}/ListAudits": Role.READER,
    f"{_SERVICE}/DiffAudits": Role.READER,
}
