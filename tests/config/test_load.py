"""Good configs: from YAML, from Python, with overrides, and back to YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from preftune.config import Config, ObjectiveConfig, load_config
from preftune.config.schema import Lora
from preftune.errors import ConfigError

SMALLEST = {"model": {"path": "demo"}, "data": {"train": "demo"}}
Objectives = dict[str, type[BaseModel]]


def test_defaults_are_those_of_the_contract(objectives: Objectives) -> None:
    config = load_config(SMALLEST, objectives=objectives)
    assert config.model.lora == Lora(rank=16, alpha=32, dropout=0.0, target="all-linear")
    assert config.objective == ObjectiveConfig(name="sigmoid", parameters={"beta": 0.1, "label_smoothing": 0.0})
    assert (config.train.learning_rate, config.train.pairs_per_step, config.train.epochs) == ("auto", 32, 1.0)
    assert (config.data.max_length, config.data.eval_fraction, config.output_dir) == (2048, 0.05, "output")


def test_a_config_cannot_be_changed(objectives: Objectives) -> None:
    config = load_config(SMALLEST, objectives=objectives)
    with pytest.raises(ValidationError, match="frozen"):
        config.train.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("text", ["5e-7", '"5e-7"', "'5e-7'", "0.0000005", "5.0E-7", "+5e-7", ".5e-6"])
def test_a_learning_rate_is_a_number_however_it_is_written(in_folder: Path, objectives: Objectives, text: str) -> None:
    Path("a.yaml").write_text(f"model: {{path: demo}}\ndata: {{train: demo}}\ntrain: {{learning_rate: {text}}}\n")
    assert load_config("a.yaml", objectives=objectives).train.learning_rate == 5e-7
    assert load_config(SMALLEST, [f"train.learning_rate={text}"], objectives=objectives).train.learning_rate == 5e-7


def test_quoted_numbers_are_read_in_sections_and_objectives(objectives: Objectives) -> None:
    given_values = {**SMALLEST, "train": {"seed": "7", "warmup": "100"}, "objective": {"name": "ipo", "beta": "1e-1"}}
    config = load_config(given_values, objectives=objectives)
    assert (config.train.seed, config.train.warmup) == (7, 100.0)
    assert config.objective.parameters == {"beta": 0.1, "average": True}


def test_yaml_words_that_are_no_yaml_1_2_booleans_stay_text(in_folder: Path, objectives: Objectives) -> None:
    Path("a.yaml").write_text("model: {path: no}\ndata: {train: on, eval: 1_0}\noutput_dir: 2024-01-01\n")
    config = load_config("a.yaml", objectives=objectives)
    assert (config.model.path, config.data.train, config.data.eval) == ("no", "on", "1_0")
    assert config.output_dir == "2024-01-01"


def test_a_byte_order_mark_and_aliases_are_fine(in_folder: Path, objectives: Objectives) -> None:
    Path("a.yaml").write_text("model: {path: demo}\ndata: {train: &t [a, b], eval: *t}\n", encoding="utf-8-sig")
    config = load_config("a.yaml", objectives=objectives)
    assert config.data.train == config.data.eval == ("a", "b")


def test_overrides_replace_open_and_close_sections(in_folder: Path, objectives: Objectives) -> None:
    Path("a.yaml").write_text("model: {path: demo, lora: null}\ndata: {train: demo}\ntrain: {seed: high}\n")
    overrides = ["train.seed=3", "model.lora.rank=8", "data.train=[a, b]", "objective.name=ipo", "eval.every=5"]
    config = load_config("a.yaml", overrides, objectives=objectives)
    assert config.model.lora == Lora(rank=8)
    assert (config.train.seed, config.data.train, config.eval.every) == (3, ("a", "b"), 5)
    assert config.objective.name == "ipo"
    closed = load_config(SMALLEST, ["model.lora=null", "output_dir=a=b"], objectives=objectives)
    assert (closed.model.lora, closed.output_dir) == (None, "a=b")


def test_python_values_count_as_their_yaml_forms(objectives: Objectives) -> None:
    given_values = {"model": {"path": Path("m")}, "data": {"train": (Path("a"), "b")}}
    config = load_config(given_values, objectives=objectives)
    assert (config.model.path, config.data.train) == ("m", ("a", "b"))
    assert given_values == {"model": {"path": Path("m")}, "data": {"train": (Path("a"), "b")}}
    with pytest.raises(ConfigError, match=r"^config: 'objective.beta' should be a number > 0 \(got 'inf'\)$"):
        load_config({**SMALLEST, "objective": {"beta": float("inf")}}, objectives=objectives)
    with pytest.raises(ConfigError, match=r"^config: 'model.path' is missing\nconfig: 'data.train' is missing$"):
        load_config({}, objectives=objectives)


def test_an_objective_is_flat_outside_and_in_two_parts_inside() -> None:
    flat = {"name": "ipo", "beta": 0.2}
    assert ObjectiveConfig.model_validate(flat) == ObjectiveConfig(name="ipo", parameters={"beta": 0.2})
    assert ObjectiveConfig.model_validate(flat).model_dump() == flat


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
words = words.filter(lambda word: not word.startswith("~"))  # ~name is a user's home, which must exist
look_alikes = ["1e-5", "null", "no", "0x1f", "~", "2024-01-01", "a: b", "- a", "1_0", "\u2028", "=", "!x", "<<"]


@given(
    path=words | st.sampled_from(look_alikes),
    train=st.lists(words, min_size=1, max_size=3) | words,
    rate=st.just("auto") | st.floats(min_value=1e-300, max_value=1),
    rank=st.integers(1, 10**12),
    beta=st.floats(min_value=5e-324, max_value=1e308),
)
def test_a_config_written_as_yaml_loads_back_equal(
    tmp_path_factory, objectives, path: str, train: object, rate: object, rank: int, beta: float
) -> None:
    values = {
        "model": {"path": path, "lora": {"rank": rank}},
        "data": {"train": train},
        "objective": {"name": "ipo", "beta": beta},
        "train": {"learning_rate": rate},
    }
    config = load_config(values, objectives=objectives)
    file = tmp_path_factory.getbasetemp() / "round.yaml"
    file.write_text(config.to_yaml(), encoding="utf-8")
    assert load_config(file, objectives=objectives) == config


shards = "model path data train objective name beta lora : - { } [ ] , &a *a !! !!int ! % | > ' \" \\ # ? --- ... @ << "
numbers = "1e-5 0x -1 null ~ true .inf"
breaks = [": ", "- ", " ", "\n", "\n  ", "\t", "\r", "\x85", "\ufeff", "\u2028", "\U0001f600", "é"]
pieces = st.sampled_from(f"{shards}{numbers}".split() + breaks)
texts = st.lists(pieces, max_size=40).map("".join) | st.text(max_size=60)


@given(text=texts)
@example("model: {path: !!int ''}")
@example("%YAML 99.1\n---\na: 1")
@example('a: "\\xd8"')
@example('a: "\\ud800"')
@example("? ")
@example("!!map {a: 1}")
@example("!!set {a}")
@example("%TAG ! tag:%ff,2000:\n---\n!x a")
@settings(max_examples=300)
def test_no_text_gives_anything_but_a_config_or_a_config_error(tmp_path_factory, objectives, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    for source, overrides in [(file, ()), (SMALLEST, (text,)), (SMALLEST, (f"train.seed={text}",))]:
        assert isinstance(_config_or_error(source, overrides, objectives), Config | str)


def _config_or_error(source, overrides, objectives) -> Config | str:
    try:
        return load_config(source, overrides, objectives=objectives)
    except ConfigError as error:
        return str(error).encode().decode()  # the message can be printed
