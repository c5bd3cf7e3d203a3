"""Who is reliable: leave-one-out agreement, Dawid and Skene, and what is said about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from data_helpers import HERE, said, turns, write_lines

from preftune.data import Ballot, VotedPair
from preftune.data.annotators import Tally, agreement, dawid_skene, decide, leave_one_out
from preftune.data.checks import CheckOptions, check
from preftune.data.checks.parts import Draft
from preftune.data.checks.votes import vote_drafts
from preftune.errors import DataError

CHOICES = ("first", "tie", "second")
NAMES = ("ann", "ben", "cem", "dua", "eve")


def votes(seed: int, skill: dict[str, float], items: int = 400) -> tuple[list[str], list[list[Ballot]]]:
    """True choices (no ties), and ballots that are right with the skill of their annotator."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(["first", "second"], size=items).tolist()
    wrong = {"first": "second", "second": "first"}
    return truth, [
        [Ballot(name, right if rng.random() < p else wrong[right]) for name, p in skill.items()] for right in truth
    ]


def drafts(ballots: Iterable[Iterable[Ballot]]) -> dict[str, Draft]:
    found = agreement(ballots)
    assert found is not None
    return {draft.name: draft for draft in vote_drafts(found)}


def named(ballots: Iterable[Iterable[Ballot]]) -> dict[str, str]:
    return {name: draft.severity for name, draft in drafts(ballots).items()}


def test_leave_one_out_compares_with_the_majority_of_the_others() -> None:
    tally = Tally()
    for choices in ("000", "002", "022", "021"):
        tally.add(Ballot(name, CHOICES[int(c)]) for name, c in zip(NAMES, choices, strict=False))
    found = {one.annotator: (one.compared, one.agreement) for one in leave_one_out(tally.table())}
    # By hand: ann sees others 00, 02, 22, 21; ben 00, 02, 02, 01; cem 00, 00, 02, 02.
    assert found == {"ann": (2, 0.5), "ben": (1, 1.0), "cem": (2, 0.5)}


def test_a_careless_annotator_is_named() -> None:
    _, ballots = votes(0, {**dict.fromkeys(NAMES[:4], 0.9), "eve": 0.55})
    found = drafts(ballots)["annotator_quality"]
    assert found.severity == "warning"
    assert found.message.startswith("1 of 5 annotators agree with the majority less than the others do")
    assert [one["annotator"] for one in found.details["annotators"]] == ["eve"]


@pytest.mark.parametrize("seed", range(10))
def test_careful_annotators_are_not_accused(seed: int) -> None:
    _, ballots = votes(seed, dict.fromkeys(NAMES[:3], 0.97))
    assert "annotator_quality" not in named(ballots)


@pytest.mark.parametrize(("skill", "severity"), [(0.95, None), (0.75, "warning"), (0.5, "warning"), (0.935, "info")])
def test_low_agreement_is_found(skill: float, severity: str | None) -> None:
    """Two who are right with probability p agree with p^2 + (1 - p)^2; alpha is twice that less 1."""
    _, ballots = votes(1, dict.fromkeys(NAMES[:3], skill), 4000)
    assert named(ballots).get("annotator_agreement") == severity
    found = agreement(ballots)
    assert found is not None
    expected = 2 * (skill**2 + (1 - skill) ** 2) - 1
    assert found.alpha_nominal is not None
    assert found.alpha_nominal.value == pytest.approx(expected, abs=0.03)


def test_dawid_skene_finds_truth_and_error_rates_of_made_votes() -> None:
    skill = {"ann": 0.95, "ben": 0.6, "cem": 0.6, "dua": 0.6, "eve": 0.1}
    truth, ballots = votes(2, skill, 2000)
    tally = Tally()
    for one in ballots:
        tally.add(one)
    consensus = dawid_skene(tally.table())
    believed = [CHOICES[k] for k in consensus.beliefs.argmax(1)]
    majority = [Counter(b.choice for b in one).most_common(1)[0][0] for one in ballots]
    right = [sum(map(str.__eq__, one, truth)) / len(truth) for one in (believed, majority)]
    assert right[0] > 0.93 > 0.75 > right[1]
    for name, rates in zip(skill, consensus.confusion, strict=True):
        assert rates[0, 0] == pytest.approx(skill[name], abs=0.04)
        assert rates[2, 2] == pytest.approx(skill[name], abs=0.04)
    assert consensus.prevalence[[0, 2]] == pytest.approx([0.5, 0.5], abs=0.04)
    assert np.allclose(consensus.beliefs.sum(1), 1)


def test_one_round_of_dawid_skene_by_hand() -> None:
    """The fixed point of the equations, written out with loops."""
    _, ballots = votes(3, {"ann": 0.9, "ben": 0.7, "cem": 0.8}, 60)
    tally = Tally()
    for one in ballots:
        tally.add(one)
    found = dawid_skene(tally.table())
    for item, one in enumerate(ballots):
        belief = np.array(found.prevalence)
        for ballot in one:
            who = NAMES.index(ballot.annotator)
            belief = belief * found.confusion[who, :, CHOICES.index(ballot.choice)]
        assert belief / belief.sum() == pytest.approx(found.beliefs[item], abs=1e-9)


def test_position_bias_needs_a_known_order_to_be_a_warning() -> None:
    first = [[Ballot("x", "first")]] * 80 + [[Ballot("x", "second")]] * 20
    assert named(first) == {"position_bias": "info"}
    shown = [[Ballot("x", one.choice, "first")] for (one,) in first]
    assert named(shown) == {"position_bias": "warning"}
    assert "the answer shown first wins 80 % of 100 decisive votes" in drafts(shown)["position_bias"].message


def test_winners_that_change_with_the_order_are_found() -> None:
    steady = [Ballot("x", "first", "first"), Ballot("x", "first", "second")]
    turned = [Ballot("x", "first", "first"), Ballot("x", "second", "second")]
    found = drafts([steady] * 60 + [turned] * 40)["position_bias"]
    assert "40 of 100 winners change with the order" in found.message
    assert named([steady] * 95 + [turned] * 5) == {}


def voted(*choices: int, weight: float = 1.0) -> VotedPair:
    ballots = tuple(Ballot(name, CHOICES[c]) for name, c in zip(NAMES, choices, strict=False))
    return VotedPair(turns("Hi"), (said("A"), said("B")), ballots, HERE, weight=weight)


def test_every_voted_pair_is_decided_or_a_tie() -> None:
    decided = decide([voted(0, 0, 2), voted(2), voted(0, 2), voted(1, 1, 0), voted(0, 0, 0, weight=2)])
    assert [(p.chosen, p.weight) for p in decided.pairs] == [(said("A"), 2 / 3), (said("B"), 1.0), (said("A"), 2.0)]
    assert len(decided.ties) == 2
    with pytest.raises(DataError, match="unknown method 'dawid'; did you mean 'dawid_skene'"):
        decide([voted(0)], "dawid")


def test_dawid_skene_weighs_votes_by_who_gave_them() -> None:
    """Ann is always right, the two others guess alike; majority follows them, the model ann."""
    _, ballots = votes(4, {"ann": 0.99, "ben": 0.6, "cem": 0.6, "dua": 0.97}, 300)
    pairs = [VotedPair(turns("Hi"), (said("A"), said("B")), tuple(one), HERE) for one in ballots]
    contested = voted(0, 2, 2)
    decided = decide([*pairs, contested], "dawid_skene")
    last = decided.pairs[-1]
    assert last.chosen == said("A")
    assert 0.5 < last.weight <= 1
    assert decide([contested]).pairs[0].chosen == said("B")


def test_no_votes_say_nothing() -> None:
    assert agreement([]) is None
    assert agreement([()]) is None


def test_a_check_of_pandalm_tells_of_all_votes_and_warns_of_none(shared_data: Path) -> None:
    """Also of the 60 rows whose texts give no pair."""
    report = check(shared_data / "pandalm", CheckOptions(slow=False))
    found = report.statistics["agreement"]
    assert (found["items"], found["votes"], found["annotators"]) == (999, 2997, 3)
    assert round(found["alpha_nominal"]["value"], 3) == 0.864
    assert not {"annotator_agreement", "annotator_quality", "position_bias"} & {f.name for f in report.findings}


def test_a_check_of_noisy_votes_warns(tmp_path: Path) -> None:
    _, ballots = votes(5, {"ann": 0.6, "ben": 0.6, "cem": 0.6}, 200)
    rows = [
        {"prompt": f"q{n}", "response1": "yes", "response2": "no", "votes": {b.annotator: b.choice for b in one}}
        for n, one in enumerate(ballots)
    ]
    report = check(write_lines(tmp_path / "v.jsonl", rows), CheckOptions(slow=False))
    found = report.named("annotator_agreement")
    assert found is not None
    assert (found.code, found.severity, found.rows) == ("P027", "warning", ())
    assert "near chance" in found.message
