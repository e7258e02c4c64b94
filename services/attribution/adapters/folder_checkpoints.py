"""Reads checkpoint folders: a manifest, and a program in one of several formats."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from services.attribution.adapters.json_manifest import Manifest
from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.domain.errors import CheckpointRefused
from services.attribution.ports import Scorer

_log = logging.getLogger(__name__)
_LARGEST_MANIFEST = 32 * 1024 * 1024

ProgramReader = Callable[[Checkpoint, bytes], Scorer]
"""Makes a scorer of a program's bytes, or raises CheckpointRefused; runs no code in them."""


class FolderCheckpoints:
    """A CheckpointSource over folders under allowed roots."""

    def __init__(self, roots: Sequence[Path], readers: Mapping[str, ProgramReader]) -> None:
        """Read from under `roots`; the suffix of a program's file chooses its reader."""
        self._roots = [root.resolve() for root in roots]
        self._readers = readers

    def read(self, folder: Path) -> Scorer:
        """Read a checkpoint, running no code that it brings along.

        Each file is read once, and what is checked is what is used.
        """
        manifest = Manifest(self._content(folder / "manifest.json", _LARGEST_MANIFEST))
        reader = self._readers.get(Path(manifest.program_file).suffix)
        if reader is None:
            raise CheckpointRefused(
                f"{manifest.program_file}: this server reads programs in {', '.join(self._readers)}"
                ": export to one of these, or install the extra that reads it"
            )
        program = self._content(folder / manifest.program_file)
        digest = hashlib.sha256(program).hexdigest()
        if digest != manifest.program_sha256:
            raise CheckpointRefused(
                f"{manifest.program_file} has the SHA-256 {digest}, and manifest.json says "
                f"{manifest.program_sha256} in program.sha256: the file is not the one that was "
                "exported"
            )
        scorer = reader(manifest.checkpoint, program)
        _log.info("read checkpoint", extra={"checkpoint": manifest.checkpoint.name})
        return scorer

    def _content(self, path: Path, largest: int | None = None) -> bytes:
        """Return a file's bytes if it lies, all links followed, under an allowed root."""
        try:
            real = path.resolve()
            if not any(real.is_relative_to(root) for root in self._roots):
                raise CheckpointRefused(
                    f"{path} lies outside the server's allowed roots: put the checkpoint under one "
                    "of its checkpoint_roots"
                )
            if not real.is_file():
                raise CheckpointRefused(f"{path} is not a file")
            if largest is not None and real.stat().st_size > largest:
                raise CheckpointRefused(f"{path} is larger than {largest} bytes")
            return real.read_bytes()
        except OSError as error:
            raise CheckpointRefused(f"{path} cannot be read: {error.strerror}") from error
