"""Checkpoints that tell several classes apart, and those that answer one value."""

from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.domain.errors import SeveralClasses, UnknownClass

_TOLD = 20
"""Classes that are listed to who names another."""


def class_index(checkpoint: Checkpoint, name: str) -> int | None:
    """Return the position of a class; None for no name where there are no classes.

    Raises:
        UnknownClass: there is none of that name.
    """
    classes = checkpoint.classes
    if name in classes:
        return classes.index(name)
    if not classes and not name:
        return None
    if not classes:
        text = f"{checkpoint.name} tells no classes apart: leave the class out"
    else:
        known = ", ".join([*classes[:_TOLD], *(["..."] if len(classes) > _TOLD else [])])
        text = f"{checkpoint.name} tells {known} apart: name one of them"
    raise UnknownClass(text, field="target_class")


def check_one_output(checkpoint: Checkpoint, field: str) -> None:
    """Check that there is one prediction for each example, whose change can be told.

    Raises:
        SeveralClasses: there is one for each class.
    """
    if checkpoint.classes:
        raise SeveralClasses(
            f"{checkpoint.name} answers a logit for each of {len(checkpoint.classes)} classes, and "
            "this takes one: export the logit of the class that matters as a checkpoint of its own",
            field=field,
        )
