"""Pretraining through fairseq: order, resuming, several processes, and what stops it."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
import torch

pytest.importorskip("fairseq", reason="needs the train extra")

from checkout import ROOT
from pretraining_data import write_corpora
from shell import run_script, running

from biomedgpt.checkpoints.checkpoint import load_checkpoint
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.pretraining.grounding import find_boxes
from biomedgpt.vocabulary import Vocabulary

RECIPE = ROOT / "run_scripts" / "pretraining" / "pretrain.sh"
GROUNDING = ROOT / "run_scripts" / "pretraining" / "evaluate_grounding.sh"
SIZE = 64


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A blank in the path, as users have them.
    return write_corpora(tmp_path_factory.mktemp("phantom corpora") / "out", size=SIZE)


def run(*options: object, script: Path = RECIPE) -> subprocess.CompletedProcess[str]:
    return run_script(script, *options)


def options(corpora: Path, folder: Path, *more: object) -> list[object]:
    return [
        *("--config", corpora / "pretraining.toml", "--save-dir", folder, "--size", "nano"),
        *("--cpu", "--batch-size", 8, "--num-workers", 0, "--log-interval", 1, *more),
    ]


def losses(folder: Path) -> dict[int, dict[str, float]]:
    """Losses by update, of all streams; of a repeated update the last ones."""
    found = {}
    for line in (folder / "train.log").read_text().splitlines():
        if " | train_inner | {" in line:
            stats = json.loads(line[line.index("{") :])
            found[int(stats["num_updates"])] = {
                name: float(value)
                for name, value in stats.items()
                if "loss" in name and value is not None
            }
    return found


def test_killed_run_goes_on_with_the_same_losses(corpora: Path, tmp_path: Path) -> None:
    more = ("--max-update", 7, "--save-interval-updates", 3, "--encoder-drop-path-rate", 0.1)
    done = run(*options(corpora, tmp_path / "whole", *more))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^matching +\d+ rows, +\d+ an epoch", done.stdout, re.MULTILINE)
    expected = losses(tmp_path / "whole")
    assert sorted(expected) == list(range(1, 8))
    killed = options(corpora, tmp_path / "killed", *more)
    with running(RECIPE, *killed, until="update 5/7") as (process, _, _):
        process.send_signal(signal.SIGKILL)
    again = run(*options(corpora, tmp_path / "killed", *more))
    assert again.returncode == 0, again.stderr
    assert "update 3/7" not in again.stdout
    assert "update 4/7" in again.stdout
    found = losses(tmp_path / "killed")
    for update, values in expected.items():
        assert found[update] == pytest.approx(values, abs=1e-4)
    # Another mixture cannot be continued.
    other = corpora / "other.toml"
    text = (corpora / "pretraining.toml").read_text()
    other.write_text(text.replace("seed = 1", "seed = 2"))
    refused = run(*options(corpora, tmp_path / "killed", "--config", other, *more))
    assert refused.returncode == 1
    assert "holds a run on other data, weights or seed" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_two_processes_and_accumulation_give_the_same_weights(
    corpora: Path, tmp_path: Path
) -> None:
    # Statistics of batch norm are those of a batch on a device, so they must not matter.
    more = ("--max-update", 3, "--batch-norm", "frozen", "--disable-validation", "--dropout", 0)
    more += ("--encoder-drop-path-rate", 0, "--decoder-drop-path-rate", 0)
    for name, how in (("one", ("--update-freq", 2)), ("two", ("--devices", 2))):
        done = run(*options(corpora, tmp_path / name, *more, *how))
        assert done.returncode == 0, done.stderr
    one, two = (losses(tmp_path / name) for name in ("one", "two"))
    for update in (1, 2, 3):
        assert one[update] == pytest.approx(two[update], abs=2e-4)
    first, second = (
        torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=False)["model"]
        for name in ("one", "two")
    )
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=0, atol=2e-5, msg=key)


def test_pretraining_continues_from_weights_with_a_fresh_optimizer(
    corpora: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    done = run(*options(corpora, first, "--max-update", 2, "--disable-validation"))
    assert done.returncode == 0, done.stderr
    # Longer positions, and a learning rate that changes nothing: what is saved is what was read.
    done = run(
        *options(corpora, second, "--checkpoint", first / "checkpoint_last.pt"),
        *("--vocabulary", first / "vocabulary", "--max-positions", 1100, "--lr", 1e-20),
        *("--weight-decay", 0, "--max-update", 1, "--disable-validation"),
    )
    assert done.returncode == 0, done.stderr
    before, after = (
        torch.load(folder / "checkpoint_last.pt", weights_only=False) for folder in (first, second)
    )
    updates = [state["optimizer_history"][-1]["num_updates"] for state in (before, after)]
    assert updates == [2, 1]
    longer = 0
    for key, value in after["model"].items():
        given = before["model"][key]
        if "running_" in key or "num_batches" in key:
            continue
        longer += value.shape != given.shape
        torch.testing.assert_close(value[tuple(map(slice, given.shape))], given, rtol=0, atol=1e-7)
    assert longer > 0


def test_a_loss_that_is_no_number_names_streams_and_rows(corpora: Path, tmp_path: Path) -> None:
    more = ("--max-update", 5, "--save-interval-updates", 1, "--disable-validation")
    done = run(*options(corpora, tmp_path, *more, "--lr", 1e30, "--warmup-updates", 0))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.search(r"error: the loss is (nan|inf), in \w+ \(.*train\.h5: (row|image) \d+", line)
    assert "the last checkpoint is as it was" in line
    left = sorted(path.name for path in tmp_path.glob("*.pt*"))
    assert not any("crash" in name or name.endswith("tmp") for name in left)
    for path in tmp_path.glob("*.pt"):
        torch.load(path, weights_only=False)


def test_rows_that_cannot_be_used_stop_it_with_file_and_row(corpora: Path, tmp_path: Path) -> None:
    config = tmp_path / "mim.toml"
    config.write_text(f'image_size = 64\n[streams.mim]\ndata = "{tmp_path / "images"}"\n')
    (tmp_path / "images").mkdir()
    for path in (corpora / "images").iterdir():
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    codes = tmp_path / "images" / "train.codes.h5"
    split = PreparedDataset(tmp_path / "images").split("train")
    assert split.num_images == 30
    content = codes.read_bytes()
    codes.write_bytes(content[: len(content) // 2])
    vocabulary = ("--vocabulary", corpora / "vocabulary")
    done = run(*options(corpora, tmp_path / "run", "--config", config, *vocabulary))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "train.codes.h5" in line
    assert "biomedgpt vqgan encode" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--max-tokens", 100], "use --batch-size"),
        (["--bacth-size", 3], "unknown option --bacth-size; did you mean --batch-size?"),
        (["--task", "translation"], "--task is set by the recipe"),
        (["--checkpoint", "none.pt"], "no checkpoint at none.pt"),
        (["--config", "none.toml"], "none.toml: cannot be read"),
        (["--restore-file", "none.pt"], "--restore-file none.pt: no such file"),
        (["--fp16"], "half precision needs a GPU"),
    ],
)
def test_bad_options_end_in_one_line(
    corpora: Path, tmp_path: Path, more: list[object], message: str
) -> None:
    vocabulary = ("--vocabulary", corpora / "vocabulary")
    done = run(*options(corpora, tmp_path / "run", *vocabulary, *more))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


def test_without_a_configuration_it_says_what_to_give(tmp_path: Path) -> None:
    done = run("--save-dir", tmp_path)
    assert done.stderr == (
        "error: give --config FILE, or --smoke to see all streams run on phantoms\n"
    )


def test_a_run_is_scored_on_grounding(corpora: Path, tmp_path: Path) -> None:
    done = run(*options(corpora, tmp_path, "--max-update", 1, "--disable-validation"))
    assert done.returncode == 0, done.stderr
    scored = run(
        *("--data", corpora / "grounding", "--save-dir", tmp_path),
        script=GROUNDING,
    )
    assert scored.returncode == 0, scored.stderr
    assert "accuracy at IoU 0.5" in scored.stdout
    rows = PreparedDataset(corpora / "grounding").card.counts["valid"]
    assert json.loads((tmp_path / "grounding.json").read_text())["rows"] == rows
    checkpoint = load_checkpoint(tmp_path / "checkpoint_last.pt")
    pixels = checkpoint.preprocessing
    assert (pixels.image_size, pixels.max_image_size) == (SIZE, 512)
    model = checkpoint.model
    other = Vocabulary.train_sentencepiece([" a"], size=300)
    split = PreparedDataset(corpora / "grounding").split("valid")
    with pytest.raises(ConfigError, match="that the model was trained with"):
        next(find_boxes(model, other, split, image_size=SIZE, max_image_size=512))
    captions = PreparedDataset(corpora / "captioning").split("valid")
    vocabulary = Vocabulary.load(tmp_path / "vocabulary")
    with pytest.raises(DataError, match="not grounding"):
        next(find_boxes(model, vocabulary, captions, image_size=SIZE, max_image_size=512))
