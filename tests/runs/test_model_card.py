"""The card is valid front matter and harmless Markdown, whatever the names hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from made_history import held_out_row

from preftune.runs.model_card import CardFacts, escaped, model_card

FACTS = CardFacts(
    name="output",
    base_model="HuggingFaceTB/SmolLM2-135M-Instruct",
    is_adapter=True,
    objective="sigmoid",
    formula="-log sigmoid(beta * ((c - c_ref) - (r - r_ref)))",
    source="Rafailov et al. 2023, arXiv:2305.18290",
    settings={"beta": 0.1, "learning_rate": 5e-6},
    data=["/home/me/pairs.jsonl"],
    train_pairs=160,
    held_out_pairs=48,
    verdict="Healthy: held-out accuracy 50% -> 78%.",
    preftune_version="0.1.0",
    before=held_out_row(0),
    after=held_out_row(60),
)
HOSTILE = '<script>alert(1)</script> | `x` [l](http://x) \n# head\n---\n"""\x1b[31m ```'


def front(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_front_matter_tells_the_hub_model_and_accuracy():
    matter = front(model_card(FACTS))
    assert matter["base_model"] == FACTS.base_model
    assert matter["library_name"] == "peft"
    assert "license" not in matter
    assert matter["tags"][:2] == ["preftune", "dpo"]
    (result,) = matter["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == pytest.approx(0.775, abs=0.01)
    assert result["dataset"]["args"] == {"pairs": 48}


def test_the_text_tells_method_result_and_both_ways_to_load():
    card = model_card(FACTS)
    assert FACTS.formula in card
    assert "160 preference pairs" in card
    assert "| accuracy | 0.500 | 0.775 |" in card
    assert "95 % interval" in card
    assert "AutoPeftModelForCausalLM.from_pretrained('output')" in card
    assert "PeftModel.from_pretrained(base, 'output')" in card
    assert "/home/me" not in card


def test_a_full_model_is_loaded_without_peft():
    card = model_card(replace(FACTS, is_adapter=False, license="apache-2.0", languages=["en", "zh"]))
    assert "peft" not in card
    assert front(card) | {"license": "apache-2.0", "language": ["en", "zh"]} == front(card)


def test_a_local_start_model_is_named_without_its_folder():
    card = model_card(replace(FACTS, base_model="/mnt/secret/my-model"))
    assert "base_model" not in front(card)
    assert "secret" not in card
    assert "my-model" in card


def test_without_held_out_pairs_nothing_is_claimed():
    card = model_card(replace(FACTS, before={}, after={}, held_out_pairs=0))
    assert "model-index" not in front(card)
    assert "nothing is known" in card


def test_hostile_texts_are_shown_and_do_nothing():
    card = model_card(
        replace(
            FACTS, name=HOSTILE, base_model=HOSTILE, objective=HOSTILE, formula=HOSTILE, source=HOSTILE,
            settings={HOSTILE: HOSTILE}, data=[HOSTILE], verdict=HOSTILE, license=HOSTILE,
        )
    )  # fmt: skip
    text = card.split("---\n", 2)[2]
    outside_code = "".join(text.split("\n```")[::2])
    assert "<script>" not in outside_code
    assert "\x1b" not in card
    assert text.count("\n```") == 6
    compile(text.split("```python\n")[1].split("\n```")[0], "card", "exec")


def test_escaping_keeps_ordinary_text():
    assert escaped("SmolLM2-135M, 5e-06") == "SmolLM2-135M, 5e-06"
    assert escaped("a|b\nc") == "a\\|b c"
