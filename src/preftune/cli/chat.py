"""``preftune chat``: talk to a tuned model in the terminal, and see what it would have said before."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ModelError
from ..runs.text import visible
from .generate import MaxTokens, ModelArgument, ReferenceOption, Seed, Temperature, TopP, Trust

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..assess.answering import Sampling
    from ..recipe.tuned import Reference, Tuned

HELP = """\
/compare        the last message answered before and after training, side by side
/compare TEXT   the same for TEXT by itself, which the conversation then forgets
/reset          forget the conversation
/quit           leave; so does Ctrl-D. Ctrl-C stops an answer"""


def chat(
    model: ModelArgument,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="System text of every conversation.")] = None,
    reference: ReferenceOption = None,
    max_new_tokens: MaxTokens = 512,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    trust_remote_code: Trust = False,
) -> None:
    """Talk to a tuned model; /compare shows its answer beside that of what it was tuned from."""
    from ..assess.answering import Sampling
    from ..recipe.tuned import Loading, load_reference, load_tuned

    loading = Loading(trust_remote_code=trust_remote_code)
    tuned = load_tuned(model, loading)
    start = [] if system is None else [{"role": "system", "content": system}]
    talk = Talk(
        tuned,
        Sampling(max_new_tokens, temperature, top_p, seed),
        lambda: load_reference(model, tuned, reference, loading),
        start,
    )
    print(f"{visible(model)} answers; /help lists the commands")
    edit_with_keys()
    while talk.hear():
        pass


def edit_with_keys() -> None:
    """Let arrow keys edit a line, and call back earlier ones: ``input`` does so once readline is imported."""
    with suppress(ImportError):  # not on Windows, whose terminal does it
        import readline  # noqa: F401


@dataclass
class Talk:
    """A conversation at the terminal."""

    tuned: Tuned
    sampling: Sampling
    load_reference: Callable[[], Reference]
    """Called when it is first compared: it may need a second model."""
    start: list[dict[str, str]]
    turns: list[dict[str, str]] = field(default_factory=list)
    reference: Reference | None = None

    def hear(self) -> bool:
        """Take one line and act on it; False where the talk is over."""
        try:
            line = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            sys.stdout.write("\n")
            return False
        if line.startswith("/"):
            return self.obey(*line.split(maxsplit=1))
        if line:
            self.ask(line)
        return True

    def obey(self, command: str, text: str = "") -> bool:
        """Do what a command says; False where it ends the talk."""
        if command == "/compare":
            self.compare(text)
        elif command == "/quit":
            return False
        elif command == "/reset":
            self.turns.clear()
        else:
            print(HELP if command == "/help" else f"there is no command {visible(command)}\n{HELP}")
        return True

    def ask(self, question: str) -> None:
        """Answer, word by word; Ctrl-C ends the answer, which is then forgotten with its question."""
        turns = [*self.turns, {"role": "user", "content": question}]
        try:
            answer = self.answer(self.tuned.lm, self.tuned.tokenizer, turns, _say)
        except KeyboardInterrupt:
            sys.stdout.write("\n(stopped, and forgotten)\n")
            return
        except ModelError as error:
            print(f"{visible(str(error))}; /reset forgets the conversation")
            return
        sys.stdout.write("\n")
        self.turns[:] = [*turns, {"role": "assistant", "content": answer}]

    def compare(self, text: str = "") -> None:
        """``text`` by itself, or the last message in its conversation, answered by both."""
        from ..runs.side_by_side import side_by_side

        if not text and not self.turns:
            print("ask something first, or give a message: /compare TEXT")
            return
        if self.reference is None:
            self.reference = self.load_reference()
            print(f"before: {visible(self.reference.name)}")
        turns = [{"role": "user", "content": text}] if text else self.turns[:-1]
        try:
            with self.reference.model() as model:
                before = self.answer(model, (self.reference.other or self.tuned).tokenizer, turns)
            after = self.answer(self.tuned.lm, self.tuned.tokenizer, turns) if text else self.turns[-1]["content"]
        except KeyboardInterrupt:
            print("\n(stopped)")
            return
        side_by_side(sys.stdout, ("before", before), ("after", after))

    def answer(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        turns: list[dict[str, str]],
        say: Callable[[str], None] | None = None,
    ) -> str:
        """What ``model`` says next."""
        from ..assess.answering import answers, render

        prompt = render(tokenizer, [*self.start, *turns])
        return answers(model, tokenizer, [prompt], self.sampling, say)[0]


def _say(text: str) -> None:
    sys.stdout.write(visible(text))
    sys.stdout.flush()
