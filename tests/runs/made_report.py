"""A report of a check as plain JSON, with every section and with hostile text wherever text can be."""

from __future__ import annotations

from random import Random
from typing import Any

HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>\"'><svg onload=window.pwned=1>"

FILE = "/data/a & b <i>.jsonl"


def finding(code: str, name: str, severity: str, rows: list[int], **more: Any) -> dict[str, Any]:
    """One finding as ``Finding.to_json`` writes it."""
    return {
        "code": code,
        "name": name,
        "severity": severity,
        "count": len(rows),
        "share": len(rows) / 120,
        "rows": [{"file": FILE, "row": row} for row in rows],
        "message": f"{len(rows)} pairs: {name} {HOSTILE}",
        "effect": f"effect {HOSTILE}",
        "advice": f"advice {HOSTILE}",
        "examples": [{"rows": [{"file": FILE, "row": row}], "text": f"example {HOSTILE}\x1b[31m"} for row in rows[:2]],
        "details": {},
        **more,
    }


def made_statistics() -> dict[str, Any]:
    """Every key that the page reads."""
    rng = Random(0)
    scatter = [[rng.randint(1, 900), rng.randint(1, 900)] for _ in range(200)]
    share = {"share": 0.47, "low": 0.44, "high": 0.5, "votes": 200, "items": 100}
    quality = {"votes": 100, "compared": 90, "agreement": 0.9, "low": 0.8, "high": 0.95, "others": 0.97}
    return {
        "files": [FILE],
        "formats": {"trl": 120},
        "ignored_columns": {HOSTILE: 3},
        "unique_prompts": 110,
        "lengths": {
            "unit": "characters",
            "median": {"prompt": 20, "chosen": 100, "rejected": 90},
            "longest": {"prompt": 40, "chosen": 900, "rejected": 900},
            "histogram": {
                "edges": [1, 10, 100, 1000],
                "prompt": [1, 2, 0],
                "chosen": [0, 60, 60],
                "rejected": [0, 80, 40],
            },
            "scatter": scatter,
        },
        "length_bias": {"p_longer_chosen": 0.6, "low": 0.5, "high": 0.7, "clearly_longer": {"p_longer_chosen": 0.66}},
        "style": {
            "accuracy": 0.6,
            "standard_error": 0.02,
            "length_only": 0.55,
            "weights": {"words": 1.0, "lists": -0.5},
        },
        "categories": {
            "field": "category",
            "counts": {HOSTILE: 60, "math": 60},
            "target": {HOSTILE: 0.3, "math": 0.3, "qa": 0.4},
            "total_variation": 0.4,
        },
        "labels": {"desirable": 3, "undesirable": 4},
        "sources": {HOSTILE: {"pairs": 120, "p_longer_chosen": 0.6}},
        "agreement": {
            "items": 100,
            "votes": 200,
            "annotators": 2,
            "items_with_several_votes": 100,
            "choices": {"first": 90, "tie": 20, "second": 90},
            "raw": 0.9,
            "unanimous": 0.9,
            "fleiss": 0.8,
            "alpha_nominal": {"value": 0.8, "low": 0.7, "high": 0.9},
            "alpha_ordinal": None,
            "cohen": [{"annotators": [HOSTILE, "ben"], "items": 100, "raw": 0.9, "kappa": None}],
            "quality": [
                {"annotator": HOSTILE, "choices": [0.5, 0.1, 0.4], "is_below": True, **quality},
                {
                    "annotator": "ben",
                    "choices": [0.5, 0.1, 0.4],
                    "is_below": False,
                    **quality,
                    "compared": 0,
                    "agreement": None,
                },
            ],
            "listed_first": share,
            "shown_first": None,
            "judged_in_both_orders": 10,
            "flipped": 1,
        },
    }


def made_report() -> dict[str, Any]:
    """An unfit report of 120 rows."""
    diff = [["same", "It is"], ["chosen", HOSTILE], ["rejected", "<b>blue</b>"]]
    near = finding("P004", "near_identical", "warning", [5])
    near["examples"] = [{"rows": near["rows"], "text": "", "diff": diff}]
    return {
        "verdict": "unfit",
        "rows_read": 120,
        "pairs": 118,
        "findings": [
            finding("P002", "empty", "error", [1, 2]),
            near,
            finding("P013", "length_bias", "warning", [], count=0),
            finding("P030", "duplicate_prompt", "info", list(range(10, 70))),
        ],
        "not_run": {"pii": f"only with --pii {HOSTILE}"},
        "statistics": made_statistics(),
    }


def made_rows() -> list[dict[str, Any]]:
    """120 pairs for the table; the texts of row 3 are hostile."""
    rng = Random(1)
    return [
        {
            "file": FILE,
            "row": row,
            "category": rng.choice(["math", "qa", None]),
            "flags": [code for code in ("P002", "P004") if rng.random() < 0.2],
            "lengths": {"chosen": rng.randint(1, 2000), "rejected": rng.randint(1, 2000) if row % 10 else None},
            "prompt": HOSTILE if row == 3 else f"question {row}",
            "answers": {
                "chosen": f"The sky is blue today. {HOSTILE if row == 3 else row}",
                "rejected": f"The sky is green today. {row}",
            },
        }
        for row in range(1, 121)
    ]
