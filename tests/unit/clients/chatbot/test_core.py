"""What a message says, whatever an incident is made of."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftershock.v1.incident_pb2 import (
    Incident,
    IncidentState,
    IncidentVerdict,
    Mitigation,
    MitigationKind,
    MitigationState,
    Preview,
)
from aftershock.v1.lineage_pb2 import FindingFlips, FindingLean
from clients.chatbot.core.card import Card, Choice, Mood
from clients.chatbot.core.decision import Target, UnknownButton
from clients.chatbot.core.describe import card_of
from clients.chatbot.core.evidence import details
from clients.chatbot.core.text import NAME_LENGTH, clean, name_of, plain
from clients.chatbot.core.thread import next_note, told_by
from clients.chatbot.core.words import number
from tests.unit.clients.chatbot.incidents import incident, incidents, mitigation, names

_S = MitigationState
_K = MitigationKind
FEATURES = ("user_embedding_v3", "user_embedding_v2")


def text_of(card: Card) -> str:
    lines = [plain(line) for section in card.sections for line in section.lines]
    return "\n".join([card.headline, *lines])


def about_finding(
    kind: MitigationKind.ValueType,
    state: MitigationState.ValueType = _S.MITIGATION_STATE_PROPOSED,
) -> Mitigation:
    acted = mitigation((), state)
    acted.kind = kind
    acted.labels.add(
        label="4711",
        feature="watched",
        node="dataset:ads:clicks",
        outcome="1",
        share=0.95,
        target_share=0.12,
    )
    return acted


def choices(card: Card) -> list[Choice]:
    return [button.choice for button in card.buttons]


class TestWhatIsSaid:
    def test_a_proposal_reads_as_in_the_journey(self) -> None:
        card = card_of(incident(mitigation(FEATURES)))
        assert text_of(card).splitlines() == [
            "ads_ctr over-predicts: calibration 1.31",
            "Calibration 1.31 (1.26 to 1.36); before: 1.00 (0.96 to 1.04). "
            "Since 22 Nov 02:00 UTC, 2 anomalous windows.",
            "Verdict: some features shifted beyond their noise.",
            "Most likely: user_embedding_v3 · GFI 0.00800 → 1.18 (rank 212 → 1) · shift +1.17 "
            "(1.10 to 1.25) · coverage 97 % → 97 %",
            "Next: user_embedding_v2 · GFI 0.00800 → 1.18 (rank 212 → 2) · shift +1.17 "
            "(1.10 to 1.25) · coverage 97 % → 97 %",
            "212 features quiet.",
            "Proposed: switch off 2 features: user_embedding_v3, user_embedding_v2.",
            "Preview: calibration 1.31 → 1.03 (0.99 to 1.07). Doing nothing: 1.31.",
            "Needs 1 approval · expires 22 Nov 03:42 UTC · touches 10,000 examples a window",
            "Approve or reject: switch off 2 features. Expires at 03:42 UTC.",
            "INC-42 · opened 22 Nov 03:10 UTC",
        ]
        assert choices(card) == [
            Choice.APPROVE,
            Choice.REJECT,
            Choice.DETAILS,
            Choice.SNOOZE,
            Choice.PAUSE,
        ]

    @pytest.mark.parametrize(
        ("kind", "said"),
        [
            (_K.MITIGATION_KIND_ID_MASK, "Proposed: serve watched without id 4711."),
            (
                _K.MITIGATION_KIND_ROW_QUARANTINE,
                "Proposed: leave out of training: rows of dataset:ads:clicks with label 4711 and "
                "outcome 1.",
            ),
            (
                _K.MITIGATION_KIND_ROW_REBALANCE,
                "Proposed: weigh in training: rows of dataset:ads:clicks with label 4711 and "
                "outcome 1 with 12 % of them instead of 95 %.",
            ),
        ],
    )
    def test_what_is_done_about_findings(self, kind: MitigationKind.ValueType, said: str) -> None:
        assert said in text_of(card_of(incident(about_finding(kind))))

    @pytest.mark.parametrize(
        ("kind", "labels"),
        [
            (_K.MITIGATION_KIND_ID_MASK, ["Renew", "Serve again", "Take back"]),
            (_K.MITIGATION_KIND_ROW_QUARANTINE, ["Renew", "Take back"]),
        ],
    )
    def test_how_what_was_done_about_findings_can_end(
        self, kind: MitigationKind.ValueType, labels: list[str]
    ) -> None:
        effective = about_finding(kind, _S.MITIGATION_STATE_EFFECTIVE)
        card = card_of(incident(effective))
        assert [button.label for button in card.buttons] == labels

    def test_a_finding_of_a_healthy_model(self) -> None:
        opened = incident(about_finding(_K.MITIGATION_KIND_ID_MASK))
        opened.ClearField("comparison")
        opened.ClearField("windows")
        opened.verdict = IncidentVerdict.INCIDENT_VERDICT_NATURAL_TRIGGER
        for label in ("4711", "12"):
            told = opened.findings.add(label=label, node="dataset:ads:clicks", severity=0.4)
            told.lean.MergeFrom(FindingLean(outcome="1", share=0.95, expected_share=0.12, z=41.0))
            told.flips.MergeFrom(FindingFlips(example_count=1000, flipped_up=480))
        lines = text_of(card_of(opened)).splitlines()
        assert lines[:4] == [
            "ads_ctr could be hijacked: label 4711 and 1 more",
            "Calibration is healthy. Verdict: an audit found labels in what feeds the model that "
            "could hijack it.",
            "An audit of dataset:ads:clicks found label 4711 · severity 0.400 · outcome 1 "
            "12 % → 95 % (z 41) · flips 480 of 1,000 predictions",
            "An audit of dataset:ads:clicks found label 12 · severity 0.400 · outcome 1 "
            "12 % → 95 % (z 41) · flips 480 of 1,000 predictions",
        ]
        opened.mitigations[0].preview.CopyFrom(Preview(calibration=1.01, lower=0.98, upper=1.04))
        assert "Preview: calibration 1.01 (0.98 to 1.04)." in text_of(card_of(opened))
        opened.state = IncidentState.INCIDENT_STATE_CLOSED
        assert card_of(opened).headline == "ads_ctr was decided about: label 4711 and 1 more"

    def test_rows_are_in_effect_once_their_owner_says_so(self) -> None:
        kind = _K.MITIGATION_KIND_ROW_QUARANTINE
        effective = about_finding(kind, _S.MITIGATION_STATE_EFFECTIVE)
        effective.reason = "the owner confirms"
        assert "In effect: the owner confirms" in text_of(card_of(incident(effective)))
        applied = about_finding(kind, _S.MITIGATION_STATE_APPLIED)
        assert "checkpoints that are trained from now on" in text_of(card_of(incident(applied)))

    @pytest.mark.parametrize(
        ("state", "mood", "said"),
        [
            (_S.MITIGATION_STATE_APPROVED, Mood.ACTS, "Approved by ada: about to switch off"),
            (_S.MITIGATION_STATE_VERIFYING, Mood.ACTS, "In force since 22 Nov 03:14 UTC"),
            (_S.MITIGATION_STATE_EFFECTIVE, Mood.GOOD, "Effective: calibration 1.02, previewed"),
            (_S.MITIGATION_STATE_REJECTED, Mood.ASKS, "Rejected: switch off 2 features"),
            (_S.MITIGATION_STATE_EXPIRED, Mood.ASKS, "Expired, nobody answered"),
            (_S.MITIGATION_STATE_REVERTED, Mood.BAD, "Taken back"),
            (_S.MITIGATION_STATE_FAILED, Mood.BAD, "nobody knows what is in force"),
            (_S.MITIGATION_STATE_CONFLICTED, Mood.BAD, "Not done"),
            (_S.MITIGATION_STATE_RELEASED, Mood.GOOD, "Switched back on for good"),
        ],
    )
    def test_every_state_is_told(
        self, state: MitigationState.ValueType, mood: Mood, said: str
    ) -> None:
        card = card_of(incident(mitigation(FEATURES, state, approvers=["ada"])))
        assert card.mood is mood
        assert said in text_of(card)

    @pytest.mark.parametrize("state", MitigationState.values())
    @pytest.mark.parametrize(
        "over", [IncidentState.INCIDENT_STATE_OPEN, IncidentState.INCIDENT_STATE_CLOSED]
    )
    def test_what_is_in_force_can_be_steered_also_after_its_incident(
        self, state: MitigationState.ValueType, over: IncidentState.ValueType
    ) -> None:
        expected = {
            _S.MITIGATION_STATE_APPLIED: ["revert"],
            _S.MITIGATION_STATE_VERIFYING: ["revert"],
            _S.MITIGATION_STATE_EFFECTIVE: ["renew", "release", "revert"],
            _S.MITIGATION_STATE_RELEASING: ["renew", "revert"],
            _S.MITIGATION_STATE_FAILED: ["revert"],
        }
        if state != _S.MITIGATION_STATE_PROPOSED:
            card = card_of(incident(mitigation(FEATURES, state), state=over))
            assert choices(card) == expected.get(state, [])

    def test_what_does_not_lapse_is_neither_renewed_nor_released(self) -> None:
        rollback = mitigation((), _S.MITIGATION_STATE_EFFECTIVE)
        rollback.ClearField("lease_expire_time")
        assert choices(card_of(incident(rollback))) == [Choice.REVERT]

    def test_a_rejected_second_thought_leaves_the_first_in_hand(self) -> None:
        first = mitigation(FEATURES, _S.MITIGATION_STATE_EFFECTIVE)
        second = mitigation(FEATURES, _S.MITIGATION_STATE_REJECTED)
        second.name = "incidents/INC-42/mitigations/2"
        [renew, *_] = card_of(incident(first, second)).buttons
        assert Target.decode(renew.value).mitigation == first.name
        third = mitigation(FEATURES, _S.MITIGATION_STATE_APPLYING)
        assert not card_of(incident(first, third)).buttons

    @pytest.mark.parametrize(
        ("models", "said"), [(0, "felt by 0 other models"), (1, "felt by 1 other model")]
    )
    def test_the_blast_radius_is_told_where_it_is_known(self, models: int, said: str) -> None:
        known = mitigation(FEATURES)
        assert "felt by" not in text_of(card_of(incident(known)))
        known.downstream_model_count = models
        assert said in text_of(card_of(incident(known)))

    def test_the_loudest_signals_are_named(self) -> None:
        known = incident(mitigation(FEATURES))
        for signal, strength in ((4, 45.2), (2, 12.0), (1, 1.1)):
            known.comparison.shifts[0].evidence.add(signal=signal, strength=strength)
        assert "97 % · beyond its noise: values 45 x, LFIs 12 x\n" in text_of(card_of(known))

    def test_a_newer_runbook_is_said(self) -> None:
        card = card_of(incident(mitigation(FEATURES, 99)))  # type: ignore[arg-type]
        assert "does not know: switch off 2 features" in text_of(card)
        assert choices(card) == []

    def test_one_yes_of_two_still_asks(self) -> None:
        half = mitigation(FEATURES, approvers=["ada"])
        half.required_approvals = 2
        card = card_of(incident(half))
        assert "1 of 2 approvals, by ada" in text_of(card)
        assert Choice.APPROVE in choices(card)

    def test_without_a_proposal_nothing_can_be_approved(self) -> None:
        assert choices(card_of(incident())) == [Choice.DETAILS, Choice.SNOOZE]

    def test_a_closed_incident_is_quiet(self) -> None:
        closed = incident(state=IncidentState.INCIDENT_STATE_CLOSED)
        assert (card_of(closed).mood, choices(card_of(closed))) == (Mood.QUIET, [])

    @pytest.mark.parametrize(
        ("value", "said"),
        [(0, "0"), (0.00812, "0.00812"), (1.234, "1.23"), (12345.6, "12,346"), (3e-9, "3.00e-09")],
    )
    def test_numbers_can_be_compared(self, value: float, said: str) -> None:
        assert number(value) == said


class TestHarmless:
    @given(names, st.integers(8, 100))
    def test_names_are_visible_on_one_line(self, name: str, length: int) -> None:
        cleaned = clean(name, length)
        assert cleaned
        assert len(cleaned) <= max(length, len("(no name)")) + 2
        inner = cleaned.strip("\u2068\u2069")
        assert not {unicodedata.category(c) for c in inner} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl"}

    @given(names)
    def test_cleaning_twice_is_cleaning_once(self, name: str) -> None:
        once = clean(name, NAME_LENGTH)
        assert clean(once, NAME_LENGTH) == once

    def test_right_to_left_text_turns_nothing_around_it(self) -> None:
        assert name_of("ميزة").text == "\u2068ميزة\u2069"
        assert "\u202e" not in name_of("\u202egnp.exe").text

    def test_long_names_keep_both_ends(self) -> None:
        shortened = name_of("begin" + "x" * 200 + "end").text
        assert (len(shortened), shortened[:5], shortened[-3:]) == (NAME_LENGTH, "begin", "end")

    @given(incidents())
    def test_any_incident_makes_a_card(self, worst: Incident) -> None:
        card = card_of(worst)
        assert "\n" not in card.headline
        every = [line for s in (*card.sections, *details(worst)) for line in s.lines]
        assert all(span.text.isprintable() or "\u2068" in span.text for x in every for span in x)
        assert card.digest == card_of(worst).digest


class TestButtons:
    @given(st.from_regex(r"[A-Za-z0-9-]{1,64}", fullmatch=True), st.integers(1, 999))
    def test_a_value_leads_back_to_its_plan(self, incident_id: str, ordinal: int) -> None:
        name = f"incidents/{incident_id}"
        about = Target(name, f"{name}/mitigations/{ordinal}", "0f" * 32)
        assert Target.decode(about.encode()) == about
        assert len(about.encode()) <= 150
        assert Target.decode(Target(name).encode()) == Target(name)

    @pytest.mark.parametrize("value", ["", "0.INC-1..", "1", "1.INC-1.1", "1...", "2.INC-1.1.ab"])
    def test_a_button_of_another_version_is_told_apart(self, value: str) -> None:
        with pytest.raises(UnknownButton):
            Target.decode(value)


class TestThread:
    @given(st.integers(0, 60), st.integers(0, 60))
    def test_the_thread_is_told_once_and_in_order(self, length: int, before: int) -> None:
        known = incident(said=[f"entry {n}" for n in range(length)])
        told, lines = min(before, length), []
        while note := next_note(known, told):
            lines += [plain(line).rpartition(": ")[2] for line in note.lines]
            told = told_by(known, [note.key])
        assert lines == [f"entry {n}" for n in range(min(before, length), length)]

    def test_foreign_keys_tell_nothing(self) -> None:
        assert told_by(incident(), ["INC-42/plots/gfi", "INC-4/timeline/3", "x"]) == 0
