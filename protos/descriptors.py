"""Prepares descriptor sets for the generator.

The rules of the contract (`buf.validate` options) are checked by the services alone. The published
SDK must not need the validation library, yet a stub that imports `buf/validate/validate.proto`
would. So the stubs are generated from descriptors that keep each rule's bytes in place and leave
out the import that names their type: the services' validator reads the bytes, everyone else skips
them.
"""

import sys
from pathlib import Path

from google.protobuf import (
    descriptor_pb2,
    duration_pb2,
    field_mask_pb2,
    timestamp_pb2,
)
from protovalidate._gen.buf.validate import validate_pb

RULES = "buf/validate/validate.proto"


def rules_descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    """Return the descriptor of the rules' own file with what it imports."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().ParseFromString(validate_pb._DESC.proto.to_binary())
    return files


def without_rules_import(
    files: descriptor_pb2.FileDescriptorSet,
) -> descriptor_pb2.FileDescriptorSet:
    """Return the files without the rules' own file and without imports of it."""
    kept = descriptor_pb2.FileDescriptorSet(file=[f for f in files.file if f.name != RULES])
    for file in kept.file:
        if RULES in file.dependency:
            file.dependency.remove(RULES)
    return kept


def main() -> None:
    """Run `rules OUT` or `strip IN OUT`."""
    match sys.argv[1:]:
        case ["rules", out]:
            files = rules_descriptor_set()
        case ["strip", source, out]:
            files = without_rules_import(
                descriptor_pb2.FileDescriptorSet.FromString(Path(source).read_bytes())
            )
        case _:
            sys.exit("usage: descriptors.py rules OUT | strip IN OUT")
    Path(out).write_bytes(files.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
