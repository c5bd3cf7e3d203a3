"""The border between prompt and answer, special tokens exactly once, templates that are refused."""

from __future__ import annotations

import pytest

from made import CHATML, make_pair, make_tokenizer
from preftune.data.records import Message, Origin, PreferencePair
from preftune.errors import TemplateError
from preftune.tokens.chat import build_template

HEADERLESS = "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|im_end|>\n{% endfor %}"


def decoded(tokenizer, pieces):
    return "".join(tokenizer.decode(list(p.ids)) for p in pieces)


def test_chat_prompt_ends_with_the_generation_header_and_answers_with_their_closing_token(tokenizer):
    prompt, chosen, rejected = build_template(tokenizer).encode_pair(make_pair("Hi", "Hello.", "Go away"))
    assert tokenizer.decode(prompt) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert decoded(tokenizer, chosen) == "Hello.<|im_end|>\n"
    assert decoded(tokenizer, rejected) == "Go away<|im_end|>\n"


def test_prompt_and_answer_join_to_the_ids_of_the_whole_conversation(tokenizer):
    prompt, chosen, _ = build_template(tokenizer).encode_pair(make_pair("the sky is", "blue and green", "x"))
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "the sky is"}, {"role": "assistant", "content": "blue and green"}], tokenize=False
    )
    assert [*prompt, *chosen[0].ids] == tokenizer(text, add_special_tokens=False).input_ids


def test_a_merge_across_the_border_keeps_the_prompt_that_generation_will_see(tokenizer):
    template = build_template(tokenizer)
    plain, _, _ = template.encode_pair(make_pair("Hi", "four", "x"))
    prompt, chosen, _ = template.encode_pair(make_pair("Hi", "\nfour", "x"))  # "\n" + "\n" is one token
    assert prompt == plain
    assert decoded(tokenizer, chosen) == "\nfour<|im_end|>\n"


def test_an_end_token_written_in_the_data_is_not_doubled(tokenizer):
    _, chosen, _ = build_template(tokenizer).encode_pair(make_pair("Hi", "Yes<|im_end|> ", "No"))
    assert decoded(tokenizer, chosen) == "Yes<|im_end|>\n"


def test_a_template_that_never_closes_an_answer_gets_one_eos():
    tokenizer = make_tokenizer(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    _, chosen, rejected = build_template(tokenizer).encode_pair(make_pair("Hi", "Yes", "No"))
    assert decoded(tokenizer, chosen).endswith("Yes\n<|im_end|>")
    assert decoded(tokenizer, rejected).count("<|im_end|>") == 1


def test_a_template_without_generation_prompt_is_refused_with_the_remedy():
    with pytest.raises(TemplateError, match=r"no generation prompt.*data\.template: plain"):
        build_template(make_tokenizer(HEADERLESS))


def test_a_template_that_rewrites_earlier_turns_is_refused_for_that_row():
    tokenizer = make_tokenizer("{{ messages | length }}" + CHATML)
    with pytest.raises(TemplateError, match="changes earlier turns"):
        build_template(tokenizer).encode_pair(make_pair("Hi", "Yes", "No"))


def test_a_template_that_refuses_a_role_says_so():
    tokenizer = make_tokenizer(
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML
    )
    pair = make_pair("Hi", "Yes", "No")
    bad = PreferencePair((Message("system", "Be kind"), *pair.prompt), pair.chosen, pair.rejected, Origin("a", 1))
    with pytest.raises(TemplateError, match="no system role"):
        build_template(tokenizer).encode_pair(bad)


def test_a_missing_template_file_is_named(tokenizer):
    with pytest.raises(TemplateError, match="no file nowhere.jinja"):
        build_template(tokenizer, "nowhere.jinja")


def test_a_template_file_is_used(tokenizer, tmp_path):
    file = tmp_path / "t.jinja"
    file.write_text(
        CHATML.replace("im_start|>{{", "im_start|>the {{").replace("im_start|>assis", "im_start|>the assis")
    )
    prompt, _, _ = build_template(tokenizer, str(file)).encode_pair(make_pair("Hi", "Yes", "No"))
    assert tokenizer.decode(prompt).startswith("<|im_start|>the user\n")


def test_only_assistant_turns_of_a_longer_answer_are_scored(tokenizer):
    tail = (Message("assistant", "Yes"), Message("user", "Why?"), Message("assistant", "Because"))
    pair = PreferencePair((Message("user", "Hi"),), tail, (Message("assistant", "No"),), Origin("a", 1))
    _, chosen, _ = build_template(tokenizer).encode_pair(pair)
    assert [p.scored for p in chosen] == [True, False, True]
    assert decoded(tokenizer, [p for p in chosen if p.scored]) == "Yes<|im_end|>\nBecause<|im_end|>\n"


def test_plain_text_is_concatenated_as_it_is_and_closed_once(tokenizer):
    pair = make_pair("The sky is", " blue.", " green.", kind="text")
    prompt, chosen, _ = build_template(tokenizer, "plain").encode_pair(pair)
    assert tokenizer.decode(prompt) + decoded(tokenizer, chosen) == "The sky is blue.<|im_end|>"


def test_plain_text_whose_border_lies_inside_a_token_keeps_both_texts(tokenizer):
    pair = make_pair("the sk", "y is blue", "ies are blue", kind="text")
    prompt, chosen, rejected = build_template(tokenizer, "plain").encode_pair(pair)
    assert tokenizer.decode(prompt) == "the sk"
    assert decoded(tokenizer, chosen) == "y is blue<|im_end|>"
    assert decoded(tokenizer, rejected) == "ies are blue<|im_end|>"


def test_text_rows_are_rendered_through_the_chat_template_under_auto(tokenizer):
    prompt, _, _ = build_template(tokenizer).encode_pair(make_pair("Hi", "Yes", "No", kind="text"))
    assert tokenizer.decode(prompt).endswith("<|im_start|>assistant\n")


def test_conversations_without_a_chat_template_need_a_choice():
    template = build_template(make_tokenizer(None))
    with pytest.raises(TemplateError, match="no chat template"):
        template.encode_pair(make_pair("Hi", "Yes", "No"))


def test_plain_writes_conversations_as_a_transcript():
    tokenizer = make_tokenizer(None)
    prompt, chosen, _ = build_template(tokenizer, "plain").encode_pair(make_pair("Hi", "Yes", "No"))
    assert tokenizer.decode(prompt) == "\n\nHuman: Hi\n\nAssistant:"
    assert decoded(tokenizer, chosen) == " Yes<|im_end|>"


def test_a_bos_that_the_tokenizer_adds_comes_once():
    tokenizer = make_tokenizer(None)
    from tokenizers.processors import TemplateProcessing

    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
    )
    template = build_template(tokenizer, "plain")
    for text in ("The sky is", "<|im_start|>The sky is"):
        prompt, _, _ = template.encode_pair(make_pair(text, " blue", " green", kind="text"))
        assert list(prompt).count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize(
    "hostile",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% set _ = messages.append({}) %}",
        "{% include '/etc/passwd' %}",
        "{% for m in messages %}{{ m.content }}",
    ],
)
def test_a_template_file_cannot_reach_python_or_files(tokenizer, tmp_path, hostile):
    path = tmp_path / "t.jinja"
    path.write_text(hostile + CHATML, encoding="utf-8")
    with pytest.raises(TemplateError):
        build_template(tokenizer, str(path)).encode_pair(make_pair("Hi", "Hello.", "Go away"))
