"""Mending: a cleaned set out of checked data, and an account of every row that was dropped or changed."""

from __future__ import annotations

from .mend import Asked, Change, Mended, mend
from .write import refuse_ending, write_mended

__all__ = ["Asked", "Change", "Mended", "mend", "refuse_ending", "write_mended"]
