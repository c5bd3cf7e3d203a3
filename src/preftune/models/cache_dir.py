"""Where preftune keeps what it makes once and uses again: one folder per user."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """``$PREFTUNE_CACHE``, else ``$XDG_CACHE_HOME/preftune``, else ``~/.cache/preftune``; not created here."""
    if own := os.environ.get("PREFTUNE_CACHE"):
        return Path(own).expanduser().absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification says that a relative path is to be ignored.
    return (base if base.is_absolute() else Path.home() / ".cache") / "preftune"


def reference_cache() -> Path:
    """Where log-probs of references are kept unless ``reference.cache_dir`` names another folder."""
    return cache_root() / "reference"


def token_cache() -> Path:
    """Where tokens of large sets are kept."""
    return cache_root() / "tokens"


def verdict_cache() -> Path:
    """Where the replies of judges behind endpoints are kept."""
    return cache_root() / "verdicts"
