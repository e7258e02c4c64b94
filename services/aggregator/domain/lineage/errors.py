"""What can be wrong with lineage and with questions about it."""

from services.aggregator.domain.errors import AggregatorError


class InvalidNode(AggregatorError):
    """A text that is not the id of a node."""


class InvalidFacts(AggregatorError):
    """Lineage that contradicts itself or cannot be kept."""


class NodeNotFound(AggregatorError):
    """The graph has no such node."""

    def __init__(self, node: str, field: str | None = None) -> None:
        super().__init__(
            f"the lineage graph has no {node}: register it first, or look for its exact id with "
            "`aftershock lineage show` on a neighbour",
            field=field,
        )


class LogForgotten(Exception):
    """The log of facts no longer reaches back as far: a snapshot holds what came before.

    No caller sees it: whoever follows the log begins anew.
    """

    def __init__(self) -> None:
        super().__init__("the log of lineage has moved on: begin with its snapshot")


class InvalidQuestion(AggregatorError):
    """A question about lineage that has no answer."""
