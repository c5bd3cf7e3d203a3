"""P028: personal data and secrets, by simple patterns; off unless asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .findings import Severity
from .parts import Hit, RowCheck, Tally
from .seen import Seen

_PATTERNS = {
    "e-mail address": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[A-Za-z]{2,24}\b"),
    "phone number": re.compile(
        r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)|\d{2,4})[ .-]\d{3,4}[ .-]\d{3,4}(?![\w-])"
    ),
    "IP address": re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.])"),
    "key or token": re.compile(
        r"\b(?:sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|hf_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}"
        r"|xox[abprs]-[A-Za-z0-9-]{10,})|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    ),
    "card number": re.compile(r"(?<![\w-])(?:\d{4}[ -]){3}\d{4}(?![\w-])"),
}
_PLACEHOLDERS = ("example.com", "example.org", "127.0.0.1", "0.0.0.0", "192.168.", "555-")  # noqa: S104


def pii(seen: Seen) -> Iterator[Hit]:
    """The first address, number or key in each text; well-known placeholders do not count."""
    for side, text in (("prompt", seen.prompt), *((answer.side, answer.text) for answer in seen.answers)):
        for what, pattern in _PATTERNS.items():
            found = next((m for m in pattern.finditer(text) if not any(p in m[0] for p in _PLACEHOLDERS)), None)
            if found:
                yield Hit(side, what, found.start())
                break


def _conclude(tally: Tally) -> tuple[Severity, str]:
    kinds: dict[str, int] = {}
    for (_, what), count in tally.kinds.items():
        kinds[what] = kinds.get(what, 0) + count
    says = ", ".join(f"{what} {count:,}" for what, count in sorted(kinds.items()))
    return "info", f"{tally.found} with what may be personal data or a secret ({says})"


def pii_check() -> RowCheck:
    """P028."""
    return RowCheck("pii", pii, _conclude)
