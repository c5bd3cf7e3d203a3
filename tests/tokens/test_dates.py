"""Templates that write today's date write one day, whenever they are asked."""

from __future__ import annotations

import pytest

from made import CHATML, make_pair, make_tokenizer
from preftune.assess.answering import rendered
from preftune.errors import TemplateError
from preftune.tokens.chat import build_template
from preftune.tokens.dates import on_a_fixed_day

LLAMA = (
    "{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n"
    '        {%- set date_string = strftime_now("%d %b %Y") %}\n    {%- else %}\n'
    '        {%- set date_string = "never" %}\n    {%- endif %}\n{%- endif %}\n'
    '{{- "Today Date: " + date_string + "\\n\\n" }}'
)
IN_A_MACRO = (
    '\n{%- macro system() -%}\n    {{- "Current date: " + strftime_now(\'%Y-%m-%d\') + "\\n\\n" }}\n'
    "{%- endmacro -%}\n{{- system() }}"
)
IN_A_LOOP = "{% for m in messages %}{% if loop.first %}{{ strftime_now( '%d %B %Y' ) }}\n{% endif %}{% endfor %}"


def prompt(source: str, **variables: str) -> str:
    tokenizer = make_tokenizer(source)
    ids, _, _ = build_template(tokenizer, variables=variables).encode_pair(make_pair("Hi", "Yes", "No"))
    return str(tokenizer.decode(ids))


CHAT = prompt(CHATML)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (LLAMA, "Today Date: 26 Jul 2024\n\n"),
        (IN_A_MACRO, "Current date: 2024-07-26\n\n"),
        (IN_A_LOOP, "26 July 2024\n"),
    ],
    ids=["llama", "macro", "loop"],
)
def test_the_date_is_fixed_and_nothing_else_changes(source, shown):
    assert prompt(source + CHATML) == shown + CHAT


def test_a_variable_of_the_template_sets_another_day():
    assert prompt(LLAMA + CHATML, date_string="1 Jan 2025").startswith("Today Date: 1 Jan 2025\n")


def test_it_is_said_and_the_tokenizer_keeps_its_template():
    tokenizer = make_tokenizer(LLAMA + CHATML)
    template = build_template(tokenizer)
    assert "26 Jul 2024" in template.note
    assert tokenizer.chat_template == LLAMA + CHATML
    assert template.source is None
    assert build_template(make_tokenizer()).note == ""


def test_answers_are_asked_for_with_the_same_day():
    tokenizer = make_tokenizer(LLAMA + CHATML)
    ids = rendered(tokenizer, [{"role": "user", "content": "Hi"}], header=True)
    assert tokenizer.decode(ids) == prompt(LLAMA + CHATML)


def test_templates_without_a_clock_are_left_alone():
    assert on_a_fixed_day(CHATML) is CHATML
    assert on_a_fixed_day("{{ strftime_now is defined }}") == "{{ strftime_now is defined }}"


def test_a_format_that_is_worked_out_is_refused():
    with pytest.raises(TemplateError, match=r"works out itself.*data\.template"):
        build_template(make_tokenizer("{% set f = '%Y' %}{{ strftime_now(f) }}" + CHATML))
