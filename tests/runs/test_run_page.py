"""The page of a run without a browser: what it says first, what it leaves out, and that nothing in it can act."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_history import history
from made_report import HOSTILE
from made_run import made_pairs, made_run, made_summary

from preftune.runs.atomic import atomic_write, to_json
from preftune.runs.directory import RunDirectory
from preftune.runs.report.run_facts import RunFacts, ShownPairs
from preftune.runs.report.run_page import run_page
from preftune.runs.run_report import run_facts

SECTIONS = ["findings", "numbers", "curves", "samples", "held-out", "pairs", "data", "loss", "config", "machine"]


class Elements(HTMLParser):
    """Every element that a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def sections(page: str) -> list[str]:
    return re.findall(r'<section id="([^"]*)"', page)


def words(page: str) -> str:
    """What a reader sees, but for tables of pairs."""
    body = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).replace("\xa0", " ").split())


def test_every_section_is_there_in_the_order_of_interest() -> None:
    assert sections(run_page(made_run())) == SECTIONS


def test_hostile_text_makes_no_element_and_asks_for_nothing() -> None:
    page = run_page(made_run())
    elements = Elements(page).seen
    assert HOSTILE not in page
    assert [attrs.get("type") for tag, attrs in elements if tag == "script"] == ["application/json", None]
    assert not [tag for tag, _ in elements if tag in ("img", "iframe", "object", "form")]
    assert not [name for _, attrs in elements for name in attrs if name.startswith("on")]
    links = {str(attrs[name]) for _, attrs in elements for name in ("src", "href") if name in attrs}
    assert {link for link in links if not link.startswith("#")} == {"data:,"}
    assert words(page).count(HOSTILE) > 10, "it is shown as text"


def test_answers_with_any_line_separator_are_read_back(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    sample = {"prompt": "a\u2028b\x85c\x1d", "before": "\u2029", "after": "\r\n\x0c"}
    atomic_write(directory.samples_jsonl, f"{to_json(sample, indent=None)}\n" * 2)
    assert run_facts(directory, {}).samples == [sample] * 2


def test_what_a_folder_lacks_is_left_out() -> None:
    assert sections(run_page(RunFacts("out", {"status": "interrupted"}))) == []
    assert sections(run_page(RunFacts("out", {}, history(6, eval_every=0)))) == ["curves"]


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({}, "Healthy, with warnings"),
        ({"status": "failed"}, "The run failed"),
        ({"status": "interrupted"}, "The run was interrupted"),
        ({"status": None}, "The run has not finished"),
        ({"verdict": {"healthy": False, "sentence": "Not healthy: it drifted."}}, "Not healthy It drifted."),
        ({"verdict": {"healthy": True, "sentence": "Healthy: yes."}}, "Healthy Yes."),
    ],
)
def test_the_verdict_comes_first(changes: dict[str, Any], first: str) -> None:
    page = run_page(made_run(name="out", summary={**made_summary(), **changes}))
    header = words(page[page.index("<header>") : page.index("</header>")])
    assert re.match(rf"out: sigmoid {re.escape(first)}", header), header


def test_the_result_is_said_in_words_with_its_interval() -> None:
    run = made_run(history=history(60, eval_every=20))
    assert (
        "Of 48 held-out pairs that it was never trained on, the model ranks 77.5 % rightly (before training: 50.0 %). "
        "The 95 % interval is 63.9 % to 87.0 %: clearly above 50 %, what guessing gives."
    ) in words(run_page(run))


def test_an_interval_that_holds_chance_is_called_luck() -> None:
    rows = [{**row, "eval_num_pairs": 10} if "eval_loss" in row else row for row in history(60)]
    rows[-1]["eval_rewards/accuracies"] = 0.6
    assert "it includes 50 %, what guessing gives, so this may be luck" in words(run_page(made_run(history=rows)))


def test_without_held_out_pairs_the_page_says_what_that_means() -> None:
    page = run_page(made_run(history=history(60, eval_every=0)))
    assert "No pairs were held out, so nothing tells whether the model learnt or memorised." in words(page)
    assert "numbers" not in sections(page)


def test_judged_answers_and_losses_without_a_reference_have_their_own_words() -> None:
    summary = made_summary()
    objective = {**summary["objective"], "name": "kto", "data": "feedback"}
    rows = [{name: value for name, value in row.items() if "kl_div" not in name} for row in history(60)]
    page = words(run_page(made_run(summary={**summary, "objective": objective}, history=rows)))
    assert "Of 48 held-out judged answers" in page
    assert "Rewards, liked and disliked" in page
    assert "it needs no reference, so 0 has no meaning of its own" in page
    assert "Distance to the reference" not in page


def test_rows_that_were_never_measured_and_values_that_are_not_finite_are_no_trouble() -> None:
    rows = [*history(6, every=1, eval_every=3), {"step": 7, "loss": float("nan"), "learning_rate": 1e-5}]
    pairs = [{**pair, "margin": None, "chosen_reward": None} for pair in made_pairs(3)]
    page = run_page(made_run(history=rows, pairs=ShownPairs(pairs, 3)))
    assert "nan" not in words(page).lower()
    assert "are here: half of them" not in words(page), "all pairs are on the page"
