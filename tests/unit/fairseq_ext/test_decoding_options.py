"""Decoding as a task defines it is what fairseq-generate does, whichever option it changes."""

import random
from dataclasses import fields
from typing import Any

import pytest

from biomedgpt.decoding import (
    FAIRSEQ_OPTIONS,
    GenerationConfig,
    describe,
    fairseq_arguments,
    from_fairseq,
)
from biomedgpt.errors import ConfigError
from biomedgpt.tasks import TASKS

options = pytest.importorskip("fairseq.options", reason="needs the train extra")
pytest.importorskip("fairseq_ext.task", reason="needs the train extra")


def random_decoding(rng: random.Random) -> GenerationConfig:
    """Return options of decoding, any of them other than the default."""
    sampling = rng.random() < 0.5
    most = rng.randint(1, 300)
    return GenerationConfig(
        beam=rng.randint(1, 20),
        max_len=most,
        min_len=rng.randint(0, most),
        length_penalty=rng.choice([0.0, 0.7, 1.0, 2.5]),
        unnormalized=rng.random() < 0.5,
        temperature=rng.choice([0.3, 1.0, 2.0]),
        no_repeat_ngram_size=rng.randint(0, 5),
        sampling=sampling,
        top_k=rng.choice([0, 1, 50]) if sampling else 0,
        top_p=rng.choice([0.2, 1.0]) if sampling else 1.0,
        seed=rng.choice([0, 7]),
    )


@pytest.mark.parametrize(
    "wrong",
    [{"beam": 2.5}, {"beam": "3"}, {"sampling": 1}, {"temperature": float("nan")}, {"seed": True}],
)
def test_a_value_of_another_kind_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} must be"):
        GenerationConfig(**wrong)


def through_fairseq(config: GenerationConfig) -> GenerationConfig:
    """Return what fairseq-generate makes of the arguments that stand for ``config``."""
    parser = options.get_generation_parser(default_task="biomedgpt")
    words = ["data", "--path", "checkpoint.pt", "--task", "biomedgpt", *fairseq_arguments(config)]
    parsed = options.parse_args_and_arch(parser, words)
    # What fairseq checks before it generates.
    assert not parsed.sampling or parsed.nbest == parsed.beam
    return from_fairseq(vars(parsed))


def test_every_option_has_a_name_in_fairseq() -> None:
    assert set(FAIRSEQ_OPTIONS) == {field.name for field in fields(GenerationConfig)}


@pytest.mark.parametrize("seed", range(40))
def test_any_combination_survives_the_command_line(seed: int) -> None:
    config = random_decoding(random.Random(seed))
    assert through_fairseq(config) == config


@pytest.mark.parametrize("task", TASKS)
def test_the_decoding_of_each_task_survives_the_command_line(task: str) -> None:
    assert through_fairseq(TASKS[task].decoding) == TASKS[task].decoding


def test_what_was_lost_in_recipes_survives() -> None:
    config = GenerationConfig(min_len=6, temperature=2.0)
    assert through_fairseq(config) == config


def test_predictions_say_how_they_were_sampled() -> None:
    assert not {"top_k", "top_p", "seed"} & describe(GenerationConfig()).keys()
    sampled = describe(GenerationConfig(sampling=True, top_k=5, seed=3))
    assert (sampled["top_k"], sampled["top_p"], sampled["seed"]) == (5, 1.0, 3)


def test_a_combination_without_sense_is_refused() -> None:
    known = {option: getattr(GenerationConfig(), name) for name, option in FAIRSEQ_OPTIONS.items()}
    known["sampling_topk"] = 5
    with pytest.raises(ConfigError, match="need sampling"):
        from_fairseq(known)
