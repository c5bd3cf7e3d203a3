"""Pairs per second and peak memory of ``preftune check`` on many pairs, made by repeating and perturbing given ones.

    python benchmarks/check_scale.py --pairs 100000 1000000 -- DATA ...

Every repetition changes one word of prompt and answers, so that hardly any texts are equal: the worst case for memory.
Each size runs in a process of its own; writing the file is not measured.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from random import Random

from preftune.data import PreferencePair, Turns, load_pairs
from preftune.data.checks import CheckOptions, check
from preftune.data.embedded import embedded_preferences


def perturbed(turns: Turns, random: Random) -> list[dict[str, str]]:
    """The turns with one word of the last one replaced."""
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    words = messages[-1]["content"].split(" ")
    words[random.randrange(len(words))] = f"w{random.getrandbits(32):x}"
    messages[-1]["content"] = " ".join(words)
    return messages


def write_pairs(path: Path, pairs: Sequence[PreferencePair], count: int) -> None:
    """``count`` rows of messages."""
    random = Random(0)
    with path.open("w", encoding="utf-8") as file:
        for pair in islice(cycle(pairs), count):
            sides = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
            row = {side: perturbed(turns, random) for side, turns in sides.items()}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def measured(path: str, slow: bool, queue: multiprocessing.Queue[dict[str, float]]) -> None:
    """Run the check once, and put what it took."""
    started, started_cpu = time.perf_counter(), time.process_time()
    report = check(path, CheckOptions(slow=slow))
    unit = 1 if sys.platform == "darwin" else 1024
    queue.put(
        {
            "pairs": report.pairs,
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - started_cpu,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", help="pairs to repeat (default: the embedded ones)")
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--slow", action="store_true", help="also the checks that --quick leaves out")
    options = parser.parse_args()
    pairs = load_pairs(options.data or embedded_preferences(), max_bad_rows=10**9).pairs
    processes = multiprocessing.get_context("spawn")
    print("| pairs | file | seconds | CPU seconds | pairs per CPU second | peak memory |\n|---|---|---|---|---|---|")
    for count in options.pairs:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pairs.jsonl"
            write_pairs(path, pairs, count)
            queue = processes.Queue()
            process = processes.Process(target=measured, args=(str(path), options.slow, queue))
            process.start()
            took = queue.get()
            process.join()
            size = path.stat().st_size
        print(
            f"| {count:,} | {size / 2**20:,.0f} MB | {took['seconds']:.1f} | {took['cpu_seconds']:.1f} "
            f"| {took['pairs'] / took['cpu_seconds']:,.0f} | {took['peak_bytes'] / 2**20:,.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
