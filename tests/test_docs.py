"""The documentation holds: its configs load, its links lead somewhere, its commands exist, and its code runs."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from preftune.cli.main import app
from preftune.config import load_config
from preftune.models.cache_dir import cache_root
from preftune.models.embedded import SMOLLM2
from preftune.objectives import objective_schemas

REPO = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*REPO.glob("*.md"), *REPO.glob("docs/**/*.md"), *REPO.glob("examples/*.md"), *REPO.glob("benchmarks/*.md")]
)
READMES = [REPO / "README.md", REPO / "README.zh.md"]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def named(path: Path) -> str:
    return str(path.relative_to(REPO))


def blocks(page: Path, *languages: str) -> list[str]:
    """Fenced blocks of a page in these languages."""
    return [body for language, body in FENCE.findall(page.read_text(encoding="utf-8")) if language in languages]


def configs() -> list[Any]:
    """Every YAML block that is a whole config."""
    found = []
    for page in PAGES:
        for number, text in enumerate(blocks(page, "yaml", "yml"), 1):
            value = yaml.safe_load(text)
            if isinstance(value, dict) and {"model", "data"} <= value.keys():
                found.append(pytest.param(text, id=f"{named(page)}-{number}"))
    return found


def commands(page: Path) -> list[str]:
    """Every line of a shell block that starts preftune."""
    lines = [line.strip() for text in blocks(page, "bash", "sh") for line in text.splitlines()]
    return [line.removeprefix(".venv/bin/") for line in lines if re.match(r"(\.venv/bin/)?preftune\s", line)]


@pytest.mark.parametrize("text", configs())
def test_every_config_in_the_pages_loads(text: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text, encoding="utf-8")
    assert load_config(file, objectives=objective_schemas()).data.train


@pytest.mark.parametrize("page", READMES, ids=named)
def test_each_readme_shows_a_config_and_the_two_commands(page: Path) -> None:
    assert any(named(page) in str(config.id) for config in configs())
    assert {"make demo", "make test"} <= {line.split("  ")[0] for b in blocks(page, "bash") for line in b.splitlines()}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_and_image_exists(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{named(page)}: no {target}"
        assert not anchor or anchor in anchors(linked), f"{named(page)}: no heading {target}"


def anchors(page: Path) -> set[str]:
    """Headings of a page as GitHub's anchors."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_of_docs_is_in_the_sites_navigation() -> None:
    site = (REPO / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [page.name for page in sorted((REPO / "docs").glob("*.md")) if f" {page.name}\n" not in site]
    assert not missing, f"add to nav in mkdocs.yml and to docs/README.md: {missing}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_preftune_command_parses(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    for line in commands(page):
        _, verb, *arguments = takewhile(lambda word: word not in {">", "|", "&&"}, shlex.split(line, comments=True))
        if verb.startswith("-"):
            continue
        assert verb in group.commands, f"{named(page)}: no verb in '{line}'"
        context = group.commands[verb].make_context(
            verb, list(arguments)
        )  # raises UsageError, which says what is wrong
        overrides = context.params.get("overrides") or ()
        assert all("=" in text for text in overrides), f"{named(page)}: '{line}'"


def test_the_readmes_name_every_command() -> None:
    group: Any = typer.main.get_command(app)
    for page in READMES:
        text = page.read_text(encoding="utf-8")
        for verb in group.commands:
            assert f"preftune {verb}" in text or f"make {verb}" in text, f"{named(page)} does not name {verb}"


def test_both_readmes_show_the_same_code_and_picture() -> None:
    english, chinese = READMES
    assert len(blocks(english, "bash")) == len(blocks(chinese, "bash"))
    for pattern in (r"!\[[^]]*\]\((.+?)\)", r"^\| *`(.+?)`"):
        found = [re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE) for page in READMES]
        assert found[0] == found[1]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_name_that_python_code_imports_from_preftune_exists(page: Path) -> None:
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "preftune":
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names), f"{named(page)}: {ast.unparse(node)}"


@pytest.mark.parametrize("page", [REPO / "README.md", REPO / "CONTRIBUTING.md", REPO / "AGENTS.md"], ids=named)
def test_pages_that_are_read_in_a_terminal_fit_into_80_columns(page: Path) -> None:
    long = [n for n, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1) if len(line) > 80]
    assert not long, f"{named(page)}: lines {long}"


def test_the_note_for_agents_is_short() -> None:
    assert len((REPO / "AGENTS.md").read_text(encoding="utf-8").splitlines()) <= 80


@pytest.mark.slow
def test_the_code_of_the_tour_gives_the_values_that_it_shows() -> None:
    if not (cache_root() / "models" / SMOLLM2.folder).is_dir():
        pytest.skip("the embedded model has not been fetched: preftune demo --prepare")
    shown = """
assert (len(loaded.pairs), len(train), len(held_out)) == (240, 192, 48) and pair in train
assert pair.id == "0121cea19258e6cdce7cd2dd31e6b7d7" and loaded.report.ignored_columns == {"language": 240}
assert [len(group.prompt), *(c.num_scored for c in group.completions)] == [40, 51, 23]
assert [tuple(b.input_ids.shape) for b in batches] == [(2, 90), (1, 152), (1, 112)]
assert [b.predict_index[51].item() for b in batches] == [129, 129, 39]
assert str(batch.attention) == "Segments(spans=(Span(start=0, fork=40, ends=(90, 112)),))"
near = torch.testing.assert_close
near(torch.cat([start.chosen, start.rejected]), torch.tensor([-82.23, -95.64]), atol=0.05, rtol=0)
near(torch.cat([policy.chosen, policy.rejected]), torch.tensor([-70.01, -103.92]), atol=0.5, rtol=0)
assert abs(row["rewards/margins"] - 2.05) < 0.1 and sum(p.numel() for p in trainable(model).values()) == 4_884_480
"""
    code = "\n".join([*blocks(REPO / "docs" / "tour.md", "python"), shown])
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
