"""The picture is drawn from any history, without touching matplotlib's global state."""

from __future__ import annotations

import struct
import subprocess
import sys
from itertools import pairwise

import pytest
from made_history import history, noisy

from preftune.runs import curves
from preftune.runs.curves import draw_curves, smoothed
from preftune.runs.metrics_log import held_out_rows, training_rows

WITHOUT_REFERENCE = [{k: v for k, v in row.items() if "kl_div" not in k} for row in history()]
HISTORIES = {
    "usual": history(),
    "no training yet": history()[:1],
    "one step": history(steps=1, every=1, eval_every=0),
    "nothing at all": [],
    "without held-out": history(eval_every=0),
    "5,000 noisy rows": noisy(history(steps=5000, every=1, eval_every=100)),
    "chosen answers pushed far down": history(kl=-400.0),
    "without a reference": WITHOUT_REFERENCE,
    "nothing moves": history(kl=0.0, margin=0.0, accuracy=0.5),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_any_history_gives_a_picture_of_about_1600_by_1500(tmp_path, name):
    draw_curves(tmp_path / "c.png", HISTORIES[name], title="SmolLM2", subtitle="sigmoid, beta 0.1", health="Healthy.")
    blob = (tmp_path / "c.png").read_bytes()
    width, height = struct.unpack(">II", blob[16:24])
    assert blob[:4] == b"\x89PNG"
    assert 1500 < width < 1700
    assert 1400 < height < 1600


def test_the_same_history_gives_the_same_picture(tmp_path):
    for name in ("a.png", "b.png"):
        draw_curves(tmp_path / name, history(), title="m")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("text", ["$x_1$ \\frac", "模型 🙂", "a\x1b[31m\nb", "long " * 100, ""])
def test_no_title_can_break_the_picture(tmp_path, text):
    draw_curves(tmp_path / "c.png", history(), title=text, subtitle=text, health=text)
    assert (tmp_path / "c.png").stat().st_size > 10_000


def test_drawing_uses_no_global_state(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw_curves(tmp_path / "c.png", history(), title="m")
    assert dict(matplotlib.rcParams) == before
    code = (
        "import sys; from pathlib import Path; from preftune.runs.curves import draw_curves\n"
        "draw_curves(Path(sys.argv[1]), [], title='m'); sys.exit('matplotlib.pyplot' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "d.png")], check=False).returncode == 0


def test_smoothing_keeps_a_line_and_calms_noise():
    line = [float(i) for i in range(40)]
    assert smoothed(line, 5)[2:-2] == pytest.approx(line[2:-2])
    assert smoothed([0.0, 10.0] * 20, 10)[10:-10] == pytest.approx([5.0] * 20, abs=0.5)
    assert smoothed([3.0], 5) == [3.0]
    assert smoothed([], 5) == []


def test_labels_that_would_touch_are_moved_apart(tmp_path):
    from matplotlib.figure import Figure

    axis = Figure().subplots()
    axis.set_ylim(-100, 100)
    axis.set_yscale("symlog", linthresh=0.1)
    curves._label_ends(axis, [(1.0, "a", "red"), (1.0, "b", "red"), (1.01, "c", "red")])
    heights = sorted(text.get_position()[1] for text in axis.texts)
    assert all(b - a >= curves._LABEL_GAP - 1e-9 for a, b in pairwise(heights))


def test_without_a_reference_the_panels_say_so_and_show_log_probs_for_kl(tmp_path):
    from matplotlib.figure import Figure

    def titles(rows):
        axes = Figure().subplots(2)
        for axis, draw in zip(axes, (curves._rewards, curves._drift), strict=True):
            draw(axis, training_rows(rows), held_out_rows(rows))
        return [axis.get_title(loc="left") for axis in axes]

    assert "log-ratio to the reference" in titles(history())[0]
    assert titles(history())[1].startswith("kl_div")
    assert "loss's own" in titles(WITHOUT_REFERENCE)[0]
    assert titles(WITHOUT_REFERENCE)[1].startswith("Log-probs of the answers")
