"""``preftune eval`` as it is used: a run's held-out prompts, files of prompts and answers, results, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planted_endpoint import Planted, completion, serving
from preftune.assess.answering import Sampling
from preftune.cli.main import main
from preftune.data import load_pairs, split_by_prompt
from preftune.errors import ConfigError, DataError
from preftune.recipe import train
from preftune.recipe.prompts import Asked, as_turns, different, held_out_prompts, read_prompts
from preftune.recipe.win_rate import answer_prompts, read_answers
from preftune.runs.directory import RunDirectory
from preftune.runs.display import QuietReporter
from preftune.runs.report.run_facts import RunFacts
from preftune.runs.report.run_win_rate import win_rate_section, win_rate_tile
from run_helpers import checked, save_reward_model, settings, write_pairs, write_rows

pytestmark = pytest.mark.usefixtures("no_picture")
ROWS = [
    {"prompt": "Hi", "answer": "Hello, good to see you", "reference_answer": "What?", "category": "talk"},
    {"prompt": "Ice?", "answer": "no", "reference_answer": "good: frozen water", "category": "physics"},
    {
        "prompt": [{"role": "system", "content": "Brief."}, {"role": "user", "content": "Two?"}],
        "answer": "x",
        "reference_answer": "x",
    },
    {"prompt": "Tea?", "answer": "good\x1b[31m", "reference_answer": "bad"},
]


@pytest.fixture
def run(model_folder: Path, pairs_file: Path, tmp_path: Path) -> Path:
    """A LoRA run whose answers differ from the start model's."""
    values = settings(model_folder, pairs_file, tmp_path / "run", train={"max_steps": 3, "learning_rate": 0.1})
    return train(checked(values)).output_dir


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "answers.jsonl", ROWS)


def fair(body: dict[str, Any]) -> Planted:
    text = body["messages"][0]["content"]
    first, second = text.index("<<<ANSWER A>>>"), text.index("<<<ANSWER B>>>")
    return completion(f"[[{'A' if 'good' in text[first:second] else 'B'}]]", prompt_tokens=9, completion_tokens=1)


def result(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = (folder / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads((folder / "win_rate.json").read_text(encoding="utf-8")), [json.loads(line) for line in lines]


def test_a_run_is_judged_on_its_held_out_prompts_against_its_start_model(
    run: Path, pairs_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reward = save_reward_model(tmp_path / "reward")
    capsys.readouterr()
    command = ["eval", str(run), "--judge", "reward", "--judge-model", str(reward), "--max-new-tokens", "6", "--plain"]
    assert main(command) == 0
    report, rows = result(run / "win_rate")
    _, held_out = split_by_prompt(load_pairs(str(pairs_file)).pairs, eval_fraction=0.25, seed=0)
    assert [row["prompt"] for row in rows] == [pair.opening for pair in held_out]
    assert report["reference"].endswith("the start model of the run")
    assert report["answers"]["prompts"] == f"held out by {run}"
    assert report["wins"] + report["ties"] + report["losses"] == report["judged"] == len(held_out)
    for row in rows:
        margin = None if row["reason"] else row["score"] - row["reference_score"]
        assert row["verdict"] == ("tie" if margin is None else "win" if margin > 0 else "loss")
    shown = capsys.readouterr().out
    assert "it scores each answer by itself" in shown
    assert f"verdicts: {run / 'win_rate' / 'verdicts.jsonl'}" in shown
    assert f"report:   {RunDirectory(run).report_html}" in shown
    assert main([*command, "--against", str(run)]) == 0
    same, _ = result(run / "win_rate")
    assert (same["equal_answers"], same["win_rate"]) == (len(held_out), 0.5)


def test_the_page_of_the_run_tells_the_win_rate_and_escapes_the_judges_name(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = RunDirectory(run).report_html
    assert "Win rate" not in page.read_text(encoding="utf-8")
    RunDirectory(run).win_rate_dir.mkdir()
    answers = write_rows(RunDirectory(run).win_rate_dir / "answers.jsonl", ROWS)
    with serving(fair) as endpoint:
        command = ["eval", "--answers", str(answers), "--judge", endpoint.url, "--judge-model", "<b>j", "--plain"]
        assert main(command) == 0
        shown = page.read_text(encoding="utf-8")
        page.unlink()
        assert main([*command, "--out", str(run.parent / "else")]) == 0
    report, _ = result(run / "win_rate")
    assert report["win_rate"] == 0.625
    assert '<td class="number">62.5%</td>' in shown
    assert "both orders agree on 3 of 3 prompts" in shown
    assert "&lt;b&gt;j at http://127.0.0.1" in shown
    assert "<b>j" not in shown
    assert not page.exists()
    capsys.readouterr()
    assert main(["report", str(run), "--open", "no"]) == 0
    assert page.read_text(encoding="utf-8") == shown


def test_both_models_answer_as_they_would_alone(run: Path, model_folder: Path) -> None:
    asked, reporter = [Asked(as_turns(text)) for text in ("Hi", "What is ice?")], QuietReporter()
    sampling = Sampling(8, temperature=1.0, seed=3)
    options: dict[str, Any] = {"source": "two", "batch_size": 2, "trust_remote_code": False, "reporter": reporter}
    contest = answer_prompts(str(run), None, asked, sampling, **options)
    turned = answer_prompts(str(model_folder), str(run), asked, sampling, **options)
    assert [m.answer for m in contest.matches] == [m.reference_answer for m in turned.matches]
    assert [m.reference_answer for m in contest.matches] == [m.answer for m in turned.matches]
    assert contest.matches[0].answer != contest.matches[0].reference_answer


def test_answers_that_are_there_are_judged_by_an_endpoint(
    answers: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-123456789")
    with serving(fair) as endpoint:
        command = ["eval", "--answers", str(answers), "--judge", endpoint.url, "--judge-model", "j", "--plain"]
        assert main([*command, "--judge-key-env", "MY_KEY", "--price-in", "1", "--price-out", "2"]) == 0
        assert len(endpoint.requests) == 6
        report, rows = result(answers.parent)
        assert main([*command, "--judge-key-env", "MY_KEY"]) == 0
        assert len(endpoint.requests) == 6
    assert [row["verdict"] for row in rows] == ["win", "loss", "tie", "win"]
    assert [row["reason"] for row in rows] == [None, None, "equal answers", None]
    assert rows[0]["orders"] == [
        {"shown_first": "model", "verdict": "win"},
        {"shown_first": "reference", "verdict": "win"},
    ]
    assert (report["win_rate"], report["equal_answers"], report["judge"]["requests"]) == (0.625, 1, 6)
    assert [group["category"] for group in report["by_category"]] == ["(none)", "physics", "talk"]
    shown = capsys.readouterr().out
    assert "6 requests, 0 replies from the cache; 54 prompt and 6 reply tokens: 6.6e-05" in " ".join(shown.split())
    assert "both orders agree on 3 of 3 prompts" in " ".join(shown.split())
    written = "".join(path.read_text(encoding="utf-8") for path in answers.parent.rglob("*") if path.is_file())
    assert "sk-123456789" not in written + shown


def test_a_judge_without_verdicts_gives_no_win_rate(answers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda _: completion("Who knows? \x1b[2J")) as endpoint:
        assert main(["eval", "--answers", str(answers), "--judge", endpoint.url, "--judge-model", "j", "--plain"]) == 1
    report, _ = result(answers.parent)
    assert (report["judged"], report["win_rate"]) == (0, None)
    facts = RunFacts("run", {}, win_rate=report)
    section = win_rate_section(facts)
    assert section is not None
    assert "there is no win rate" in str(section.note)
    assert win_rate_tile(facts) == {}
    shown = capsys.readouterr().out
    assert "there is no win rate" in shown
    assert "\x1b" not in shown


def test_answers_are_kept_where_judging_breaks_off(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda _: Planted(b'{"error": {"message": "unknown key"}}', 401)) as endpoint:
        command = ["eval", str(run), "--judge", endpoint.url, "--judge-model", "j", "--max-new-tokens", "5", "--plain"]
        assert main([*command, "--max-prompts", "2"]) == 2
    kept = run / "win_rate" / "answers.jsonl"
    assert f"--answers {kept}" in capsys.readouterr().err
    assert not (run / "win_rate" / "win_rate.json").exists()
    assert len(read_answers(kept).matches) == 2


def test_people_vote_on_exported_pairs(answers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["eval", "--answers", str(answers), "--judge", "people", "--plain"]
    assert main([*command, "--export", str(tmp_path / "blind.jsonl"), "--seed", "4"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "blind.jsonl").read_text(encoding="utf-8").splitlines()]
    voted = [row | {"annotator1": "A" if "good" in row["response_a"] else "B"} for row in rows]
    votes = write_rows(tmp_path / "votes.jsonl", voted)
    out = tmp_path / "people"
    key = str(tmp_path / "blind.key.jsonl")
    assert (
        main(["eval", "--answers", key, "--judge", "people", "--votes", str(votes), "--out", str(out), "--plain"]) == 0
    )
    report, found = result(out)
    assert {row["prompt"]: row["verdict"] for row in found if isinstance(row["prompt"], str)} == {
        "Hi": "win",
        "Ice?": "loss",
        "Tea?": "win",
    }
    assert (report["win_rate"], report["judge"]["kind"]) == (0.625, "people")
    assert "drawn by chance" in capsys.readouterr().out


def test_where_all_answers_are_equal_nobody_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    equal = write_rows(
        tmp_path / "answers.jsonl", [{"prompt": p, "answer": "x", "reference_answer": "x"} for p in "ab"]
    )
    command = ["eval", "--judge", "people", "--plain"]
    assert main([*command, "--answers", str(equal), "--export", str(tmp_path / "blind.jsonl")]) == 0
    key, votes = tmp_path / "blind.key.jsonl", tmp_path / "blind.csv"
    assert main([*command, "--answers", str(key), "--votes", str(votes), "--out", str(tmp_path)]) == 0
    report, _ = result(tmp_path)
    assert (report["ties"], report["win_rate"], report["judge"]["votes"]) == (2, 0.5, 0)
    assert "0 by 0 people" in capsys.readouterr().out


def test_prompts_are_read_from_every_format(tmp_path: Path) -> None:
    rows = [
        {"prompt": "One?", "category": "count"},
        {"prompt": "Two?", "chosen": "2", "rejected": "3", "category": "count"},
        {"chosen": "\n\nHuman: Three?\n\nAssistant: 3", "rejected": "\n\nHuman: Three?\n\nAssistant: 4"},
        {"prompt": "Four?", "completion": "4", "label": True},
        {"prompt": "Five?", "responses": ["5", "6"], "scores": [1, 0]},
        {"messages": [{"role": "user", "content": "Six?"}, {"role": "assistant", "content": "6"}]},
    ]
    found = read_prompts(write_rows(tmp_path / "p.jsonl", rows))
    assert [asked.turns[-1]["content"] for asked in found] == ["One?", "Two?", "Three?", "Four?", "Five?", "Six?"]
    assert [asked.category for asked in found] == ["count", "count", None, None, None, None]


def test_a_prompt_with_tools_is_refused(tmp_path: Path) -> None:
    """Answered without its tools it would be another prompt."""
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}]
    row = {"prompt": "One?", "chosen": "1", "rejected": "2", "tools": tools}
    with pytest.raises(DataError, match=r"p\.jsonl:1: the prompt brings tools"):
        read_prompts(write_rows(tmp_path / "p.jsonl", [row]))


def test_each_prompt_is_asked_once_and_a_sample_keeps_the_order() -> None:
    prompts = [Asked(as_turns(text)) for text in "abcabdefgh"]
    assert [asked.turns[0]["content"] for asked in different(prompts, None, 0)] == list("abcdefgh")
    some = [asked.turns[0]["content"] for asked in different(prompts, 4, 0)]
    assert len(some) == 4
    assert some == sorted(some)
    assert any([a.turns[0]["content"] for a in different(prompts, 4, seed)] != some for seed in range(1, 5))


def test_held_out_prompts_are_refused_where_the_data_are_not_those_of_the_run(
    model_folder: Path, tmp_path: Path
) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl")
    run = str(train(checked(settings(model_folder, data, tmp_path / "run", train={"max_steps": 1}))).output_dir)
    assert len(held_out_prompts(run, QuietReporter())) == 4
    text = data.read_text(encoding="utf-8")
    data.write_text(text.replace("Four.", "4."), encoding="utf-8")
    with pytest.raises(DataError, match="have changed since"):
        held_out_prompts(run, QuietReporter())
    data.unlink()
    with pytest.raises(DataError, match=r"cannot be read again, so name PROMPTS: .*pairs\.jsonl"):
        held_out_prompts(run, QuietReporter())
    with pytest.raises(ConfigError, match="is no run that held prompts out"):
        held_out_prompts(str(model_folder), QuietReporter())


def test_rows_without_answers_are_named(tmp_path: Path) -> None:
    rows = [{"prompt": "Hi", "answer": "a"}, {"answer": "a", "reference_answer": "b"}, ROWS[0]]
    with pytest.raises(DataError) as refused:
        read_answers(write_rows(tmp_path / "a.jsonl", rows))
    lines = str(refused.value).splitlines()
    assert lines[0] == "2 rows hold no answers to compare:"
    assert lines[1].endswith("a.jsonl:1: has no 'reference_answer': preftune generate --compare writes it")
    assert "a.jsonl:2: has no prompt" in lines[2]


MISTAKES = [
    (["m"], "--judge"),
    (["--judge", "reward"], "give the MODEL that is to answer, or --answers FILE"),
    (["m", "--judge", "reward", "--answers", "f"], "give the MODEL that is to answer, or --answers FILE"),
    (["m", "--judge", "rewad"], "there is no judge 'rewad', and it is no http address; did you mean 'reward'?"),
    (["m", "--judge", "reward"], "--judge reward needs --judge-model"),
    (["m", "--judge", "openai", "--judge-model", "x"], "--judge openai needs --judge-url"),
    (["m", "--judge", "http://x", "--judge-url", "http://y", "--judge-model", "x"], "leave --judge-url out"),
    (["m", "--judge", "http://a:b@x", "--judge-model", "x"], "no user, password or query"),
    (
        ["m", "--judge", "http://x", "--judge-model", "x", "--judge-key-env", "NO_SUCH"],
        "NO_SUCH: this environment variable",
    ),
    (["m", "--judge", "http://x", "--judge-model", "x", "--price-in", "1"], "belong together"),
    (["m", "--judge", "http://x", "--judge-model", "x", "--judge-option", "model=y"], "--judge-option model=y"),
    (["m", "--judge", "http://x", "--judge-model", "x", "--tie", "1"], "--tie has no use with this judge (endpoint)"),
    (["m", "--judge", "reward", "--parallel", "2"], "--parallel has no use with this judge (reward)"),
    (
        ["--judge", "people", "--answers", "f", "--votes", "v", "--temperature", "1"],
        "--temperature has no use with --answers",
    ),
    (["m", "--judge", "people"], "needs --export FILE"),
    (["m", "--judge", "people", "--votes", "v"], "name that .key.jsonl file with --answers"),
    (["--judge", "people", "--answers", "none.jsonl", "--votes", "v"], "none.jsonl: no such file"),
    (["none/of/it", "--judge", "people", "--export", "f"], "none/of/it"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[message[:30] for _, message in MISTAKES])
def test_mistakes_are_one_message(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_empty_prompts_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "p.txt"
    empty.write_text("\n\n", encoding="utf-8")
    assert main(["eval", str(run), str(empty), "--judge", "people", "--export", str(tmp_path / "b")]) == 2
    assert "holds no prompt" in capsys.readouterr().err
