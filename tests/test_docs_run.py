"""The preftune commands and the Python of the pages run, page by page, in a folder with the files that they name.

Models stand for others: a tiny one for each that the pages name. Left to other tests are ``docs/tour.md`` (test_docs),
``docs/from_trl.md`` (compat), commands that start processes of their own (``--nproc``: cli/test_launch; sweeps:
recipe/test_sweep), that ask a person, a hub, an endpoint or llama.cpp (recipe/test_generation, test_win_rate_runs,
test_export), that name a folder of the cache (cli/test_cli_cache), ``make``, and the scripts under ``benchmarks/``.
"""

from __future__ import annotations

import json
import shlex
import shutil
from glob import glob
from itertools import takewhile
from pathlib import Path

import pytest

from preftune.cli.main import main
from preftune.objectives import OBJECTIVES
from run_helpers import PAIRS, as_row, save_reward_model, write_pairs
from test_docs import PAGES, REPO, blocks, commands, named

TINY = "models/smollm2"
MODELS = ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-7B-Instruct", '"demo"')
NEW = [
    ("Is snow white?", "It is.", "No, never."),
    ("Name a river.", "The Nile is one of them.", "Paris."),
    ("What is five less one?", "Four.", "Six, as far as I know."),
    ("Who painted the Mona Lisa?", "Leonardo did.", "No one."),
]
"""Prompt, chosen, rejected of a held-out file."""

ELSEWHERE = ("docs/tour.md", "docs/from_trl.md")
OWN_PROCESSES = ("--nproc", "preftune sweep")
OTHERS = ("preftune chat", "--push", "--gguf", "preftune cache clear ", "--judge http", "--votes")
MAKES = {
    "README.md": ["outputs"],
    "README.zh.md": ["outputs"],
    "docs/quickstart.md": ["outputs/mine"],
    "docs/quickstart.zh.md": ["outputs/mine"],
    "docs/from_llamafactory.md": ["run.yaml"],
}
"""What is there already for other pages, and made by the commands of this one."""
MERGED = """
from preftune.cli.main import main
assert main(["export", "outputs/mine", "outputs/mine-merged", "--merge"]) == 0
"""
BEFORE = {
    "docs/quickstart.md": MERGED,
    "docs/quickstart.zh.md": MERGED,
    "docs/annotators.md": """
from preftune.data import Ballot, Message, Origin, VotedPair
answers = tuple((Message("assistant", text),) for text in ("Hello!", "What?"))
ballots = tuple(Ballot(*one) for one in (("ann", "first"), ("ben", "first"), ("cy", "second")))
voted_pairs = [VotedPair((Message("user", "Hi"),), answers, ballots, Origin("votes.jsonl", 1))]
""",
}
"""What a page takes for granted before its code."""
AFTER = {
    "docs/annotators.md": "assert len(decided.pairs) == 1 and not decided.ties",
    "README.md": "assert result.exit_code == 0",
    "README.zh.md": "assert result.exit_code == 0",
}


def cheap_commands(page: Path) -> list[str]:
    return [line for line in commands(page) if not any(words in line for words in (*OWN_PROCESSES, *OTHERS))]


def arguments_of(line: str) -> list[str]:
    """What a shell would hand over, up to a redirection."""
    words = list(takewhile(lambda word: word not in {">", "|", "&&"}, shlex.split(line, comments=True)))[1:]
    words = ["run.yaml" if word == "CONFIG" else word for word in words]
    return [name for word in words for name in (sorted(glob(word)) if "*" in word else [word])]


def pages_with(*languages: str) -> list[Path]:
    found = [page for page in PAGES if named(page) not in ELSEWHERE]
    if "bash" in languages:
        return [page for page in found if cheap_commands(page)]
    return [page for page in found if blocks(page, *languages)]


def with_tiny_model(text: str) -> str:
    for model in MODELS:
        text = text.replace(model, f'"{TINY}"' if model[0] == '"' else TINY)
    return text


def first_config(page: str) -> str:
    return with_tiny_model(blocks(REPO / page, "yaml")[0])


@pytest.fixture(scope="module")
def template(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages name, with a finished run in ``outputs/mine`` and other places."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(model_folder, folder / TINY)
    save_reward_model(folder / "models" / "reward", max_position_embeddings=2048)
    write_pairs(folder / "pairs.jsonl", PAIRS)
    write_pairs(folder / "held_out.jsonl", NEW)
    write_pairs(folder / "prompts.jsonl", NEW)
    (folder / "run.yaml").write_text(first_config("README.md"), encoding="utf-8")
    (folder / "dpo.yaml").write_text(first_config("docs/from_llamafactory.md"), encoding="utf-8")
    (folder / "data").mkdir()
    columns = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    info = {"dpo_en_demo": {"file_name": "pairs.json", "ranking": True, "columns": columns}}
    (folder / "data" / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    (folder / "data" / "pairs.json").write_text(json.dumps([as_row(pair) for pair in PAIRS]), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setenv("PREFTUNE_CACHE", str(folder / "cache"))
        assert main(["train", "run.yaml", "--plain"]) == 0
    for finished in ("output", "output-a", "output-b", "runs/a", "runs/b", "outputs/mine-sweep/runs/beta=0.3"):
        shutil.copytree(folder / "outputs" / "mine", folder / finished)
    return folder


@pytest.fixture
def here(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path, no_picture: None) -> Path:
    """A copy of these files as the working directory."""
    folder = tmp_path / "here"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("page", pages_with("bash"), ids=named)
def test_the_commands_of_a_page_run_one_after_another(
    page: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for made in MAKES.get(named(page), ()):
        shutil.rmtree(made) if Path(made).is_dir() else Path(made).unlink()
    for line in cheap_commands(page):
        code = main(arguments_of(line))
        printed = capsys.readouterr()
        assert code == 0, f"{line}\n{printed.out}{printed.err}"


@pytest.mark.parametrize("page", pages_with("python"), ids=named)
def test_the_python_of_a_page_runs(page: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(OBJECTIVES)
    code = [BEFORE.get(named(page), ""), *blocks(page, "python"), AFTER.get(named(page), "")]
    try:
        exec(compile(with_tiny_model("\n".join(code)), named(page), "exec"), {"__name__": named(page)})
    finally:
        for name in OBJECTIVES.keys() - known.keys():  # CONTRIBUTING.md registers one
            del OBJECTIVES[name]


def test_what_a_page_asks_to_write_is_there(here: Path) -> None:
    """The commands do what their pages say, not only end well."""
    for line in ("check pairs.jsonl --html report.html --json report.json", "report output --out result.html"):
        assert main(line.split()) == 0
    assert main(["score", "outputs/mine", "pairs.jsonl", "--out", "scores.parquet"]) == 0
    assert main(["convert", "dpo.yaml", "--output", "converted.yaml"]) == 0
    for name in ("report.html", "report.json", "result.html", "scores.parquet", "converted.yaml"):
        assert Path(name).stat().st_size > 100, name
