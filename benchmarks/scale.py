"""How much memory and time a run's start takes: pairs through reading, splitting, tokens, the reference's cache, order.

The first start encodes them; the second one finds their tokens in the cache.

    python benchmarks/scale.py --pairs 50000 1000000

The pairs are made up (about 50 tokens of a tiny tokenizer each) and the cached log-probs too: no model is run. Each
size runs in a process of its own, which forks another to write the cache; writing files is not measured.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from preftune.config import load_config
from preftune.logprobs.cache import LogprobTable
from preftune.objectives import objective_schemas
from preftune.recipe.data import read_data
from preftune.recipe.objective import build_objective
from preftune.runs.display import QuietReporter
from preftune.tokens.encode import EncodedGroup
from preftune.tokens.sampler import Sampler

WORDS = ["sky", "sea", "blue", "green", "the", "is", "and", "what", "two", "plus", "four", "stone", "river", "light"]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHARD = 512  # pairs whose log-probs a run writes at once


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE that knows the words of the pairs."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 9, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=special[0], eos_token=special[2])
    made.chat_template = CHATML
    return made


def write_pairs(path: Path, count: int) -> None:
    """Pairs of which no two are equal."""
    random = Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            prompt, chosen, rejected = (" ".join(random.choices(WORDS, k=k)) for k in (12, 20, 20))
            row = {"prompt": f"{number}: {prompt}?", "chosen": f"{chosen}.", "rejected": f"{rejected}."}
            file.write(json.dumps(row) + "\n")


def fill_cache(folder: Path, groups: Sequence[EncodedGroup]) -> None:
    """What an earlier run would have left."""
    table = LogprobTable(folder, {})
    for start in range(0, len(groups), SHARD):
        completions = [
            (key, completion.num_scored)
            for group in groups[start : start + SHARD]
            for key, completion in zip(group.sequence_ids, group.completions, strict=True)
        ]
        table.add([key for key, _ in completions], [torch.full((count,), -1.5) for _, count in completions])


def started(data: Path, folder: Path, checks: str, queue: multiprocessing.Queue[dict[str, float]]) -> None:
    """All that happens before the first step, but for the model."""
    seconds: dict[str, float] = {}

    @contextmanager
    def clock(name: str) -> Iterator[None]:
        before = time.process_time()
        yield
        seconds[name] = time.process_time() - before

    torch.set_num_threads(1)
    os.environ["PREFTUNE_CACHE"] = str(folder)
    empty = peak_bytes()
    values = {
        "model": {"path": "unused", "device": "cpu"},
        "data": {"train": str(data), "eval_fraction": 0.01, "max_length": 512, "checks": checks},
        "objective": {"name": "sigmoid", "beta": 0.1},
        "output_dir": str(folder / "out"),
    }
    config = load_config(values, objectives=objective_schemas())
    with clock("data"):
        made = read_data(config, build_objective(config), tiny_tokenizer(), QuietReporter())
    groups = [*made.train, *made.held_out]
    cache = folder / "reference"
    if not cache.exists():
        writer = multiprocessing.get_context("fork").Process(target=fill_cache, args=(cache, groups))
        writer.start()
        writer.join()
    with clock("cache"):
        table = LogprobTable(cache, {})
        missing = [group for group in groups if table.missing(group.sequence_ids)]
    with clock("order"):
        sampler = Sampler(len(made.train), 32)
        values_of_step = table.lookup([key for number in sampler.step(7) for key in made.train[number].sequence_ids])
    seconds |= {
        "missing": len(missing),
        "looked_up": len(values_of_step),
        "tokens_per_pair": made.encoding["train"].answer_tokens / len(made.train),
    }
    queue.put({**seconds, "empty_bytes": empty, "peak_bytes": peak_bytes()})


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def alone(*arguments: object) -> dict[str, float]:
    """``started`` in a new process."""
    processes = multiprocessing.get_context("spawn")
    queue = processes.Queue()
    process = processes.Process(target=started, args=(*arguments, queue))
    process.start()
    took: dict[str, float] = queue.get()
    process.join()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--checks", default="off", choices=["off", "warn"], help="data.checks (off)")
    options = parser.parse_args()
    print("| pairs | tokens a pair | start | data | warm cache | order | peak memory | a pair |\n" + "|---" * 8 + "|")
    for count in options.pairs:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "pairs.jsonl"
            write_pairs(data, count)
            for start in ("first", "second"):
                took = alone(data, Path(folder), options.checks)
                assert took["missing"] == 0, "a warm cache lacks nothing"
                steps = " | ".join(f"{took[name]:.1f} s" for name in ("data", "cache", "order"))
                peak, own = took["peak_bytes"] / 2**20, (took["peak_bytes"] - took["empty_bytes"]) / count
                amount = f"{count:,} | {took['tokens_per_pair']:.0f}"
                print(f"| {amount} | {start} | {steps} | {peak:,.0f} MB | {own:,.0f} B |", flush=True)


if __name__ == "__main__":
    main()
