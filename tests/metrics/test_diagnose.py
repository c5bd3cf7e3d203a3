"""The mission's rules on made histories: what is healthy, what is not, and when a rule stays silent."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from preftune.metrics.diagnose import Evidence, Facts, gradient_spikes
from preftune.metrics.diagnose import verdict as judge
from preftune.metrics.diagnose import watch as look


def rows(*, steps=60, kl=6.0, margin=1.0, accuracy=0.85, held_out=0.8, train_only=False, **fixed):
    """A run whose numbers go in a straight line from those of the untrained model to the given ends."""
    made = []
    for step in range(0, steps + 1, 2):
        way = step / steps
        if step:
            made.append(
                {
                    "step": step, "loss": 0.69 - 0.2 * way, "kl_div": kl * way, "rewards/margins": margin * way,
                    "rewards/accuracies": 0.5 + (accuracy - 0.5) * way, "grad_norm": 2.0,
                    "num_pairs": 8 * step, **fixed,
                }
            )  # fmt: skip
        if step % 20 == 0 and not train_only:
            made.append(
                {
                    "step": step, "eval_loss": 0.69 - 0.2 * way,
                    "eval_rewards/accuracies": 0.5 + (held_out - 0.5) * way,
                    "eval_rewards/margins": margin * way, "eval_num_pairs": 200,
                }
            )  # fmt: skip
    return made


def evidence(history, *, warmup_steps=0, report=None, **facts):
    norms = {row["step"]: row["grad_norm"] for row in history if "grad_norm" in row}
    return Evidence(history, Facts(warmup_steps=warmup_steps, **facts), report or {}, gradient_spikes(norms))


def verdict(history, **known):
    return judge(evidence(history, **known))


def watch(history, **known):
    return look(evidence(history, **known))


def codes(history, **known):
    return {finding.code for finding in verdict(history, **({"warmup_steps": 6} | known)).findings}


def test_a_healthy_run_is_called_healthy_with_its_numbers():
    judged = verdict(rows(), warmup_steps=6)
    assert judged.healthy
    assert judged.findings == ()
    assert judged.sentence.startswith("Healthy: held-out accuracy 50% -> 80%, margin 0.00 -> 1.00, kl_div 5.")
    assert verdict(rows(train_only=True)).healthy


def test_too_much_drift_names_beta():
    judged = verdict(rows(kl=30.0))
    assert not judged.healthy
    assert "beta is too small, the model has drifted too far" in judged.sentence
    assert judged.findings[0].evidence["kl_div"] > 10
    assert "kl_high" not in codes(rows(kl=10.0))


def test_too_little_movement_names_beta_and_learning_rate():
    still = rows(kl=0.05, margin=0.01, accuracy=0.52, held_out=0.51)
    assert "kl_low" in codes(still)
    assert "beta is too large (or lr too small), the model has hardly moved" in verdict(still).sentence


@pytest.mark.parametrize("why", [{"margin": 0.8}, {"kl": -3.0, "margin": 0.01}, {"kl": 3.0, "margin": 0.01}])
def test_the_second_rule_wants_both_a_small_kl_and_a_flat_margin(why):
    assert "kl_low" not in codes(rows(**({"kl": 0.01} | why)))


def test_a_small_beta_does_not_make_a_model_that_moved_look_still():
    moved = rows(kl=0.05, margin=0.04)
    assert "kl_low" not in codes(moved, beta=0.03)
    assert "kl_low" in codes(moved, beta=0.1)


def test_the_second_rule_waits_for_the_end_of_the_warmup():
    still = rows(kl=0.0, margin=0.0)
    assert "kl_low" not in codes(still, warmup_steps=58)
    assert "kl_low" in codes(still, warmup_steps=10)


def test_a_run_that_has_just_begun_to_move_is_not_called_still():
    """The margins of a healthy run after its warm-up of four updates, and to the half of it."""
    margins = [0.0, 0.0, 0.008, 0.015, 0.023, 0.070, 0.115, 0.115, 0.131]
    begun = [
        {"step": step, "loss": 0.69, "kl_div": -0.04, "rewards/margins": margin, "num_pairs": 8 * step}
        for step, margin in enumerate(margins, 1)
    ]
    for known in range(1, len(begun) + 1):
        assert watch(begun[:known], warmup_steps=4, steps=18, beta=0.1) == ()
    still = [row | {"rewards/margins": 0.02} for row in begun]
    assert [found.code for found in watch(still, warmup_steps=4, steps=18, beta=0.1)] == ["kl_low"]


def test_a_strongly_negative_kl_is_displacement_of_its_own():
    judged = verdict(rows(kl=-40.0))
    assert {finding.code for finding in judged.findings} == {"likelihood_displacement"}
    assert judged.healthy
    assert "likelihood displacement" in judged.sentence
    assert "likelihood_displacement" not in codes(rows(kl=-5.0))


def test_held_out_accuracy_counts_more_than_training_accuracy():
    judged = verdict(rows(accuracy=0.99, held_out=0.6))
    assert not judged.healthy
    assert "held-out accuracy is 60% (95 %: 53% to 67%), not above 70 %" in judged.sentence
    assert {"accuracy_low", "overfit"} <= {finding.code for finding in judged.findings}


def test_exactly_seventy_percent_is_not_above_nor_surely_below():
    assert codes(rows(held_out=0.7, accuracy=0.7)) == {"accuracy_unclear"}


def test_a_falling_margin_is_found():
    assert "margin_not_growing" in codes(rows(margin=-0.5))


def test_a_start_away_from_the_reference_is_found():
    history = rows()
    history[0] |= {"eval_rewards/accuracies": 0.8, "eval_kl_div": -7.0}
    assert "reference_not_start" in codes(history)
    history[0] |= {"eval_kl_div": 0.0, "eval_rewards/margins": 0.0}
    assert "reference_not_start" not in codes(history)


def test_a_loss_without_a_reference_may_start_anywhere():
    history = [{name: value for name, value in row.items() if "kl_div" not in name} for row in rows()]
    history[0] |= {"eval_rewards/accuracies": 0.4, "eval_rewards/margins": -3.0}
    assert verdict(history).healthy


def test_few_held_out_pairs_accuse_nobody():
    few = [{**row, "eval_num_pairs": 16} if "eval_loss" in row else row for row in rows(held_out=0.625)]
    judged = verdict(few)
    assert judged.healthy
    assert "50% -> 62% (16 pairs: too few to tell if above 70 %)" in judged.sentence
    finding = next(finding for finding in judged.findings if finding.code == "accuracy_unclear")
    assert finding.severity == "note"
    assert (finding.evidence["low"], finding.evidence["high"]) == pytest.approx((0.386, 0.815), abs=1e-3)


def test_where_held_out_pairs_are_too_few_training_pairs_may_tell():
    few = [{**row, "eval_num_pairs": 8} if "eval_loss" in row else row for row in rows(held_out=0.55, accuracy=0.55)]
    judged = verdict(few)
    assert "training accuracy is 55% (95 %: " in judged.sentence
    assert not judged.healthy


def test_random_labels_are_told_from_a_model_that_did_not_move():
    history = rows(accuracy=0.6, held_out=0.5)
    assert "labels_look_random" in codes(history, report={"displacement": {"moved": 2.0}})
    assert "labels_look_random" not in codes(history, report={"displacement": {"moved": 0.01}})


@pytest.mark.parametrize(("changed", "grad_norm", "dtype", "code", "cause"), [
    (0.0, 2.0, "float32", "nothing_moves", "optimiser"),
    (0.0, 0.0, "float32", "nothing_moves", "no gradient"),
    (0.0, 2.0, "bfloat16", "nothing_moves", "smaller than bfloat16"),
    (0.003, 2.0, "bfloat16", "steps_below_resolution", "too coarse"),
])  # fmt: skip
def test_weights_that_do_not_move_have_their_cause_named(changed, grad_norm, dtype, code, cause):
    still = rows(kl=0.0, margin=0.0, held_out=0.5, accuracy=0.5, weights_changed=changed, learning_rate=1e-6)
    judged = verdict(
        [{**row, **({"grad_norm": grad_norm} if "loss" in row else {})} for row in still], trained_dtype=dtype
    )
    assert [finding.code for finding in judged.findings if finding.severity == "error"] == [code]
    assert cause in judged.findings[0].cause


def test_beta_out_of_its_range_is_named_where_the_loss_shows_it():
    small = [{**row, "loss": 0.69} if "loss" in row else row for row in rows(margin=0.01, kl=3.0)]
    assert "beta_small" in codes(small, beta=0.001, beta_range=(0.1, 0.5), loss_at_start=0.6931)
    large = [{**row, "loss": 0.1} if "loss" in row else row for row in rows(margin=4.0, kl=0.5)]
    assert "beta_large" in codes(large, beta=10.0, beta_range=(0.1, 0.5), loss_at_start=0.6931)
    assert "beta_large" not in codes(large, beta=0.3, beta_range=(0.1, 0.5), loss_at_start=0.6931)


def test_style_that_guesses_better_than_the_model_is_told():
    report = {"pairs": 200, "accuracy": 0.8, "length": {"length_only_accuracy": 0.5, "correlation": 0.1}}
    assert "style_driven" in codes(rows(), style_accuracy=0.85, report=report)
    assert "style_driven" not in codes(rows(), style_accuracy=0.75, report=report)


def test_rows_without_rejected_answers_are_judged_all_the_same():
    one_sided = ("rewards/margins", "rewards/rejected", "kl_div")
    history = [
        {name: value for name, value in row.items() if row["step"] % 4 or name not in one_sided} for row in rows()
    ]
    assert verdict(history, beta=0.1, beta_range=(0.1, 0.2), loss_at_start=0.69).healthy
    assert verdict([{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.5}]).findings == ()


def test_nearly_perfect_held_out_accuracy_is_suspicious():
    assert "accuracy_suspicious" in codes(rows(held_out=0.99, accuracy=0.99))


def test_a_run_past_its_best_names_the_step():
    history = [
        *rows(held_out=0.9),
        {"step": 80, "eval_loss": 0.6, "eval_rewards/accuracies": 0.72, "eval_num_pairs": 200},
    ]
    finding = next(finding for finding in verdict(history).findings if finding.code == "past_its_best")
    assert finding.evidence["best_step"] == 60
    history[-1]["eval_rewards/accuracies"] = 0.88
    assert "past_its_best" not in codes(history)


def test_a_gradient_spike_is_a_note():
    history = rows()
    spiky = next(row for row in history if row["step"] == 20 and "loss" in row)
    spiky["grad_norm"] = 50.0
    judged = verdict(history)
    assert [(finding.code, finding.severity) for finding in judged.findings] == [("gradient_spike", "note")]
    assert judged.healthy


def test_broken_numbers_come_first():
    history = rows(kl=30.0)
    history[7]["loss"] = math.nan
    judged = verdict(history)
    assert judged.findings[0].code == "non_finite"
    assert not judged.healthy


def test_nothing_logged_is_not_judged_and_one_row_is():
    assert verdict([]).sentence == "Not judged: no training step was logged."
    assert not verdict([{**rows(train_only=True)[0], "rewards/accuracies": 0.1, "num_pairs": 64}]).healthy


def test_watching_says_only_what_matters_while_training_goes_on():
    beginning = rows(kl=30.0)[:4]
    assert watch(beginning) == ()
    assert [finding.code for finding in watch(rows(kl=30.0, held_out=0.5))] == ["kl_high"]
    assert watch([]) == ()


def test_a_verdict_is_plain_data_for_the_summary():
    plain = verdict(rows(kl=30.0)).as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["findings"][0]["advice"]


def test_judging_needs_no_torch():
    code = "import sys, preftune.metrics.diagnose, preftune.runs.display, preftune.runs.curves, preftune.runs.summary\n"
    heavy = "sys.exit(bool({'torch', 'transformers', 'matplotlib', 'rich', 'numpy', 'yaml'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code + heavy], check=False).returncode == 0
