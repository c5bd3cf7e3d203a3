"""Train the same model on the same pairs with preftune and with TRL, and compare their numbers step by step.

What is made equal, what is compared and what still differs is in ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from sides import Mode, Row, Settings, fitting_pairs, make_adapter, preftune_config, trl_trainer, write_pairs
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from trl import __version__ as trl_version

from preftune.data.embedded import embedded_preferences
from preftune.models.embedded import embedded_model_folder
from preftune.recipe import train
from preftune.tokens.encode import EncodedGroup

MODES: dict[Mode, str] = {
    "full": "all parameters",
    "lora": "a fresh LoRA adapter on all linear layers",
    "adapter": "going on from a LoRA adapter that is not zero, which is then the reference",
}
TOLERANCE = 1e-3
COLUMNS = (
    "loss",
    "grad_norm",
    "learning_rate",
    "logps/chosen",
    "logps/rejected",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
)
PAIRS = "pairs with other tokens"


def main() -> int:
    """Compare; exit code 1 where anything is further apart than ``TOLERANCE``."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    with tempfile.TemporaryDirectory(prefix="preftune-parity-") as work:
        results = list(_compare_all(arguments, Path(work)))
    print(f"\nlargest difference over all steps\n\n{_summary(results)}")
    failed = [name for name, worst in results if not passes(worst)]
    print(f"\nFAIL: {', '.join(failed)}" if failed else f"\nPASS: everything within {TOLERANCE:g}")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=None, help="preference pairs, as data.train names them (the packaged ones)")
    parser.add_argument("--model", default=None, help="model folder (the embedded demo model)")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--pairs-per-step", type=int, default=4)
    parser.add_argument("--objectives", nargs="+", default=["sigmoid", "hinge", "ipo"])
    for mode, meaning in MODES.items():
        parser.add_argument(f"--{mode}", dest="modes", action="append_const", const=mode, help=f"train {meaning}")
    parser.add_argument("--learning-rate", type=float, default=None, help="1e-6, or 2e-5 for adapters")
    parser.add_argument("--schedule", choices=["constant", "linear", "cosine"], default="constant")
    parser.add_argument("--warmup", type=int, default=0, help="updates")
    parser.add_argument("--max-length", type=int, default=512, help="tokens; pairs that do not fit are left out")
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0, help="of the adapters' first values")
    parser.add_argument("--threads", type=int, default=None, help="of torch")
    parser.add_argument("--ours", nargs="*", default=[], metavar="KEY=VALUE", help="more of preftune's config")
    return parser.parse_args()


def _compare_all(arguments: argparse.Namespace, work: Path) -> Iterator[tuple[str, dict[str, float]]]:
    model = Path(arguments.model) if arguments.model else embedded_model_folder()
    tokenizer = AutoTokenizer.from_pretrained(model)
    pairs, groups = fitting_pairs(
        arguments.data or str(embedded_preferences()),
        tokenizer,
        arguments.steps * arguments.pairs_per_step,
        arguments.max_length,
    )
    write_pairs(pairs, work / "pairs.jsonl")
    tokens = [_token_ids(group) for group in groups]
    source = pairs[0].origin.file
    print(f"preftune and TRL {trl_version}, torch {torch.__version__}, fp32; {len(pairs)} pairs of {source}")
    for mode in arguments.modes or ["full"]:
        settings = Settings(
            model=model,
            pairs=work / "pairs.jsonl",
            steps=arguments.steps,
            pairs_per_step=arguments.pairs_per_step,
            learning_rate=arguments.learning_rate or (1e-6 if mode == "full" else 2e-5),
            schedule=arguments.schedule,
            warmup=arguments.warmup,
            max_length=arguments.max_length,
            beta=arguments.beta,
            seed=arguments.seed,
            ours=tuple(arguments.ours),
        )
        adapter = None if mode == "full" else make_adapter(settings, work / mode, zero=mode == "lora")
        for objective in arguments.objectives:
            yield f"{objective}, {mode}", _compare(settings, mode, adapter, objective, tokens, work)


def _compare(
    settings: Settings, mode: Mode, adapter: Path | None, objective: str, tokens: list[Row], work: Path
) -> dict[str, float]:
    """Largest difference of each column; the tables are printed."""
    print(f"\n{objective}, {MODES[mode]}; learning rate {settings.learning_rate:g} {settings.schedule}", flush=True)
    theirs, differing = trl_rows(settings, objective, adapter, tokens, work / "trl")
    ours = preftune_rows(settings, objective, mode, adapter, work / "ours" / mode / objective)
    apart = differences(ours, theirs, settings.beta)
    _show(ours, theirs, apart)
    return {PAIRS: float(differing)} | {name: max(step[name] for step in apart) for name in COLUMNS}


def trl_rows(
    settings: Settings, objective: str, adapter: Path | None, tokens: Sequence[Row], folder: Path
) -> tuple[list[Row], int]:
    """TRL's training rows, one per step, and how many pairs it has encoded in another way than preftune."""
    options = {"optim": "adamw_torch", "gradient_checkpointing": False}
    trainer = trl_trainer(settings, objective, adapter, folder, options)
    differing = _token_differences(tokens, trainer.train_dataset, trainer.processing_class)
    trainer.train()
    return [row for row in trainer.state.log_history if "loss" in row], differing


def preftune_rows(settings: Settings, objective: str, mode: Mode, adapter: Path | None, folder: Path) -> list[Row]:
    """Preftune's training rows, one per step."""
    history = train(preftune_config(settings, objective, mode, adapter, folder)).history
    return [row for row in history if "loss" in row and row["step"] > 0]


def _token_ids(group: EncodedGroup) -> Row:
    """A pair's tokens under TRL's names."""
    chosen, rejected = group.completions
    return {
        "prompt_ids": group.prompt.tolist(),
        "chosen_ids": chosen.ids.tolist(),
        "rejected_ids": rejected.ids.tolist(),
    }


def _token_differences(ours: Sequence[Row], theirs: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> int:
    """Number of pairs whose token ids differ; the first three are printed."""
    differing = [
        (number, name)
        for number, (mine, their) in enumerate(zip(ours, theirs, strict=True), start=1)
        for name in mine
        if list(mine[name]) != list(their[name])
    ]
    for number, name in differing[:3]:
        for who, rows in (("preftune", ours), ("TRL", theirs)):
            print(f"  pair {number}, {name}, {who}: {tokenizer.decode(rows[number - 1][name])!r}")
    pairs = len({number for number, _ in differing})
    count = sum(len(row[name]) for row in ours for name in row)
    print(f"token ids: {pairs} of {len(ours)} pairs differ ({count} tokens)", flush=True)
    return pairs


def differences(ours: Sequence[Row], theirs: Sequence[Row], beta: float) -> list[dict[str, float]]:
    """For each step and column, the difference as a share of TRL's value.

    A reward is compared with the largest one of the run, because rewards start at zero, but never with less than a
    thousandth of the log-probs that it is a difference of: below that it is fp32 rounding.
    """
    if [row["step"] for row in ours] != [row["step"] for row in theirs]:
        sys.exit("the two tools have not logged the same steps")
    rounding = 1e-3 * beta * max(abs(row["logps/chosen"]) for row in theirs)
    largest = {
        name: max(rounding, *(abs(row[name]) for row in theirs)) for name in COLUMNS if name.startswith("rewards/")
    }
    return [
        {name: relative(mine[name], their[name], largest.get(name, abs(their[name]))) for name in COLUMNS}
        for mine, their in zip(ours, theirs, strict=True)
    ]


def relative(mine: float, their: float, scale: float) -> float:
    """Difference as a share of ``scale``; 0 where both are equal, infinite where either is not a number."""
    if mine == their:
        return 0.0
    share = abs(mine - their) / scale if scale else math.inf
    return share if math.isfinite(share) else math.inf


def _show(ours: Sequence[Row], theirs: Sequence[Row], apart: Sequence[Mapping[str, float]]) -> None:
    print(f"{'step':>4}  {'column':16} {'preftune':>16} {'TRL':>16} {'difference':>11}")
    for mine, their, difference in zip(ours, theirs, apart, strict=True):
        for name, share in difference.items():
            print(f"{mine['step']:>4}  {name:16} {mine[name]:16.9g} {their[name]:16.9g} {share:11.1e}")


def passes(worst: Mapping[str, float]) -> bool:
    """Whether every pair has equal token ids and every column is within the tolerance."""
    return worst[PAIRS] == 0 and all(worst[name] <= TOLERANCE for name in COLUMNS)


def _summary(results: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """A Markdown table: one line per comparison."""
    lines = [f"| run | {' | '.join(COLUMNS)} | {PAIRS} | |", "|---" * (len(COLUMNS) + 3) + "|"]
    for run, worst in results:
        cells = " | ".join(f"{worst[name]:.1e}" for name in COLUMNS)
        lines.append(f"| {run} | {cells} | {worst[PAIRS]:.0f} | {'PASS' if passes(worst) else 'FAIL'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
