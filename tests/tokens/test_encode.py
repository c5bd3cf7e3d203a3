"""Truncation keeps the end of the prompt and its header, cuts nothing silently, and counts per side."""

from __future__ import annotations

from made import make_pair
from preftune.data.records import Message, Origin, PreferencePair
from preftune.tokens.chat import build_template
from preftune.tokens.encode import encode_pairs

HEADER = "<|im_start|>assistant\n"


def encode(tokenizer, *pairs, **options):
    return encode_pairs(pairs, build_template(tokenizer), **options)


def test_what_fits_is_untouched(tokenizer):
    groups, report = encode(tokenizer, make_pair("Hi", "Yes", "No"), max_length=64)
    assert len(groups) == report.pairs == 1
    assert (report.cut.total(), len(report.dropped)) == (0, 0)


def test_oldest_turns_go_first_and_the_system_prompt_stays(tokenizer):
    turns = [Message("system", "Be kind")]
    for i in range(6):
        turns += [Message("user", f"question {i} " * 4), Message("assistant", f"answer {i}")]
    prompt = (*turns, Message("user", "the last question"))
    pair = PreferencePair(prompt, (Message("assistant", "a"),), (Message("assistant", "b"),), Origin("x", 3))
    (group,), report = encode(tokenizer, pair, max_length=200)
    text = tokenizer.decode(group.prompt)
    assert "question 0" not in text
    assert "question 5" in text
    assert text.startswith("<|im_start|>system\nBe kind")
    assert text.endswith(f"the last question<|im_end|>\n{HEADER}")
    assert report.cut["prompts"] == 1


def test_a_single_long_turn_loses_its_start_but_keeps_the_template_around_it(tokenizer):
    (group,), report = encode(tokenizer, make_pair("abcdefgh " * 50 + "END", "Yes", "No"), max_length=80)
    text = tokenizer.decode(group.prompt)
    assert text.startswith("<|im_start|>user\n")
    assert text.endswith(f"END<|im_end|>\n{HEADER}")
    assert group.longest <= 80
    assert report.cut["prompts"] == 1


def test_a_long_answer_is_cut_without_an_end_token(tokenizer):
    (group,), report = encode(tokenizer, make_pair("Hi", "yes " * 100, "No"), max_length=60)
    chosen, rejected = group.completions
    assert len(group.prompt) + len(chosen.ids) == 60
    assert tokenizer.eos_token_id not in chosen.ids
    assert list(rejected.ids).count(tokenizer.eos_token_id) == 1
    assert dict(+report.cut) == {"chosen": 1}


def test_drop_leaves_out_what_does_not_fit_and_lists_it(tokenizer):
    long = make_pair("Hi", "yes " * 100, "No", row=7)
    groups, report = encode(tokenizer, make_pair("Hi", "Yes", "No"), long, max_length=60, truncation="drop")
    assert len(groups) == 1
    assert [(b.origin.row, "data.max_length" in b.reason) for b in report.dropped] == [(7, True)]


def test_answers_that_are_equal_after_the_cut_are_listed_not_trained(tokenizer):
    groups, report = encode(tokenizer, make_pair("Hi", "yes " * 100 + "a", "yes " * 100 + "b", row=9), max_length=60)
    assert groups == []
    assert report.dropped[0].origin.row == 9
    assert "nothing to prefer" in report.dropped[0].reason


def test_content_ids_follow_the_tokens_not_the_row(tokenizer):
    (a, b), _ = encode(tokenizer, make_pair("Hi", "Yes", "No"), make_pair("Hi", "Yes", "Maybe", row=2), max_length=64)
    assert a.sequence_ids[0] == b.sequence_ids[0]
    assert a.sequence_ids[1] != b.sequence_ids[1]


def test_answer_end_keeps_the_prompt_and_drops_prompts_that_fill_the_window(tokenizer):
    pair = make_pair("word " * 20, "yes " * 100, "No")
    (whole,), _ = encode(tokenizer, pair, max_length=500)
    size = len(whole.prompt)
    (group,), report = encode(tokenizer, pair, max_length=size + 10, truncation="answer_end")
    assert group.prompt.tolist() == whole.prompt.tolist()
    assert group.completions[0].ids.tolist() == whole.completions[0].ids[:10].tolist()
    assert dict(+report.cut) == {"chosen": 1}
    groups, report = encode(tokenizer, pair, max_length=size, truncation="answer_end")
    assert groups == []
    assert report.dropped[0].reason == f"the prompt alone has {size} tokens, data.max_length is {size}"


def test_a_limit_on_the_prompt_comes_before_the_window_and_keeps_the_end(tokenizer):
    pair = make_pair("abcdefgh " * 50 + "END", "Yes", "No")
    for truncation in ("prompt_start", "answer_end"):
        (group,), report = encode(tokenizer, pair, max_length=600, max_prompt_length=40, truncation=truncation)
        assert 30 < len(group.prompt) <= 40
        assert tokenizer.decode(group.prompt).endswith(f"END<|im_end|>\n{HEADER}")
        assert dict(+report.cut) == {"prompts": 1}
    groups, report = encode(tokenizer, pair, max_length=600, max_prompt_length=40, truncation="drop")
    assert groups == []
    assert "data.max_prompt_length 40" in report.dropped[0].reason
