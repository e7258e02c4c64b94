"""What can go wrong in the drill's world.

DrillError
+-- DataUnavailableError   the data set cannot be had
+-- DataDigestError        a download is not the pinned file
+-- EncodingError          a logged value does not fit the feature's kind
+-- CheckpointError        a checkpoint folder cannot be read safely
"""


class DrillError(Exception):
    """Anything the drill refuses to do, with what to do about it in the message."""


class DataUnavailableError(DrillError):
    """The data set is not in the cache and cannot be downloaded."""


class DataDigestError(DrillError):
    """A downloaded file differs from the one whose digest is pinned."""


class EncodingError(DrillError):
    """A logged value does not fit its feature: names the feature and, where known, the row."""


class CheckpointError(DrillError):
    """A checkpoint folder is incomplete, altered, or would run code when read."""
