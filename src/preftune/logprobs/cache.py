"""Reference log-probs, kept on disk: a pass over the data that has been made is not made again.

Row ids hash the final token ids, so template, truncation and row order need no key of their own, and other data that
share pairs reuse their rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .shards import RaggedTable


class LogprobTable(RaggedTable):
    """Per-token log-probs (nats, fp32 or wider) by sequence id, of one model in one dtype and layout."""

    what = "reference cache"
    column = "logprobs"
    remedy = "set reference.cache_dir"

    def add(self, ids: Sequence[bytes], logprobs: Sequence[Tensor]) -> None:
        """Store rows; on disk they form one new shard."""
        values = [x.detach().cpu() for x in logprobs]
        if self._folder is not None:
            self._write_shard(ids, values)
        if values:
            self._keep(ids, [len(v) for v in values], torch.cat(values))

    def lookup(self, ids: Sequence[bytes]) -> list[Tensor]:
        """The rows of these ids, in their order.

        Raises:
            KeyError: an id is not in the table; ``missing`` is asked first, for all pairs of a run.
        """
        return [torch.from_numpy(self._row(i)) for i in ids]
