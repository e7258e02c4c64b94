"""What the database saw happen to mitigations and to features, and whether that may happen.

Triggers of the database itself record each effect and each audit row in the transaction that makes
them: what the runbook says of itself is compared with what it did.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, text

from services.runbook.domain.mitigation import ALLOWED, BEGINNING, IN_FORCE, MitigationState
from services.runbook.domain.pause import PAUSE_SUBJECT, PauseState

_S = MitigationState
_IN_EFFECT = frozenset({_S.APPLIED, _S.VERIFYING, _S.EFFECTIVE})
# Those in effect and those being released wait for windows.
_SETTLED = _IN_EFFECT | frozenset(
    {
        _S.RELEASING,
        _S.RELEASED,
        _S.REJECTED,
        _S.EXPIRED,
        _S.REVERTED,
        _S.CONFLICTED,
    }
)
_INCIDENT_WAYS = {("", "OPEN"), ("OPEN", "CLOSED"), ("CLOSED", "OPEN")}
_PAUSE_WAYS = {("RUNNING", "PAUSED"), ("PAUSED", "RUNNING")}

_AUDIT = "'moved', NEW.subject, NEW.ordinal, NEW.before, NEW.after"
_KILLED = "'killed', NEW.key, 0, '', NEW.feature"
_SERVED = "'served', OLD.key, 0, '', OLD.feature"
_EXPOSED = "'exposed', NEW.key, 0, '', CAST(NEW.served_percent AS TEXT)"
_WATCHED = (
    ("audit", "INSERT", _AUDIT),
    ("killed_feature", "INSERT", _KILLED),
    ("killed_feature", "DELETE", _SERVED),
    ("killed_feature", "UPDATE", _EXPOSED),
)
_INSERT = 'INSERT INTO witness (what, subject, ordinal, "before", "after") VALUES'


@dataclass(frozen=True)
class Entry:
    """One thing that happened."""

    what: str
    """`moved`: a state changed. `killed` or `served`: a feature was switched off, or on again.
    `exposed`: it is served to a share of traffic."""
    subject: str
    """Resource name of the incident or mitigation."""
    ordinal: int
    before: str
    after: str
    """The state, the feature, or the share in percent."""


def install_witness(engine: Engine) -> None:
    """Have the database record what happens in it from now on."""
    sqlite = engine.dialect.name == "sqlite"
    number = "INTEGER PRIMARY KEY" if sqlite else "SERIAL PRIMARY KEY"
    with engine.begin() as connection:
        connection.execute(
            text(
                f"CREATE TABLE witness (sequence {number}, what TEXT, subject TEXT,"
                ' ordinal INTEGER, "before" TEXT, "after" TEXT)'
            )
        )
        for table, change, values in _WATCHED:
            name = f"witness_{table}_{change}"
            insert = f"{_INSERT} ({values});"
            body = f"BEGIN {insert} END" if sqlite else f"EXECUTE FUNCTION {name}()"
            if not sqlite:
                returned = f"BEGIN {insert} RETURN NULL; END"
                connection.execute(
                    text(
                        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
                        f" AS $$ {returned} $$"
                    )
                )
            on = f"CREATE TRIGGER {name} AFTER {change} ON {table} FOR EACH ROW"
            connection.execute(text(f"{on} {body}"))


def witnessed(engine: Engine) -> Sequence[Entry]:
    """Return everything that was recorded, in order."""
    columns = 'what, subject, ordinal, "before", "after"'
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT {columns} FROM witness ORDER BY sequence"))
        return [Entry(*row) for row in rows]


def audited(engine: Engine) -> Sequence[Entry]:
    """Return the runbook's own audit, in its order."""
    columns = 'subject, ordinal, "before", "after"'
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT {columns} FROM audit ORDER BY sequence"))
        return [Entry("moved", *row) for row in rows]


def judge(
    history: Iterable[Entry], audit: Collection[Entry], acknowledged: Collection[str]
) -> Counter[str]:
    """Return how often each promise was broken, and the number of mitigations.

    Args:
        history: what was witnessed, in order.
        audit: what the runbook recorded.
        acknowledged: names of mitigations whose approval an expert was told of.
    """
    of_subject: defaultdict[str, list[Entry]] = defaultdict(list)
    counts, paused, called_off = Counter[str](), False, set()
    for entry in history:
        of_subject[entry.subject].append(entry)
        if entry.subject == PAUSE_SUBJECT:
            paused = entry.after == PauseState.PAUSED
        if (entry.before, entry.after) == (_S.APPROVED, _S.CONFLICTED) and paused:
            called_off.add(entry.subject)
        counts["invalid_transitions"] += paused and (entry.before, entry.after) == BEGINNING
    for subject, entries in of_subject.items():
        moves = [entry for entry in entries if entry.what == "moved"]
        counts["audit_breaks"] += sum(
            move.ordinal != place for place, move in enumerate(moves)
        ) + abs(len(moves) - sum(entry.subject == subject for entry in audit))
        if "/mitigations/" in subject:
            counts["mitigations"] += 1
            _judge_mitigation(entries, subject in acknowledged, subject in called_off, counts)
        else:
            allowed = _PAUSE_WAYS if subject == PAUSE_SUBJECT else _INCIDENT_WAYS
            ways = [(move.before, move.after) for move in moves]
            counts["invalid_transitions"] += sum(way not in allowed for way in ways)
    counts["audit_breaks"] += len(set(audit) - {e for every in of_subject.values() for e in every})
    counts["approved_but_never_applied"] += len(set(acknowledged) - of_subject.keys())
    return counts


def _judge_mitigation(
    entries: Sequence[Entry], acknowledged: bool, called_off: bool, counts: Counter[str]
) -> None:
    state, passed, share = "", [], 0
    killed, served = Counter[str](), Counter[str]()
    for entry in entries:
        if entry.what == "moved":
            ways = ALLOWED[_S(state)] if state else {_S.PROPOSED}
            counts["invalid_transitions"] += entry.before != state or entry.after not in ways
            state = entry.after
            passed.append(state)
        elif entry.what == "killed":
            killed[entry.after] += 1
            counts["effects_applied_twice"] += killed[entry.after] > 1
            begun = state in {_S.APPLYING, _S.REVERTING}
            counts["applied_without_approval"] += not begun or _S.APPROVED not in passed
        elif entry.what == "exposed":
            share = int(entry.after)
            # Nobody asked for it back, or somebody asked for it to be off again since.
            asked = {_S.RELEASING, _S.APPLYING, _S.REVERTING} if share else {_S.APPLYING}
            counts["approved_but_never_applied"] += state not in asked
        else:
            served[entry.after] += 1
            counts["effects_applied_twice"] += served[entry.after] > 1
            # Nobody asked for it back: what was approved is no longer in force.
            counts["approved_but_never_applied"] += state not in {_S.REVERTING, _S.RELEASING}
    approved = _S.APPROVED in passed
    unsettled = state not in _SETTLED or (state == _S.CONFLICTED and not called_off)
    in_effect = bool(killed - served)
    counts["approved_but_never_applied"] += (
        (acknowledged and not approved)
        or (approved and unsettled)
        or (state in _IN_EFFECT and (not in_effect or share > 0))
    )
    counts["applied_without_approval"] += in_effect and state not in IN_FORCE
