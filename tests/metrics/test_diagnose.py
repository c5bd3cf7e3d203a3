"""The mission's rules on made histories: what is healthy, what is not, and when a rule stays silent."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from preftune.metrics.diagnose import verdict, watch


def rows(*, steps=60, kl=6.0, margin=1.0, accuracy=0.85, held_out=0.8, train_only=False, **fixed):
    """A run whose numbers go in a straight line from those of the untrained model to the given ends."""
    made = []
    for step in range(0, steps + 1, 2):
        way = step / steps
        if step:
            made.append(
                {
                    "step": step, "loss": 0.69 - 0.2 * way, "kl_div": kl * way, "rewards/margins": margin * way,
                    "rewards/accuracies": 0.5 + (accuracy - 0.5) * way, "grad_norm": 2.0, **fixed,
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


def codes(history, warmup_steps=6):
    return {finding.code for finding in verdict(history, warmup_steps=warmup_steps).findings}


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


def test_the_second_rule_waits_for_the_end_of_the_warmup():
    still = rows(kl=0.0, margin=0.0)
    assert "kl_low" not in codes(still, warmup_steps=58)
    assert "kl_low" in codes(still, warmup_steps=10)


def test_a_strongly_negative_kl_is_displacement_of_its_own():
    judged = verdict(rows(kl=-40.0))
    assert {finding.code for finding in judged.findings} == {"likelihood_displacement"}
    assert judged.healthy
    assert "likelihood displacement" in judged.sentence
    assert "likelihood_displacement" not in codes(rows(kl=-5.0))


def test_held_out_accuracy_counts_more_than_training_accuracy():
    judged = verdict(rows(accuracy=0.99, held_out=0.6))
    assert not judged.healthy
    assert "held-out accuracy is 60%, not above 70 %" in judged.sentence
    assert {"accuracy_low", "overfit"} <= {finding.code for finding in judged.findings}


def test_exactly_seventy_percent_is_not_above():
    assert "accuracy_low" in codes(rows(held_out=0.7, accuracy=0.7))


def test_a_falling_margin_is_found():
    assert "margin_not_growing" in codes(rows(margin=-0.5))


def test_a_start_other_than_one_half_points_to_the_reference():
    history = rows()
    history[0] |= {"eval_rewards/accuracies": 0.8, "eval_kl_div": 0.0}
    assert "start_not_half" in codes(history)


def test_a_loss_without_a_reference_may_start_anywhere():
    history = rows()
    history[0]["eval_rewards/accuracies"] = 0.8
    assert "start_not_half" not in codes(history)


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
    history[5]["grad_norm"] = 50.0
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
    assert not verdict(rows(train_only=True)[:1]).healthy


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
