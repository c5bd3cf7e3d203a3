"""What a template is: turns in, token ids out, in pieces that count and pieces that do not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..data.records import NO_INPUT, Kind, PreferencePair, TemplateInput, Turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Ids = Sequence[int] | NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of token ids that counts (an assistant's turn) or does not (what stands between two of them)."""

    ids: Ids
    scored: bool


Pieces = tuple[Piece, ...]


class Template(ABC):
    """How turns become tokens."""

    name: str

    @abstractmethod
    def encode(
        self, prompt: Turns, answers: Sequence[Turns], kind: Kind, given: TemplateInput = NO_INPUT
    ) -> tuple[Ids, list[Pieces]]:
        """Token ids of the prompt (with its generation header), and of each answer after it.

        ``given`` are the row's own tools and template variables.

        Raises:
            TemplateError: they cannot be rendered so that the answers are located exactly.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of everything that changes how a text becomes tokens."""

    def encode_pair(self, pair: PreferencePair) -> tuple[Ids, Pieces, Pieces]:
        """Token ids of a pair's prompt, chosen and rejected answer."""
        prompt, (chosen, rejected) = self.encode(pair.prompt, pair.completions, pair.kind, pair.template_input)
        return prompt, chosen, rejected


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash of the vocabulary and of how texts are split into it; 32 hex digits."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else str(sorted(tokenizer.get_vocab().items()))
    return sha256(text.encode()).hexdigest()[:32]


class Encoder:
    """Text pieces to token ids, each piece a continuation of the one before it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.eos_id: int | None = tokenizer.eos_token_id
        self.bos_id: int | None = tokenizer.bos_token_id
        self._anchor: str | None = tokenizer.eos_token  # kept: a run may give the tokenizer another end token
        probe = tokenizer("a").input_ids
        self.adds_bos = self.bos_id is not None and probe[:1] == [self.bos_id]

    def ids(self, text: str) -> list[int]:
        """Ids of a text as it stands: no special token is added."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

    def continuation(self, text: str) -> list[int]:
        """Ids of a text that follows other tokens (no word-start marker is added at its front)."""
        if self._anchor:
            ids = self.ids(self._anchor + text)
            if ids[:1] == [self.eos_id]:
                return ids[1:]
        return self.ids(text)

    def pieces(self, texts: Sequence[str], first: Sequence[int]) -> list[list[int]]:
        """Ids of texts[1:], where ``first`` are the ids of texts[0].

        The ids are those of the joined text wherever its tokens break at the border. Where a byte-pair merge
        would swallow the border, the continuation is encoded by itself, which is also what the model sees when
        it generates after the prompt.
        """
        done, joined, out = list(first), texts[0], []
        for text in texts[1:]:
            joined += text
            whole = self.ids(joined)
            piece = whole[len(done) :] if whole[: len(done)] == done else self.continuation(text)
            out.append(piece)
            done += piece
        return out
