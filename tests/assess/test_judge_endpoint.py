"""An endpoint as the judge: both orders, faults that pass and faults that do not, and replies that are kept."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planted_endpoint import Endpoint, Planted, completion, serving
from preftune.assess.judges.base import Match
from preftune.assess.judges.chat_client import MAX_BYTES, ChatClient, checked_url
from preftune.assess.judges.endpoint import EndpointJudge, Prices
from preftune.assess.judges.verdict_cache import VerdictCache
from preftune.assess.judges.wording import Wording
from preftune.errors import ConfigError, JudgeError
from preftune.runs.display import QuietReporter

WORDING = Wording("Q: {prompt}\nA: {answer_a}\nB: {answer_b}\n")
KEY = "sk-very-secret-0123456789"


def shown(body: dict[str, Any]) -> tuple[str, str]:
    """The two answers of a request, in its order."""
    found = re.search(r"\nA: (.*)\nB: (.*)\n", body["messages"][0]["content"])
    assert found is not None
    return found[1], found[2]


def fair(body: dict[str, Any]) -> Planted:
    """Prefers 'good' to 'bad' whatever the order; else a tie."""
    first, second = shown(body)
    said = "A" if "good" in first else "B" if "good" in second else "tie"
    return completion(f"I see. [[{said}]]", prompt_tokens=100, completion_tokens=10)


def first_wins(_: dict[str, Any]) -> Planted:
    """A judge that always prefers what it sees first."""
    return completion("[[A]]", prompt_tokens=1, completion_tokens=1)


def sometimes(faults: dict[int, Planted], rest: Callable[[dict[str, Any]], Planted] = fair) -> Callable[..., Planted]:
    """These replies to the n-th requests (from 1), the usual ones to all others."""
    count, lock = Counter[str](), threading.Lock()

    def answer(body: dict[str, Any]) -> Planted:
        with lock:
            count["n"] += 1
            number = count["n"]
        return faults.get(number) or rest(body)

    return answer


def judge_of(endpoint: Endpoint, tmp_path: Path, **options: Any) -> EndpointJudge:
    client = ChatClient(endpoint.url, options.pop("key", None), options.pop("timeout", 5.0), first_pause=0.001)
    return EndpointJudge(client, "judge-1", VerdictCache(tmp_path / "verdicts"), WORDING, **options)


def test_every_match_is_judged_in_both_orders(matches: list[Match], tmp_path: Path) -> None:
    with serving(fair) as endpoint:
        judge = judge_of(endpoint, tmp_path, prices=Prices(2.0, 8.0))
        rulings = judge.rule(matches, QuietReporter())
    assert [ruling.verdict for ruling in rulings] == ["win", "loss", "tie", "win"]
    assert sorted(map(shown, endpoint.requests)) == sorted(
        pair for match in matches for pair in (match.shown(model_first=True), match.shown(model_first=False))
    )
    assert {tuple(showing.model_first for showing in ruling.showings) for ruling in rulings} == {(True, False)}
    facts = judge.facts()
    assert (facts["requests"], facts["retries"], facts["from_cache"], facts["orders_disagreed"]) == (8, 0, 0, 0)
    assert (facts["prompt_tokens"], facts["completion_tokens"]) == (800, 80)
    assert facts["cost"] == pytest.approx((800 * 2 + 80 * 8) / 1e6)
    assert endpoint.requests[0] | {"messages": []} == {
        "model": "judge-1",
        "messages": [],
        "temperature": 0,
        "max_tokens": 1024,
    }
    assert {header["path"] for header in endpoint.headers} == {"/v1/chat/completions"}


def test_orders_that_disagree_are_a_tie_and_are_counted(matches: list[Match], tmp_path: Path) -> None:
    with serving(first_wins) as endpoint:
        judge = judge_of(endpoint, tmp_path)
        rulings = judge.rule(matches, QuietReporter())
    assert {ruling.verdict for ruling in rulings} == {"tie"}
    assert [showing.verdict for showing in rulings[0].showings] == ["win", "loss"]
    assert judge.facts()["orders_disagreed"] == 4


def test_the_second_time_nothing_is_asked(matches: list[Match], tmp_path: Path) -> None:
    with serving(fair) as endpoint:
        before = judge_of(endpoint, tmp_path).rule(matches, QuietReporter())
        asked = len(endpoint.requests)
        judge = judge_of(endpoint, tmp_path, prices=Prices(1, 1))
        assert judge.rule(matches, QuietReporter()) == before
        assert len(endpoint.requests) == asked == 8
        facts = judge.facts()
        assert (facts["requests"], facts["from_cache"], facts["prompt_tokens"], facts["cost"]) == (0, 8, 0, 0)


@pytest.mark.parametrize("change", ["model", "wording", "parameters", "answer"])
def test_another_question_is_asked_again(change: str, matches: list[Match], tmp_path: Path) -> None:
    with serving(fair) as endpoint:
        judge_of(endpoint, tmp_path).rule(matches[:1], QuietReporter())
        other = judge_of(endpoint, tmp_path)
        if change == "model":
            other.model = "judge-2"
        elif change == "wording":
            other.wording = Wording(WORDING.template + "!")
        elif change == "parameters":
            other.parameters = {"temperature": 1}
        else:
            matches[0] = Match(matches[0].turns, "good answer!", matches[0].reference_answer)
        other.rule(matches[:1], QuietReporter())
    assert other.facts()["from_cache"] == 0
    assert len(endpoint.requests) == 4


def test_a_damaged_file_of_the_cache_is_asked_again(matches: list[Match], tmp_path: Path) -> None:
    with serving(fair) as endpoint:
        judge_of(endpoint, tmp_path).rule(matches[:1], QuietReporter())
        one, _ = sorted((tmp_path / "verdicts").rglob("*.json"))
        one.write_text('{"text": "[[A', encoding="utf-8")
        judge = judge_of(endpoint, tmp_path)
        assert judge.rule(matches[:1], QuietReporter())[0].verdict == "win"
    assert (judge.facts()["from_cache"], judge.facts()["requests"]) == (1, 1)


LATER = {
    "429": Planted(b'{"error": {"message": "slow down"}}', 429, {"Retry-After": "0.01"}),
    "500": Planted(b"oops", 500),
    "slow": Planted(completion("[[A]]").body, delay=1.5),
    "garbage": Planted(b"<html>not json</html>"),
    "truncated": Planted(completion("[[A]]").body, cut=20),
    "no choices": Planted(b'{"choices": []}'),
    "wrong type": completion(7),
    "half a json": Planted(b'{"choices": [{"message": {"content": "[[A]]"'),
}


@pytest.mark.parametrize("fault", LATER)
def test_faults_that_pass_are_tried_again(fault: str, matches: list[Match], tmp_path: Path) -> None:
    with serving(sometimes({2: LATER[fault], 5: LATER[fault]})) as endpoint:
        judge = judge_of(endpoint, tmp_path, timeout=0.7 if fault == "slow" else 30.0, parallel=1)
        rulings = judge.rule(matches, QuietReporter())
    assert [ruling.verdict for ruling in rulings] == ["win", "loss", "tie", "win"]
    assert (judge.facts()["requests"], judge.facts()["retries"]) == (10, 2)


@pytest.mark.parametrize("fault", ["429", "500"])
def test_a_fault_that_does_not_pass_keeps_what_was_said_before(
    fault: str, matches: list[Match], tmp_path: Path
) -> None:
    broken = sometimes({}, lambda body: fair(body) if "Question 0" in str(body) else LATER[fault])
    with serving(broken) as endpoint:
        judge = judge_of(endpoint, tmp_path, parallel=2)
        with pytest.raises(JudgeError, match=rf"(?s)answered {fault}: .*6 attempts.*2 replies are kept"):
            judge.rule(matches, QuietReporter())
        endpoint.answer = fair
        again = judge_of(endpoint, tmp_path)
        assert [ruling.verdict for ruling in again.rule(matches, QuietReporter())] == ["win", "loss", "tie", "win"]
    assert (again.facts()["from_cache"], again.facts()["requests"]) == (2, 6)


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        (Planted(b'{"error": {"message": "no such key"}}', 401), "answered 401: no such key .*key is not accepted"),
        (
            Planted(b'{"error": "model not found"}', 404),
            "answered 404: model not found .*does it serve the model 'judge-1'",
        ),
        (Planted(b'{"detail": "unknown field"}', 400), "answered 400: unknown field"),
        (Planted(b"<html>hello</html>"), "no chat completion: '<html>hello</html>'.*end with /v1"),
        (Planted(b"", 302, {"Location": "http://elsewhere"}), "answered 302: .*name the one it leads to"),
        (Planted(b"x" * (MAX_BYTES + 1)), "longer than 4 MiB"),
        (Planted(b"not gzip", headers={"Content-Encoding": "gzip"}), "the reply cannot be decompressed"),
    ],
)
def test_a_wrong_endpoint_is_told_at_once(planted: Planted, message: str, matches: list[Match], tmp_path: Path) -> None:
    with serving(lambda _: planted) as endpoint, pytest.raises(JudgeError, match=message):
        judge_of(endpoint, tmp_path, key=KEY).rule(matches, QuietReporter())
    assert len(endpoint.requests) == 1


def test_an_endpoint_that_is_not_there_is_told_at_once(matches: list[Match], tmp_path: Path) -> None:
    with serving(fair) as endpoint:
        pass
    judge = judge_of(endpoint, tmp_path)
    with pytest.raises(JudgeError, match=r"cannot be reached.*Is the server running"):
        judge.rule(matches, QuietReporter())
    assert judge.facts()["requests"] == 1


def test_a_reply_that_trickles_ends_with_the_timeout(matches: list[Match], tmp_path: Path) -> None:
    """Each byte comes in time, the whole does not."""
    with serving(fair) as endpoint:
        judge = judge_of(endpoint, tmp_path, timeout=0.3)
        endpoint.answer = lambda _: Planted(b" " * 10, trickle=0.1)
        with pytest.raises(JudgeError, match=r"no reply within 0.3 seconds \(--timeout\) \(6 attempts\)"):
            judge.rule(matches[:1], QuietReporter())


def test_unreadable_and_refused_replies_are_no_verdict(matches: list[Match], tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> Planted:
        text = body["messages"][0]["content"]
        if "Question 1" in text:
            return completion("I cannot decide.")
        if "Question 2" in text:
            return Planted(b'{"error": {"message": "filtered"}}', 400)
        return completion(None) if "Question 3" in text else fair(body)

    with serving(answer) as endpoint:
        judge = judge_of(endpoint, tmp_path)
        rulings = judge.rule(matches, QuietReporter())
    assert [ruling.verdict for ruling in rulings] == ["win", None, None, None]
    assert rulings[1].reason == "no readable verdict in a reply"
    assert rulings[2].reason == "refused by the endpoint: answered 400: filtered"
    assert rulings[1].detail["replies"][0] == {"shown_first": "model", "says": None, "reply": "I cannot decide."}
    facts = judge.facts()
    assert (facts["unreadable"], facts["refused"], facts["prompt_tokens"]) == (2, 1, None)


def test_the_key_is_sent_and_written_nowhere(matches: list[Match], tmp_path: Path) -> None:
    """Not even where the endpoint says it back."""
    with serving(lambda _: completion(f"your key is {KEY} [[A]]")) as endpoint:
        judge = judge_of(endpoint, tmp_path, key=KEY)
        rulings = judge.rule(matches, QuietReporter())
        endpoint.answer = lambda _: Planted(f'{{"error": "bad key {KEY}\x1b[31m"}}'.encode(), 401)
        with pytest.raises(JudgeError) as refused:
            judge_of(endpoint, tmp_path / "other", key=KEY).rule(matches, QuietReporter())
    assert endpoint.headers[0]["Authorization"] == f"Bearer {KEY}"
    kept = "".join(file.read_text(encoding="utf-8") for file in (tmp_path / "verdicts").rglob("*.json"))
    assert KEY not in f"{kept}{judge.facts()}{judge!r}{rulings}{refused.value}"
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["ftp://x/v1", "localhost:8000", "http://", "http://[::1", "https://me:pw@x/v1", "https://x/v1?key=1"]
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="judge's address"):
        checked_url(url)


def test_an_address_may_name_the_whole_path() -> None:
    assert checked_url("http://x/v1/chat/completions") == checked_url("http://x/v1/") == "http://x/v1"
