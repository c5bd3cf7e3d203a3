"""Tokens of large sets, kept between starts: rendering and encoding a million pairs takes minutes, reading them back
seconds.

Only what a template makes of a record is kept, by the record's content: truncation, checks and order are done anew at
every start, so they may change. Nothing depends on the cache: what it lacks or lost is encoded again.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from ..config import Config
from ..data.records import NO_INPUT, Kind, TemplateInput, Turns, content_id
from ..errors import RunFolderError
from ..logprobs.shards import RaggedTable, cache_folder
from ..models.cache_dir import token_cache
from ..runs.display import Reporter
from ..tokens.encode import Advance, IntArray
from ..tokens.template import Ids, Piece, Pieces, Template, tokenizer_hash

KEPT_FROM = 5_000
"""Records of a run from which on their tokens are kept: fewer take seconds to encode."""
SHARD = 4_096
"""Records that are written at once."""
TOKEN_CODE = 1
"""Raised when a change of the code changes which tokens a record becomes, so that older caches are not used."""


class TokenTable(RaggedTable):
    """Token ids of whole records by the hash of their content, each packed into one row of int32."""

    what = "token cache"
    column = "tokens"
    remedy = "set PREFTUNE_CACHE to another folder"

    def find(self, key: bytes) -> IntArray | None:
        """A record's row, as a view of its shard's."""
        return None if self.missing((key,)) else self._row(key)

    def write(self, ids: Sequence[bytes], rows: Sequence[IntArray]) -> None:
        """Store rows as a new shard, for the next start; this table does not find them."""
        if self._folder is not None and ids:
            self._write_shard(ids, [torch.from_numpy(row) for row in rows])


class KeptTemplate(Template):
    """A template that does not encode again what a table holds, and writes there what it encodes."""

    def __init__(self, template: Template, table: TokenTable, reporter: Reporter) -> None:
        self.name = template.name
        self.asked = self.found = 0
        """Records to encode (those with a shortened prompt twice), and how many of them were in the table."""
        self._template, self._table, self._reporter = template, table, reporter
        self._new: dict[bytes, IntArray] = {}
        self._writes = True

    def fingerprint(self) -> str:
        return self._template.fingerprint()

    def encode(
        self, prompt: Turns, answers: Sequence[Turns], kind: Kind, given: TemplateInput = NO_INPUT
    ) -> tuple[Ids, list[Pieces]]:
        if not answers:  # a try at a shorter prompt: there are many of them for one record
            return self._template.encode(prompt, answers, kind, given)
        key = bytes.fromhex(content_id(given, prompt, tuple(answers), kind))
        self.asked += 1
        row = self._table.find(key)
        if row is not None:
            self.found += 1
            return _unpacked(row)
        encoded = self._template.encode(prompt, answers, kind, given)
        if self._writes:
            self._new[key] = _packed(*encoded)
            if len(self._new) >= SHARD:
                self.flush()
        return encoded

    def flush(self) -> None:
        """Write what has been encoded since the last time. Where that fails, the run goes on without keeping more."""
        try:
            self._table.write(list(self._new), list(self._new.values()))
        except RunFolderError as error:
            self._writes = False
            self._reporter.warn(f"tokens are not kept for the next start: {error}")
        self._new.clear()


def encoding_key(template: Template, tokenizer: PreTrainedTokenizerBase) -> dict[str, object]:
    """All that decides which tokens a record becomes, beside the record."""
    packages = ("preftune", "transformers", "tokenizers", "jinja2")
    return {
        "template": template.fingerprint(),
        "tokenizer": tokenizer_hash(tokenizer),
        "special_tokens": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "end": getattr(template, "end", None),
        "split_special_tokens": getattr(tokenizer, "split_special_tokens", None),
        "class": type(tokenizer).__name__,
        "code": TOKEN_CODE,
        **{name: importlib.metadata.version(name) for name in packages},
    }


@contextmanager
def kept_tokens(
    config: Config,
    template: Template,
    key: Mapping[str, object],
    records: int,
    reporter: Reporter,
    *,
    writes: bool,
) -> Iterator[tuple[Template, Advance | None]]:
    """The template, and where there are many records with a memory and a view of how far they are.

    ``key``: of the encoding, and of the data.
    """
    if records < KEPT_FROM:
        yield template, None
        return
    try:
        table = _table(config, key, writes=writes)
    except RunFolderError as error:
        reporter.warn(f"tokens are not kept for the next start: {error}")
        table = TokenTable()
    for file, fault in table.damaged.items():
        reporter.warn(f"the token cache file {file} is damaged ({fault}); what it held is encoded again")
    kept = KeptTemplate(template, table, reporter)
    with reporter.phase("tokens", records, "records") as phase:
        yield kept, phase.advance
        kept.flush()
    if kept.found:
        reporter.note(f"tokens: {kept.found / kept.asked:.0%} of the records were encoded at an earlier start")


def _table(config: Config, key: Mapping[str, object], *, writes: bool) -> TokenTable:
    about: Mapping[str, object] = {"model": config.model.path, "data": [source.path for source in config.data.sources]}
    return TokenTable(cache_folder(token_cache(), key), key, about=about, writes=writes)


def _packed(prompt: Ids, answers: Sequence[Pieces]) -> IntArray:
    """One row: the number of heads; prompt's length, answers, pieces of each, length and flag of each; then all ids."""
    pieces = [piece for answer in answers for piece in answer]
    heads = [len(prompt), len(answers), *map(len, answers), *(2 * len(p.ids) + p.scored for p in pieces)]
    parts = [np.asarray([len(heads), *heads]), np.asarray(prompt), *(np.asarray(p.ids) for p in pieces)]
    return np.concatenate(parts).astype(np.int32)


def _unpacked(row: IntArray) -> tuple[IntArray, list[Pieces]]:
    """What was packed, as views of the row."""
    length, count, *heads = row[1 : row[0] + 1].tolist()
    place = int(row[0]) + 1
    prompt = row[place : place + length]
    place += length
    sizes = iter(heads[count:])
    answers = []
    for number in heads[:count]:
        pieces = []
        for size, scored in (divmod(next(sizes), 2) for _ in range(number)):
            pieces.append(Piece(row[place : place + size], bool(scored)))
            place += size
        answers.append(tuple(pieces))
    return prompt, answers
