"""Named templates render as their models were trained, and the tokenizer's own is used where it says the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from made import CHATML, make_pair, make_tokenizer
from preftune.errors import TemplateError
from preftune.tokens.chat import ChatTemplate, build_template
from preftune.tokens.named import NAMED
from preftune.tokens.wording import as_jinja, named_source

MESSAGES = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"},
]

# From the families' own model cards: system, question, answer, question, and the start of the next answer.
RENDERED = {
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
    "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n",
    "llama2": "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\na [/INST]b</s><s>[INST] c [/INST]",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\na<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nb<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nc<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "mistral": "<s>[INST] S\n\na[/INST] b</s>[INST] c[/INST]",
    "gemma": "<s><start_of_turn>user\nS\n\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n"
    "<start_of_turn>user\nc<end_of_turn>\n<start_of_turn>model\n",
    "phi": "<|system|>\nS<|end|>\n<|user|>\na<|end|>\n<|assistant|>\nb<|end|>\n<|user|>\nc<|end|>\n<|assistant|>\n",
    "deepseek": "<s>S\n\nUser: a\n\nAssistant:b</s>User: c\n\nAssistant:",
    "deepseek3": "<s>S<｜User｜>a<｜Assistant｜>b</s><｜User｜>c<｜Assistant｜>",
    "glm4": "[gMASK]<sop><|system|>\nS<|user|>\na<|assistant|>\nb<|user|>\nc<|assistant|>",
    "zephyr": "<|system|>\nS</s><|user|>\na</s><|assistant|>\nb</s><|user|>\nc</s><|assistant|>\n",
    "vicuna": "SUSER: a ASSISTANT:b</s>USER: c ASSISTANT:",
    "alpaca": "S### Instruction:\na\n\n### Response:\nb</s>\n\n### Instruction:\nc\n\n### Response:\n",
    "default": "System: S</s>\nHuman: a</s>\nAssistant:b</s>\nHuman: c</s>\nAssistant:",
}


@pytest.fixture(scope="module")
def llama_like() -> PreTrainedTokenizerFast:
    """A tokenizer with <s> and </s>."""
    made = make_tokenizer(None)
    made.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    return made


def render(tokenizer: PreTrainedTokenizerFast, name: str, messages=MESSAGES, header: bool = True, **variables) -> str:
    return str(
        tokenizer.apply_chat_template(
            messages,
            chat_template=as_jinja(NAMED[name]),
            tokenize=False,
            add_generation_prompt=header,
            **variables,
        )
    )


@pytest.mark.parametrize("name", RENDERED)
def test_known_conversations(llama_like: PreTrainedTokenizerFast, name: str) -> None:
    assert render(llama_like, name) == RENDERED[name]


@pytest.mark.parametrize("name", NAMED)
def test_an_answer_is_what_a_template_adds_to_its_own_prompt(llama_like: PreTrainedTokenizerFast, name: str) -> None:
    prompt = render(llama_like, name, MESSAGES[:2])
    whole = render(llama_like, name, MESSAGES[:3], header=False)
    assert whole.startswith(prompt)
    assert "b" in whole[len(prompt) :]


def test_a_default_system_text_is_used_where_the_conversation_has_none(llama_like: PreTrainedTokenizerFast) -> None:
    assert render(llama_like, "qwen", MESSAGES[1:2]).startswith("<|im_start|>system\nYou are Qwen, created by Alibaba")
    assert "Qwen" not in render(llama_like, "qwen", MESSAGES)


def test_a_reasoning_template_gives_the_last_answer_empty_thoughts_and_earlier_ones_none(
    llama_like: PreTrainedTokenizerFast,
) -> None:
    thinking = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb"}
    messages = [MESSAGES[1], thinking, MESSAGES[3], {"role": "assistant", "content": "d"}]
    whole = render(llama_like, "qwen3", messages, header=False)
    assert "assistant\nb<|im_end|>" in whole
    assert "assistant\n<think>\n\n</think>\n\nd<|im_end|>" in whole
    assert "<think>\nhm" in render(llama_like, "qwen3", messages[:2], header=False)
    quiet = render(llama_like, "qwen3", messages[:3], enable_thinking=False)
    assert quiet.endswith("assistant\n<think>\n\n</think>\n\n")
    assert render(llama_like, "qwen3", messages[:3]).endswith("assistant\n")


def test_the_tokenizers_own_template_is_used_where_it_says_the_same() -> None:
    named = named_source(make_tokenizer(CHATML), "chatml")
    assert (named.source, named.end) == (None, "<|im_end|>")
    assert "says the same" in named.note


def test_where_they_differ_the_named_one_wins_and_the_difference_is_shown() -> None:
    template = build_template(make_tokenizer(CHATML), "qwen")
    assert isinstance(template, ChatTemplate)
    assert template.source == as_jinja(NAMED["qwen"])
    assert template.note == (
        "template qwen differs from the tokenizer's own chat template and is used: "
        "'<|im_start|>system\\nYou are Qwen, created by Alibaba ...', not '<|im_start|>user\\nuser 1<|im_end|>\\n'"
    )


def test_a_named_template_encodes_pairs_of_a_model_without_one() -> None:
    tokenizer = make_tokenizer(None)
    template = build_template(tokenizer, "chatml")
    prompt, chosen, _ = template.encode_pair(make_pair("what is two", "four", "six"))
    assert tokenizer.decode(prompt) == "<|im_start|>user\nwhat is two<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode([i for piece in chosen for i in piece.ids]) == "four<|im_end|>\n"


def test_an_unknown_name_is_refused_with_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="no template has the name 'qwen2'; did you mean 'qwen'"):
        build_template(make_tokenizer(), "qwen2")
    with pytest.raises(TemplateError, match="no file .*my.jinja"):
        build_template(make_tokenizer(), str(tmp_path / "my.jinja"))


def test_an_end_of_turn_that_the_tokenizer_lacks_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"llama3 ends an answer with <\|eot_id\|>, which is not one token"):
        build_template(make_tokenizer(), "llama3")


def test_template_variables_reach_the_template_and_its_fingerprint() -> None:
    tokenizer = make_tokenizer(None)
    loud, quiet = (build_template(tokenizer, "qwen3", {"enable_thinking": think}) for think in (True, False))
    pair = make_pair("what is two", "four", "six")
    ends = [tokenizer.decode(template.encode_pair(pair)[0])[-30:] for template in (loud, quiet)]
    assert ends[0].endswith("assistant\n")
    assert ends[1].endswith("</think>\n\n")
    assert loud.fingerprint() != quiet.fingerprint()
    with pytest.raises(TemplateError, match="has no use without a chat template"):
        build_template(tokenizer, "plain", {"enable_thinking": True})


def test_the_documentation_lists_every_name() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data_formats.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in NAMED)
