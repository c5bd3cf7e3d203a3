"""A named wording as a Jinja chat template, and whether the tokenizer's own template says the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError as JinjaError

from ..errors import TemplateError, did_you_mean
from .named import BOS, EOS, NAMED, Wording

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBES: tuple[tuple[str, ...], ...] = (
    ("user",),
    ("user", "assistant"),
    ("user", "assistant", "user"),
    ("system", "user"),
    ("system", "user", "assistant"),
)


@dataclass(frozen=True, slots=True)
class NamedSource:
    """The Jinja text to use (None: the tokenizer's own, which says the same), and that in words."""

    source: str | None
    note: str
    end: str | None
    """Text of the token that ends an answer; None: the tokenizer's own."""


def named_source(tokenizer: PreTrainedTokenizerBase, name: str) -> NamedSource:
    """The template of this name for this tokenizer.

    Raises:
        TemplateError: no template has this name, or its end of turn is not a token of this tokenizer.
    """
    if name not in NAMED:
        known = did_you_mean(name, NAMED)
        raise TemplateError(f"data.template: no file and no template has the name '{name}'{known}")
    wording = NAMED[name]
    end = None if wording.end == EOS else wording.end
    if end is not None and len(tokenizer(end, add_special_tokens=False).input_ids) != 1:
        raise TemplateError(
            f"data.template: {name} ends an answer with {end}, which is not one token of this tokenizer, so the model "
            "could not learn where to stop. Use the template of this family of models, or default, which ends with "
            "the tokenizer's own end token"
        )
    source = as_jinja(wording)
    if not tokenizer.chat_template:
        return NamedSource(source, f"template {name}; the tokenizer brings none", end)
    difference = _difference(tokenizer, source)
    if difference is None:
        return NamedSource(None, f"template {name}: the tokenizer's own chat template says the same", end)
    note = f"template {name} differs from the tokenizer's own chat template and is used: {difference}"
    return NamedSource(source, note, end)


def as_jinja(wording: Wording) -> str:
    """The chat template that writes this wording."""
    return "".join(_lines(wording))


def _lines(w: Wording) -> Iterator[str]:
    yield f"{{% set default = {_literal(w.default_system)} %}}"
    yield "{% if messages and messages[0]['role'] == 'system' %}"
    yield "{% set system = messages[0]['content'] or default %}{% set turns = messages[1:] %}"
    yield "{% else %}{% set system = default %}{% set turns = messages %}{% endif %}"
    if w.prefix:
        yield f"{{{{ {_expression(w.prefix)} }}}}"
    if not w.system_in_user:
        yield f"{{% if system %}}{{{{ {_expression(w.system, 'system')} }}}}{{% endif %}}"
    yield "{% for turn in turns %}{% set content = turn['content'] %}{% if turn['role'] == 'user' %}"
    if w.system_in_user:
        joined = f"{_expression(w.system, 'system')} ~ content"
        yield f"{{% if loop.first and system %}}{{% set content = {joined} %}}{{% endif %}}"
    yield f"{{{{ {_expression(w.user, 'content')} }}}}"
    yield "{% elif turn['role'] == 'assistant' %}"
    if w.thoughts:
        yield from _with_thoughts(w.thoughts)
    yield f"{{{{ {_expression(w.header + w.answer, 'content')} }}}}"
    if w.tool is not None:
        yield f"{{% elif turn['role'] == 'tool' %}}{{{{ {_expression(w.tool, 'content')} }}}}"
    yield "{% else %}{{ raise_exception('this template has no ' ~ turn['role'] ~ ' turns here') }}{% endif %}"
    yield "{% endfor %}"
    quiet = ""
    if w.thoughts:
        empty = _literal("".join(w.thoughts))
        quiet = f"{{% if enable_thinking is defined and not enable_thinking %}}{{{{ {empty} }}}}{{% endif %}}"
    header = f"{{{{ {_expression(w.header)} }}}}" if w.header else ""
    yield f"{{% if add_generation_prompt %}}{header}{quiet}{{% endif %}}"


def _with_thoughts(thoughts: tuple[str, str]) -> Iterator[str]:
    """Earlier answers lose their thoughts; the last one gets empty ones where it has none."""
    opening, closing = (_literal(word.strip()) for word in thoughts)
    bare = f"content.split({closing})[-1].lstrip('\\n')"
    thinks = f"({opening} in content or {closing} in content)"
    unwanted = "(not loop.last or (enable_thinking is defined and not enable_thinking))"
    yield f"{{% if {thinks} and {unwanted} %}}{{% set content = {bare} %}}{{% endif %}}"
    empty = _literal("".join(thoughts))
    yield f"{{% if loop.last and not {thinks} %}}{{% set content = {empty} ~ content %}}{{% endif %}}"


def _expression(text: str, variable: str = "") -> str:
    """Jinja that writes ``text``, with ``variable`` at ``{}`` and the tokenizer's own tokens."""
    parts: list[str] = []
    for number, piece in enumerate(text.split("{}")):
        if number:
            parts.append(variable)
        for index, start in enumerate(piece.split(BOS)):
            if index:
                parts.append("bos_token")
            for place, plain in enumerate(start.split(EOS)):
                if place:
                    parts.append("eos_token")
                if plain:
                    parts.append(_literal(plain))
    return " ~ ".join(parts) or "''"


def _literal(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{quoted}'"


def _difference(tokenizer: PreTrainedTokenizerBase, source: str) -> str | None:
    """The first probe that both render, and differently; None where there is none."""
    for roles in _PROBES:
        messages = [{"role": role, "content": f"{role} {number}"} for number, role in enumerate(roles, 1)]
        for header in (False, True) if roles[-1] == "user" else (False,):
            own, named = (_rendered(tokenizer, messages, template, header) for template in (None, source))
            if own is not None and named is not None and own != named:
                return f"{_around(named, own)!r}, not {_around(own, named)!r}"
    return None


def _around(text: str, other: str) -> str:
    """``text`` from a little before the place where it leaves ``other``."""
    pairs = enumerate(zip(text, other, strict=False))
    same = next((place for place, (mine, theirs) in pairs if mine != theirs), min(len(text), len(other)))
    start = max(0, same - 24)
    return ("..." if start else "") + text[start : same + 40] + ("..." if len(text) > same + 40 else "")


def _rendered(
    tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], template: str | None, header: bool
) -> str | None:
    options: dict[str, Any] = {"chat_template": template, "tokenize": False, "add_generation_prompt": header}
    try:
        return str(tokenizer.apply_chat_template(messages, **options))
    except (JinjaError, TypeError, ValueError):
        return None
