"""Numbers in few characters, and texts that cannot act on the terminal."""

from __future__ import annotations

import pytest

from preftune.runs.text import duration, short, sparkline, trend, visible


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.6512, "0.651"), (-12.345, "-12.3"), (4.2e-6, "4.20e-06"), (0.0, "0.000"), (123.4, "123"), (60, "60"),
        (1.25e7, "1.25e+07"), (-0.0673, "-0.067"), (9.999, "10.00"),
    ],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert short(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.4, "59s"), (59.6, "1m00s"), (130, "2m10s"), (3840, "1h04m"), (180_000, "2d02h"), (-3, "0s")],
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_control_and_direction_characters_are_spelled_out():
    assert visible("a\x1b[31m\r\x07\u202eb\ud800\n[bold]中") == "a\\x1b[31m\\r\\x07\\u202eb\\ud800\n[bold]中"


def test_sparklines_show_the_whole_series():
    assert sparkline([1.0, 2.0, 3.0], 9) == "▁▅█"
    assert sparkline([float(i) for i in range(100)], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([2.0, 2.0], 9) == "▁▁"
    assert sparkline([], 9) == ""


def test_trends_compare_the_last_quarter_with_the_one_before():
    assert trend([1.0]) == " "
    assert trend([1.0, 2.0]) == "↑"
    assert trend([3.0, 2.0, 2.0, 1.0]) == "↓"
    assert trend([0.0, 10.0, 5.0, 5.0]) == "→"
