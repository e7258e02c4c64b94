"""Between the contract's surface and the domain's."""

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock.v1 import surface_pb2
from services.runbook.domain.surface import Surface


def surface_message(surface: Surface) -> surface_pb2.Surface:
    """Return the message of a surface."""
    message = surface_pb2.Surface(
        name=surface.name,
        message=surface.message,
        shown=surface.shown,
        told_count=surface.told_count,
        attachments=surface.attachments,
        holder=surface.holder,
        etag=str(surface.version),
        interrupted=surface.interrupted,
    )
    if surface.lease_expire_time is not None:
        expires = Timestamp()
        expires.FromDatetime(surface.lease_expire_time)
        message.lease_expire_time.CopyFrom(expires)
    return message


def surface_from(message: surface_pb2.Surface) -> Surface:
    """Return what a bot says of its message. An etag that was never given is of version -1."""
    incident_id, surface_id = surface_ids(message.name)
    return Surface(
        incident=incident_id,
        id=surface_id,
        message=message.message,
        shown=message.shown,
        told_count=message.told_count,
        attachments=tuple(message.attachments),
        holder=message.holder,
        version=int(message.etag) if message.etag.isdecimal() else -1,
    )


def surface_ids(name: str) -> tuple[str, str]:
    """Return the ids of the incident and of the surface."""
    _, incident_id, _, surface_id = name.split("/")
    return incident_id, surface_id
