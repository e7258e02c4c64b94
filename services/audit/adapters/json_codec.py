"""Audits and reports as JSON."""

from typing import Final

from pydantic import TypeAdapter

from services.audit.domain.audit import Audit, Failure
from services.audit.domain.report import AuditReport

AUDIT: Final = TypeAdapter(Audit)
FAILURE: Final = TypeAdapter(Failure)
REPORT: Final = TypeAdapter(AuditReport)
