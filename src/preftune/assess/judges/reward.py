"""A reward model as the judge: a sequence classifier with one output scores each answer by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...metrics.win_rate import Verdict
from ...models.load import pick_device, positions_of
from ...runs.display import Phase, Reporter
from ..answering import rendered
from .base import Match, Ruling


@dataclass
class RewardJudge:
    """Prefers the answer with the higher score; scores up to ``tie`` apart are a tie."""

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    tie: float = 0.0
    batch_size: int = 8

    def rule(self, matches: Sequence[Match], reporter: Reporter) -> list[Ruling]:
        self.model.to(pick_device("auto"))  # type: ignore[arg-type]  # only now: before, others were answering there
        texts = [self._ids(match, answer) for match in matches for answer in (match.answer, match.reference_answer)]
        with reporter.phase("scores of the reward model", len(texts), "answers") as phase:
            scores = self._scores(texts, phase)
        pairs = zip(scores[::2], scores[1::2], strict=True)
        return [self._ruling(mine, theirs) for mine, theirs in pairs]

    def _ids(self, match: Match, answer: str) -> list[int]:
        turns = [*match.turns, {"role": "assistant", "content": answer}]
        return rendered(self.tokenizer, turns, header=False)

    def _scores(self, texts: Sequence[list[int]], phase: Phase) -> list[float | None]:
        """Scores in the order of the texts, which go in batches of like length; None for those that are too long.

        Where the model's config names no pad token, a batch is one text: the model could not find the ends of others.
        """
        size = self.batch_size if self.model.config.pad_token_id is not None else 1
        order = sorted((p for p in range(len(texts)) if len(texts[p]) <= self._longest), key=lambda p: len(texts[p]))
        phase.advance(len(texts) - len(order))
        scores: list[float | None] = [None] * len(texts)
        for start in range(0, len(order), size):
            places = order[start : start + size]
            for place, score in zip(places, self._batch([texts[p] for p in places]), strict=True):
                scores[place] = score
            phase.advance(len(places))
        return scores

    @torch.no_grad()
    def _batch(self, texts: Sequence[list[int]]) -> list[float]:
        longest, pad = max(map(len, texts)), self.model.config.pad_token_id
        device = self.model.device
        ids = torch.tensor([t + [pad or 0] * (longest - len(t)) for t in texts], device=device)
        mask = torch.tensor([[1] * len(t) + [0] * (longest - len(t)) for t in texts], device=device)
        scores: list[float] = self.model(input_ids=ids, attention_mask=mask).logits[:, 0].double().tolist()
        return scores

    @property
    def _longest(self) -> float:
        """Tokens that the model has positions for."""
        return positions_of(self.model) or math.inf

    def _ruling(self, mine: float | None, theirs: float | None) -> Ruling:
        detail = {"score": mine, "reference_score": theirs}
        if mine is None or theirs is None:
            return Ruling(
                None, f"prompt and answer are longer than the {self._longest} tokens of the judge", detail=detail
            )
        margin = mine - theirs
        if not math.isfinite(margin):
            finite = {
                name: value if value is not None and math.isfinite(value) else None for name, value in detail.items()
            }
            return Ruling(None, "the reward model gives no finite score", detail=finite)
        verdict: Verdict = "tie" if abs(margin) <= self.tie else "win" if margin > 0 else "loss"
        return Ruling(verdict, detail=detail)

    def facts(self) -> dict[str, Any]:
        return {"kind": "reward", "name": self.name, "tie": self.tie, "dtype": str(self.model.dtype).split(".")[-1]}
