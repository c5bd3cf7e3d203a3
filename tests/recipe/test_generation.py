"""Answers in batches, before and after; prompts from files; the talk at the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GenerationConfig, GPT2Config, GPT2LMHeadModel

from made import VOCABULARY, make_tokenizer
from preftune.assess.answering import Sampling, answers, render
from preftune.assess.sampling import sampled_answer
from preftune.cli.main import main
from preftune.errors import DataError, ModelError, TemplateError
from preftune.recipe import train
from preftune.recipe.prompts import read_prompts
from preftune.recipe.tuned import load_reference, load_tuned
from preftune.runs.text import visible
from run_helpers import checked, settings

QUESTIONS = ["What is ice?", "Is the sea salty? Say yes or no.", "Hi"]
pytestmark = pytest.mark.usefixtures("no_picture")


@pytest.fixture
def run(model_folder: Path, pairs_file: Path, tmp_path: Path) -> Path:
    """A LoRA run whose answers differ from the start model's."""
    values = settings(model_folder, pairs_file, tmp_path / "run", train={"max_steps": 3, "learning_rate": 0.1})
    return train(checked(values)).output_dir


def test_a_batch_answers_as_one_prompt_at_a_time_does(run: Path) -> None:
    tuned, sampling = load_tuned(str(run)), Sampling(max_new_tokens=8)
    prompts = [render(tuned.tokenizer, [{"role": "user", "content": q}]) for q in QUESTIONS]
    together = answers(tuned.lm, tuned.tokenizer, prompts, sampling)
    assert together == [answers(tuned.lm, tuned.tokenizer, [prompt], sampling)[0] for prompt in prompts]


def test_what_is_said_while_writing_is_the_answer(run: Path) -> None:
    tuned, said = load_tuned(str(run)), []
    prompt = render(tuned.tokenizer, [{"role": "user", "content": QUESTIONS[0]}])
    (answer,) = answers(tuned.lm, tuned.tokenizer, [prompt], Sampling(max_new_tokens=8), said.append)
    assert "".join(said).strip() == answer


def test_a_seed_fixes_what_is_sampled(run: Path) -> None:
    tuned = load_tuned(str(run))
    prompt = render(tuned.tokenizer, [{"role": "user", "content": QUESTIONS[0]}])

    def sampled(seed: int) -> str:
        return answers(tuned.lm, tuned.tokenizer, [prompt], Sampling(12, temperature=1.5, seed=seed))[0]

    assert sampled(1) == sampled(1) != sampled(2)


def test_a_models_own_generation_settings_change_no_answer(run: Path) -> None:
    tuned = load_tuned(str(run))
    prompt = render(tuned.tokenizer, [{"role": "user", "content": QUESTIONS[0]}])

    def all_kinds() -> list[object]:
        each = [Sampling(12), Sampling(12, temperature=1.5)]
        return [
            *(answers(tuned.lm, tuned.tokenizer, [prompt], sampling) for sampling in each),
            sampled_answer(tuned.lm, tuned.tokenizer, prompt, seed=3, max_new_tokens=12),
        ]

    plain = all_kinds()
    penalties = {"repetition_penalty": 9.0, "no_repeat_ngram_size": 1, "suppress_tokens": list(range(100))}
    own = GenerationConfig(eos_token_id=2, min_p=0.9, min_new_tokens=12, **penalties)
    tuned.lm.generation_config = own
    assert all_kinds() == plain
    assert tuned.lm.generation_config is own


def test_an_answer_ends_with_the_positions_of_the_model() -> None:
    """Beyond them GPT-2 has no embeddings."""
    shape = GPT2Config(vocab_size=VOCABULARY, n_positions=16, n_embd=16, n_layer=1, n_head=2, eos_token_id=2)
    lm, tokenizer, prompt = GPT2LMHeadModel(shape).eval(), make_tokenizer(), list(range(3, 13))
    assert answers(lm, tokenizer, [prompt], Sampling(50)) == answers(lm, tokenizer, [prompt], Sampling(6))
    assert len(sampled_answer(lm, tokenizer, prompt, seed=0, max_new_tokens=50).ids) <= 6
    with pytest.raises(ModelError, match="a prompt has 16 tokens, which leaves no room for an answer"):
        answers(lm, tokenizer, [list(range(3, 19))], Sampling(50))


def test_whatever_a_template_raises_is_a_refusal() -> None:
    tokenizer = make_tokenizer("{{ 1 // 0 }}")
    with pytest.raises(TemplateError, match="the chat template refuses this conversation: .*zero"):
        render(tokenizer, [{"role": "user", "content": "Hi"}])


def test_the_reference_is_the_start_model(run: Path, model_folder: Path) -> None:
    tuned = load_tuned(str(run))
    prompt = render(tuned.tokenizer, [{"role": "user", "content": QUESTIONS[0]}])
    start = load_tuned(str(model_folder))
    expected = answers(start.lm, start.tokenizer, [prompt], Sampling(8))
    with load_reference(str(run), tuned, None).model() as model:
        assert answers(model, tuned.tokenizer, [prompt], Sampling(8)) == expected
    with load_reference(str(run), tuned, str(model_folder)).model() as model:
        assert answers(model, tuned.tokenizer, [prompt], Sampling(8)) == expected
    assert answers(tuned.lm, tuned.tokenizer, [prompt], Sampling(8)) != expected


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_an_sft_adapter_is_part_of_the_reference(
    model_folder: Path, pairs_file: Path, sft_adapter: Path, tmp_path: Path
) -> None:
    values = settings(model_folder, pairs_file, tmp_path / "run", train={"max_steps": 1})
    values["model"] = {"path": str(model_folder), "device": "cpu", "adapter": str(sft_adapter)}
    run = train(checked(values)).output_dir
    tuned, sft = load_tuned(str(run)), load_tuned(str(sft_adapter))
    ids = torch.arange(3, 30)[None]
    with torch.no_grad(), load_reference(str(run), tuned, None).model() as model:
        torch.testing.assert_close(model(input_ids=ids).logits, sft.model(input_ids=ids).logits)


def test_generate_writes_answers_before_and_after_as_json_lines(run: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "prompts.txt", tmp_path / "answers.jsonl"
    file.write_text("\n\n".join(QUESTIONS[1:]), encoding="utf-8")
    command = ["generate", str(run), QUESTIONS[0], "--file", str(file), "--out", str(out), "--compare", "--plain"]
    assert main([*command, "--max-new-tokens", "6", "--batch-size", "2"]) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == QUESTIONS
    assert all(row.keys() == {"prompt", "answer", "reference_answer"} for row in rows)
    assert any(row["answer"] != row["reference_answer"] for row in rows)


def test_generate_shows_both_answers_side_by_side(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["generate", str(run), QUESTIONS[0], "--compare", "--max-new-tokens", "4", "--plain"]) == 0
    shown = capsys.readouterr().out
    (titles,) = [line for line in shown.splitlines() if "before" in line]
    assert titles.split() == ["before", "after"]
    assert f"> {QUESTIONS[0]}" in shown


def test_prompts_are_read_from_rows(tmp_path: Path) -> None:
    asked, answered = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
    rows = [{"prompt": "Hi"}, {"prompt": [asked]}, {"messages": [asked, answered]}]
    file = tmp_path / "p.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    assert [one.turns for one in read_prompts(file)] == [[asked]] * 3
    text = tmp_path / "p.txt"
    text.write_bytes("One\u2028two?\r\n\r\nThree?".encode())  # no other sign ends a line
    assert [one.turns[0]["content"] for one in read_prompts(text)] == ["One\u2028two?", "Three?"]
    file.write_text('{"prompt": "Hi"}\n{"question": "Hi"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"p\.jsonl:2: has no prompt"):
        read_prompts(file)


def talk(run: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    given: Iterator[str] = iter(lines)

    def say(_: str) -> str:
        try:
            return next(given)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", say)
    assert main(["chat", str(run), "--max-new-tokens", "5", *options]) == 0


def test_chat_answers_compares_and_forgets(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["/compare", QUESTIONS[0], "/compare", "/reset", "/compare", "/what", "/help", "/quit", "never"]
    talk(run, asked, monkeypatch)
    shown = capsys.readouterr().out
    assert shown.count("ask something first") == 2
    assert "the start model of the run" in shown
    assert "there is no command /what" in shown
    tuned = load_tuned(str(run))
    prompt = render(tuned.tokenizer, [{"role": "user", "content": QUESTIONS[0]}])
    (answer,) = answers(tuned.lm, tuned.tokenizer, [prompt], Sampling(5))
    assert answer.splitlines()[0] in shown


def test_chat_compares_one_message_and_forgets_it(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    talk(run, [f"/compare  {QUESTIONS[0]}", "/compare"], monkeypatch)
    shown = capsys.readouterr().out
    assert shown.count("ask something first") == 1  # it is not part of the conversation
    tuned = load_tuned(str(run))
    prompt = render(tuned.tokenizer, [{"role": "user", "content": QUESTIONS[0]}])
    with load_reference(str(run), tuned, None).model() as model:
        (before,) = answers(model, tuned.tokenizer, [prompt], Sampling(5))
    (after,) = answers(tuned.lm, tuned.tokenizer, [prompt], Sampling(5))
    assert before != after
    assert visible(before).split()[0] in shown
    assert visible(after).split()[0] in shown


def test_a_conversation_that_is_too_long_can_be_forgotten(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    talk(run, ["word " * 600, "/nothing"], monkeypatch)
    shown = capsys.readouterr().out
    assert "the model has 512 positions; /reset forgets the conversation" in shown
    assert "there is no command /nothing" in shown


def test_stopping_a_comparison_leaves_the_talk_going(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("preftune.cli.chat.Talk.answer", stop)
    talk(run, ["/compare Hi", "/nothing"], monkeypatch)
    shown = capsys.readouterr().out
    assert shown.index("(stopped)") < shown.index("there is no command /nothing")


def test_chat_ends_with_its_input(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[list[int]] = []

    def spy(lm: Any, tokenizer: Any, prompts: list[list[int]], *rest: Any) -> list[str]:
        heard.extend(prompts)
        return answers(lm, tokenizer, prompts, *rest)

    monkeypatch.setattr("preftune.assess.answering.answers", spy)
    talk(run, ["Hi"], monkeypatch, "--system", "Be brief.")
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert heard == [render(AutoTokenizer.from_pretrained(run), turns)]
