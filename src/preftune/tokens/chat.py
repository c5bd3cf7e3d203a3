"""Render and encode conversations so that the border between prompt and answer is exact, or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.records import NO_INPUT, THOUGHTS, Kind, Message, TemplateInput, Turns
from ..errors import TemplateError
from .dates import CLOCK, DAY, on_a_fixed_day
from .plain import PlainTemplate
from .template import Encoder, Piece, Pieces, Template
from .wording import named_source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SENTINEL = "preftune-probe-7f3a"


def build_template(
    tokenizer: PreTrainedTokenizerBase, choice: str = "auto", variables: Mapping[str, object] | None = None
) -> Template:
    """``auto``: the tokenizer's own chat template, or ``plain`` where it has none; ``plain``; a Jinja file; or a name.

    ``variables`` are handed to the template, such as ``enable_thinking``.

    Raises:
        TemplateError: there is no such file or name, or the template hides where an answer starts.
    """
    if choice == "plain" or (choice == "auto" and not tokenizer.chat_template):
        if variables:
            raise TemplateError("data.template_variables has no use without a chat template; leave it out")
        return PlainTemplate(tokenizer, explicit=choice == "plain")
    if choice == "auto":
        return ChatTemplate(tokenizer, None, variables=variables)
    path = Path(choice)
    if path.is_file():
        return ChatTemplate(tokenizer, path.read_text(encoding="utf-8"), variables=variables)
    if path.suffix or len(path.parts) > 1:
        raise TemplateError(f"data.template: no file {choice}; use auto, plain, a name, or the path of a Jinja file")
    named = named_source(tokenizer, choice)
    template = ChatTemplate(tokenizer, named.source, variables=variables, end=named.end)
    template.note = " ".join(note for note in (named.note, template.note) if note)
    return template


class ChatTemplate(Template):
    """A chat template, probed once for what it writes around an answer."""

    note = ""
    """How the template came to be chosen, or what it writes, where that is worth saying."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        source: str | None,
        *,
        variables: Mapping[str, object] | None = None,
        end: str | None = None,
    ) -> None:
        self.name = "the tokenizer's chat template" if source is None else "the given chat template"
        self.source = source
        """Jinja text; None: the tokenizer's own."""
        self.end = end
        """Token that ends an answer, where it is known and not the tokenizer's end token."""
        self._encoder = Encoder(tokenizer)
        self._tokenizer = tokenizer
        self._variables: dict[str, Any] = dict(variables or {})
        if CLOCK in self._jinja:
            self.note = (
                f"{self.name} writes the date into prompts: here always {DAY:%d %b %Y}, so that a run resumed on "
                "another day has the same tokens. data.template_variables sets another where the template takes one "
                "(Llama 3: date_string)"
            )
        self._closes = self._probe()
        self._endings = tuple({str(t) for t in (tokenizer.eos_token, self._closing_token) if t})

    def fingerprint(self) -> str:
        text = self._jinja
        if self._variables:
            text += json.dumps(self._variables, sort_keys=True)
        return sha256(text.encode()).hexdigest()

    def _probe(self) -> bool:
        """Whether the template itself ends an answer with an end-of-turn token; refuse templates that hide answers."""
        turns = (Message("user", "Hello"), Message("assistant", _SENTINEL))
        prompt, bare, full = self._text(turns[:1], True), self._text(turns[:1], False), self._text(turns, False)
        if full.count(_SENTINEL) != 1:
            raise TemplateError(f"{self.name} does not write the assistant's text as it is; use data.template: plain")
        header = full[: full.index(_SENTINEL)]
        if prompt == bare and header != prompt and header[len(prompt) :].strip():
            raise TemplateError(
                f"{self.name} writes no generation prompt (it ignores add_generation_prompt), so the header "
                f"{header[len(prompt) :]!r} would be trained as part of every answer. Add "
                "'{% if add_generation_prompt %}...{% endif %}' to the template, pass a corrected file as "
                "data.template, or use data.template: plain."
            )
        tail = self._encoder.ids(full[full.index(_SENTINEL) + len(_SENTINEL) :])
        special = [i for i in tail if i in self._special_ids()]
        self._closing_token = str(self._tokenizer.decode(special[:1])) if special else ""
        return bool(special)

    def _special_ids(self) -> set[int]:
        added = {i for i, token in self._tokenizer.added_tokens_decoder.items() if token.special}
        return added | {i for i in (self._encoder.eos_id,) if i is not None}

    def _text(self, turns: Turns, generation_prompt: bool, given: TemplateInput = NO_INPUT) -> str:
        own: dict[str, Any] = json.loads(given.variables) if given.variables else {}
        tools = json.loads(given.tools) if given.tools else None
        try:
            source = on_a_fixed_day(self._tokenizer.get_chat_template(self.source, tools))
            text = self._tokenizer.apply_chat_template(
                [turn.as_template() for turn in turns],
                tools=tools,
                chat_template=source,
                tokenize=False,
                add_generation_prompt=generation_prompt,
                **(self._variables | own),
            )
        except TemplateError:
            raise
        except Exception as error:  # noqa: BLE001 - a template is a program of somebody else's and may raise anything
            said = str(error) or type(error).__name__
            raise TemplateError(f"{self.name} refuses this conversation: {said}") from None
        return str(text)

    def encode(
        self,
        prompt: Turns,
        answers: Sequence[Turns],
        kind: Kind,  # noqa: ARG002
        given: TemplateInput = NO_INPUT,
    ) -> tuple[Sequence[int], list[Pieces]]:
        text = self._text(prompt, True, given)
        self._check_use(given, prompt, text)
        ids = self._encoder.ids(text)
        bos = self._encoder.bos_id
        if bos is not None and ids[:2] == [bos, bos]:
            raise TemplateError("the rendered prompt starts with two BOS tokens; remove the one written in the data")
        return ids, [self._answer(prompt, text, ids, answer, given) for answer in answers]

    def _check_use(self, given: TemplateInput, prompt: Turns, text: str) -> None:
        """Refuse a row whose tools or variables the template would drop without a word."""
        if given.tools and self._text(prompt, True, replace(given, tools="")) == text:
            raise TemplateError(f"{self.name} does not write tools, and this row has some: use a template that does")
        for name in (name for turn in prompt for name in _called(turn)):
            if name not in text:
                raise TemplateError(f"{self.name} does not write the call of {name!r}: use a template that does")
        for name in json.loads(given.variables or "{}"):
            if not re.search(rf"\b{re.escape(name)}\b", self._jinja):
                raise TemplateError(f"{self.name} knows no variable {name!r}, which this row sets: take it out")

    @property
    def _jinja(self) -> str:
        """The template's text; a tokenizer may have several, by name."""
        return str(self.source or self._tokenizer.chat_template)

    def _answer(
        self, turns: Turns, prompt: str, prompt_ids: Sequence[int], answer: Turns, given: TemplateInput
    ) -> Pieces:
        """Encode the turns after the prompt; only assistant turns are scored."""
        texts, scored, done, history = [prompt], [], prompt, turns
        for position, turn in enumerate(answer):
            last = position == len(answer) - 1
            history = (*history, self._without_ending(turn) if turn.role == "assistant" else turn)
            header = not last and answer[position + 1].role == "assistant" and turn.role != "assistant"
            text = self._text(history, header, given)
            if not text.startswith(done):
                raise TemplateError(
                    f"{self.name} changes earlier turns when the answer is added, so the answer cannot be located. "
                    "Use a template with a stable generation prompt, or data.template: plain"
                )
            self._check_written(turn, text[len(done) :])
            texts.append(text[len(done) :])
            scored.append(turn.role == "assistant")
            done = text
        pieces = self._encoder.pieces(texts, prompt_ids)
        if not self._closes and scored[-1] and self._encoder.eos_id is not None:
            pieces[-1].append(self._encoder.eos_id)
        return tuple(Piece(tuple(ids), flag) for ids, flag in zip(pieces, scored, strict=True))

    def _check_written(self, turn: Message, text: str) -> None:
        """Refuse an answer whose tool calls or thoughts the template leaves out."""
        fields = json.loads(turn.fields) if turn.fields else {}
        parts = [(f"the call of {name!r}", name) for name in _called(turn)]
        parts += [(repr(key), fields[key].strip()) for key in THOUGHTS if key in fields]
        for what, written in parts:
            if written not in text:
                raise TemplateError(f"{self.name} does not write {what} of an answer: use a template that does")

    def _without_ending(self, turn: Message) -> Message:
        """Data sometimes carry the end-of-turn token in the text; the template writes it, so once is enough."""
        text = turn.content
        while text.rstrip().endswith(self._endings) and self._endings:
            text = text.rstrip()
            text = text[: -max(len(e) for e in self._endings if text.endswith(e))]
        return turn if text == turn.content else replace(turn, content=text)


def _called(turn: Message) -> list[str]:
    """Names of the tools that a turn calls."""
    calls = json.loads(turn.fields).get("tool_calls", ()) if turn.fields else ()
    return [call["function"]["name"] for call in calls]
