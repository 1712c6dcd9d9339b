"""The fairseq plug-in: training, resuming, generating, and what it refuses."""

import argparse
import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("fairseq", reason="needs the train extra")
pytestmark = pytest.mark.fairseq

from checkout import ROOT  # noqa: E402
from fairseq_data import make_dataset  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402

from biomedgpt.data.prepared import PreparedDataset  # noqa: E402
from biomedgpt.errors import CheckpointError, ConfigError, DataError, VocabularyError  # noqa: E402

PLUGIN = ["--user-dir", str(ROOT / "fairseq_ext"), "--task", "biomedgpt", "--cpu"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
UPDATES, SAVE_EVERY, KILL_AT = 8, 3, 5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A blank in the path, as users have them.
    return make_dataset(tmp_path_factory.mktemp("prepared data") / "squares")


def train_command(data: Path, save: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "fairseq_cli.train", str(data), *PLUGIN),
        *("--arch", "biomedgpt_nano", "--criterion", "adjust_label_smoothed_cross_entropy"),
        *("--label-smoothing", "0.1", "--patch-image-size", "32", "--batch-size", "5"),
        *("--optimizer", "adam", "--lr", "1e-3", "--lr-scheduler", "polynomial_decay"),
        *("--total-num-update", str(UPDATES), "--max-update", str(UPDATES)),
        *("--encoder-drop-path-rate", "0.1", "--add-object", "--eval-accuracy"),
        *("--store-ema", "--ema-decay", "0.9", "--uses-ema", "--save-dir", str(save)),
        *("--best-checkpoint-metric", "vqa_score", "--maximize-best-checkpoint-metric"),
        *("--save-interval-updates", str(SAVE_EVERY), "--log-format", "json"),
        *("--log-interval", "1", "--num-workers", "0", *options),
    ]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, cwd="/", check=False
    )


def losses(log: str) -> dict[int, tuple[str, str]]:
    """Loss and gradient norm by update."""
    found = {}
    for line in log.splitlines():
        if " | train_inner | " in line:
            stats = json.loads(line[line.index("{") :])
            found[int(stats["num_updates"])] = (stats["loss"], stats["gnorm"])
    return found


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """An uninterrupted run."""
    save = tmp_path_factory.mktemp("whole run")
    done = run(train_command(dataset, save))
    assert done.returncode == 0, done.stderr[-2000:]
    return SimpleNamespace(save=save, log=done.stdout, data=dataset)


def test_killed_run_resumes_with_the_same_losses(finished: SimpleNamespace, tmp_path: Path) -> None:
    expected = losses(finished.log)
    assert sorted(expected) == list(range(1, UPDATES + 1))
    command = train_command(finished.data, tmp_path)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if f'"num_updates": "{KILL_AT}"' in line and "train_inner" in line:
                process.send_signal(signal.SIGKILL)
                break
    assert not (tmp_path / "checkpoint_last.pt.tmp").exists()
    resumed = run(command)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    after = losses(resumed.stdout)
    # The last checkpoint is in the middle of an epoch (24 rows in batches of 5).
    assert min(after) == SAVE_EVERY + 1
    assert after == {update: expected[update] for update in after}
    weights = [
        torch.load(save / "checkpoint_last.pt", weights_only=True)
        for save in (finished.save, tmp_path)
    ]
    for key, value in weights[0]["model"].items():
        assert torch.equal(value, weights[1]["model"][key]), key
    for key, value in weights[0]["extra_state"]["ema"].items():
        assert torch.equal(value, weights[1]["extra_state"]["ema"][key]), key


def test_a_run_begun_with_fairseqs_own_adam_goes_on(
    finished: SimpleNamespace, tmp_path: Path
) -> None:
    begun = train_command(
        finished.data, tmp_path, "--use-old-adam", "--max-update", str(SAVE_EVERY)
    )
    for command in (begun, train_command(finished.data, tmp_path)):
        done = run(command)
        assert done.returncode == 0, done.stderr[-2000:]
    expected = losses(finished.log)
    after = losses(done.stdout)
    assert sorted(after) == list(range(SAVE_EVERY + 1, UPDATES + 1))
    for update, numbers in after.items():
        for found, wanted in zip(numbers, expected[update], strict=True):
            assert float(found) == pytest.approx(float(wanted), rel=5e-3)


def test_validation_reports_the_score(finished: SimpleNamespace) -> None:
    lines = [line for line in finished.log.splitlines() if " | valid | " in line]
    stats = json.loads(lines[-1][lines[-1].index("{") :])
    assert 0 <= float(stats["valid_vqa_score"]) <= 1
    assert {"valid_vqa_open", "valid_vqa_closed", "valid_loss"} <= stats.keys()
    assert (finished.save / "checkpoint_best.pt").exists()


def generate_command(finished: SimpleNamespace, output: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "fairseq_cli.generate", str(finished.data), *PLUGIN),
        *("--path", str(finished.save / "checkpoint_best.pt"), "--gen-subset", "test"),
        *("--batch-size", "4", "--unnormalized", "--num-workers", "0"),
        *("--predictions", str(output), *options),
    ]


def test_generate_and_score(finished: SimpleNamespace, tmp_path: Path) -> None:
    for name, options in (("real", []), ("blank", ["--blank-images"])):
        output = tmp_path / f"{name}.jsonl"
        done = run(generate_command(finished, output, "--beam", "2", "--ema-eval", *options))
        assert done.returncode == 0, done.stderr[-2000:]
        # fairseq's own lines are readable text, the answer without the question before it.
        assert re.search(r"^H-0\t[-.\de]+\t(yes|no|red|green|blue)$", done.stdout, re.MULTILINE)
        assert re.search(r"^S-\d\t(is|what) .*\? object: square$", done.stdout, re.MULTILINE)
    lines = (tmp_path / "real.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    # All of them, although 6 is no multiple of the batch size.
    assert [record["id"] for record in records] == [f"test-{n}" for n in range(6)]
    decoding = records[0]["decoding"]
    assert decoding["ema"]
    assert decoding["beam"] == 2
    assert decoding["constrained"]
    assert not decoding["blank_image"]
    scored = run(
        [
            *(sys.executable, str(ROOT / "evaluation" / "vqa.py"), str(tmp_path / "real.jsonl")),
            *("--blank", str(tmp_path / "blank.jsonl"), "--data", str(finished.data)),
            *("--json", str(tmp_path / "score.json")),
        ]
    )
    assert scored.returncode == 0, scored.stderr
    score = json.loads((tmp_path / "score.json").read_text())
    assert score


def test_scoring_all_candidates_agrees_with_a_wide_beam(
    finished: SimpleNamespace, tmp_path: Path
) -> None:
    answers = []
    for name, options in (("beam", ["--beam", "5"]), ("all", ["--inference", "allcand"])):
        output = tmp_path / f"{name}.jsonl"
        done = run(generate_command(finished, output, *options))
        assert done.returncode == 0, done.stderr[-2000:]
        records = [json.loads(line) for line in output.read_text().splitlines()]
        answers.append([record["prediction"] for record in records])
    assert answers[0] == answers[1]


class Hostile:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


def test_hostile_checkpoint_is_refused_in_one_line(dataset: Path, tmp_path: Path) -> None:
    checkpoint, trace = tmp_path / "hostile.pt", tmp_path / "executed"
    torch.save({"model": {}, "extra_state": Hostile(trace)}, checkpoint)
    done = run(train_command(dataset, tmp_path / "run", "--finetune-from-model", str(checkpoint)))
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith(f"error: {checkpoint}: refused, it asks for posix.system")
    assert "Traceback" not in done.stderr
    assert not trace.exists()


def test_checkpoint_of_another_size_is_named(finished: SimpleNamespace, tmp_path: Path) -> None:
    checkpoint = finished.save / "checkpoint_last.pt"
    options = ["--arch", "biomedgpt_tiny", "--finetune-from-model", str(checkpoint)]
    done = run(train_command(finished.data, tmp_path, *options))
    assert done.returncode == 1
    assert f"error: {checkpoint} does not fit the model: these are nano weights" in done.stderr
    assert "you asked for tiny" in done.stderr


def test_the_check_cannot_be_turned_off_from_outside(tmp_path: Path) -> None:
    code = "import fairseq_ext, os; print('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD' in os.environ)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
        cwd=ROOT,
        check=True,
    )
    assert done.stdout.strip() == "False"


# In this process


def fairseq_checkpoint(**extra: Any) -> dict[str, Any]:
    """What older fairseq versions wrote: option containers and numpy numbers beside tensors."""
    return {
        "args": argparse.Namespace(task="vqa_gen", lr=[5e-5]),
        "cfg": OmegaConf.create({"task": {"data": "x"}, "lr": [0.1], "fp16": False, "seed": 1}),
        "model": {"weight": torch.ones(2)},
        "optimizer_history": [
            {
                "criterion_name": "X",
                "optimizer_name": "Y",
                "lr_scheduler_state": {"best": np.float64(0.5)},
                "num_updates": 3,
            }
        ],
        "extra_state": {
            "train_iterator": {"epoch": 1},
            "val_loss": np.float32(1.5),
            **extra,
        },
    }


def test_harmless_classes_of_checkpoints_are_allowed(tmp_path: Path) -> None:
    import fairseq_ext  # noqa: F401
    from fairseq_ext import checkpoints

    torch.save(fairseq_checkpoint(), tmp_path / "old.pt")
    state = torch.load(tmp_path / "old.pt", weights_only=True)
    assert state["args"].task == "vqa_gen"
    assert state["extra_state"]["val_loss"] == 1.5
    read = checkpoints.read(str(tmp_path / "old.pt"), {"seed": 2})
    assert read["cfg"].task.data == "x"
    assert read["cfg"].seed == 2


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"\x80\x04N."])
def test_files_that_are_no_checkpoints_are_named(tmp_path: Path, content: bytes) -> None:
    from fairseq_ext import checkpoints

    path = tmp_path / "file.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        checkpoints.read(str(path))


def test_averaged_weights_must_exist_to_be_used(tmp_path: Path) -> None:
    from fairseq_ext import checkpoints

    plain, averaged = tmp_path / "plain.pt", tmp_path / "averaged.pt"
    torch.save(fairseq_checkpoint(), plain)
    torch.save(fairseq_checkpoint(ema={"weight": torch.zeros(2)}), averaged)
    checkpoints.use_ema(True)
    try:
        assert checkpoints.read(str(averaged))["model"]["weight"].tolist() == [0, 0]
        with pytest.raises(CheckpointError, match="--store-ema"):
            checkpoints.read(str(plain))
    finally:
        checkpoints.use_ema(False)
    assert checkpoints.read(str(plain))["model"]["weight"].tolist() == [1, 1]


def test_generation_says_what_checkpoints_it_cannot_build_a_model_from(
    finished: SimpleNamespace, tmp_path: Path
) -> None:
    from fairseq_ext import checkpoints

    assert checkpoints.examine(str(finished.save / "checkpoint_last.pt"))
    path = tmp_path / "published.pt"
    of_ofa = argparse.Namespace(_name="ofa_tiny")
    for model in (of_ofa, vars(of_ofa)):
        torch.save(fairseq_checkpoint() | {"cfg": {"task": {}, "model": model}}, path)
        with pytest.raises(CheckpointError, match=r"published\.pt: no options of a biomedgpt"):
            checkpoints.examine(str(path))
    torch.save(fairseq_checkpoint() | {"cfg": None}, path)
    with pytest.raises(CheckpointError, match=r"published\.pt: no options of a biomedgpt"):
        checkpoints.examine(str(path))


def test_checkpoints_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fairseq import checkpoint_utils

    import fairseq_ext  # noqa: F401

    best, last = str(tmp_path / "checkpoint_best.pt"), str(tmp_path / "checkpoint_last.pt")
    checkpoint_utils.torch_persistent_save({"update": 1}, best)
    assert checkpoint_utils.PathManager.copy(best, last, overwrite=True)

    def full(*_: Any) -> None:
        Path(f"{last}.tmp").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copyfile", full)
    message = r"checkpoint_last\.pt: not written \(No space left on device\)"
    with pytest.raises(CheckpointError, match=message):
        checkpoint_utils.PathManager.copy(best, last, overwrite=True)

    def torch_full(*_: Any) -> None:
        try:
            full()
        except OSError:
            raise RuntimeError("[enforce fail at x.cc:1] . unexpected pos")  # noqa: B904

    monkeypatch.setattr(torch, "save", torch_full)
    with pytest.raises(CheckpointError, match=message):
        checkpoint_utils.torch_persistent_save({"update": 2}, last)
    assert torch.load(last) == {"update": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == [Path(best).name, Path(last).name]


def test_average_takes_tied_weights_once_and_counts_batches() -> None:
    from fairseq.dataclass.configs import EMAConfig

    from biomedgpt.model import preset
    from fairseq_ext.ema import TiedEMA
    from fairseq_ext.models import FairseqBiomedGPT

    model = FairseqBiomedGPT(preset("nano", vocab_size=10))
    # Early on the average looks back over a tenth of the run only.
    for fp32, updates, decay in ((False, 1000, 0.9), (True, 1000, 0.9), (False, 1, 2 / 11)):
        ema = TiedEMA(model, EMAConfig(store_ema=True, ema_decay=0.9, ema_fp32=fp32))
        changed = FairseqBiomedGPT(preset("nano", vocab_size=10))
        before = {key: value.clone() for key, value in model.state_dict().items()}
        ema.step(changed, updates)
        for key, value in ema.get_model().state_dict().items():
            expected = decay * before[key] + (1 - decay) * changed.state_dict()[key]
            torch.testing.assert_close(value, expected, msg=key)


@pytest.mark.parametrize("batch_size", [1, 4, 5, 8, 100])
def test_every_row_is_in_exactly_one_batch(dataset: Path, batch_size: int) -> None:
    task = make_task(dataset)
    task.load_dataset("train")
    epochs = []
    for epoch in (1, 2):
        iterator = task.get_batch_iterator(
            task.dataset("train"),
            max_sentences=batch_size,
            required_batch_size_multiple=8,
            epoch=epoch,
        )
        batches = [list(map(int, batch)) for batch in iterator.frozen_batches]
        assert sorted(row for batch in batches for row in batch) == list(range(24))
        epochs.append(batches)
    assert epochs[0] != epochs[1]  # composed anew


def make_task(data: Path, **options: Any) -> Any:
    from fairseq_ext.task import BiomedGPTTask, BiomedGPTTaskConfig

    config = BiomedGPTTaskConfig(data=str(data), patch_image_size=32, **options)
    return BiomedGPTTask.setup_task(OmegaConf.structured(config))


@pytest.mark.parametrize("prompt", ["none", "prev_output", "src"])
@pytest.mark.parametrize("inference", ["beam", "allcand"])
def test_answers_are_candidates_whatever_the_prompt(
    dataset: Path, prompt: str, inference: str
) -> None:
    from biomedgpt.model import preset
    from fairseq_ext.models import FairseqBiomedGPT

    task = make_task(dataset, prompt_type=prompt, inference=inference)
    task.load_dataset("test")
    rows = task.dataset("test")
    batch = rows.collater([rows[0], rows[1], rows[2]])
    torch.manual_seed(0)
    model = FairseqBiomedGPT(preset("nano", vocab_size=len(task.vocabulary))).eval()
    for found in task.validation_generator.generate([model], batch):
        text = task.dictionary.string(found[0]["tokens"])
        assert text in task.prepared.card.answers


def test_averaged_weights_must_be_kept_to_validate_them(dataset: Path) -> None:
    task = make_task(dataset, uses_ema=True)
    with pytest.raises(ConfigError, match="--store-ema"):
        task.valid_step({}, None, None)


def test_options_of_the_checkpoint_hold_unless_others_are_given(dataset: Path) -> None:
    trained = OmegaConf.create({"add_object": True, "prompt_type": "none", "max_src_length": 9})
    task = make_task(dataset, max_src_length=5)
    task.load_dataset("test", task_cfg=trained)
    assert task.definition.add_object
    assert task.definition.prompt_type == "none"
    assert task.definition.max_source_words == 5


def test_rows_beyond_a_limit_warn_or_stop(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_task(dataset, max_src_length=3).load_dataset("test")
    assert "of 6 rows are cut" in caplog.text
    with pytest.raises(DataError, match=r"test\.h5: row \d+ \(id 'test-\d'\)"):
        make_task(dataset, max_src_length=3, strict_data=True).load_dataset("test")


def test_training_answer_outside_the_candidates_names_its_row(
    dataset: Path, tmp_path: Path
) -> None:
    copy = make_dataset(tmp_path / "copy")
    card = json.loads((copy / "dataset.json").read_text())
    card["answers"].remove("no")
    (copy / "dataset.json").write_text(json.dumps(card))
    first = PreparedDataset(copy).split("train").column("answer").index("no") + 1
    with pytest.raises(DataError, match=rf"train\.h5: row {first} .*'no' is not among"):
        make_task(copy).load_dataset("train")
    make_task(copy, unconstrained=True).load_dataset("train")


def test_rows_that_cannot_be_used_are_named_with_their_file(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "copy")
    path = folder / "test.h5"
    content = path.read_bytes()
    images = b"\x89PNG"
    path.write_bytes(content.replace(images, b"junk"))
    task = make_task(folder)
    task.load_dataset("test")
    with pytest.raises(DataError, match=r"test\.h5: row 2: example 'test-1': not an image"):
        task.datasets["test"][1]
    path.write_bytes(content.replace(b'[{"answer"', b'[{"reply" ', 1))
    with pytest.raises(DataError, match=r"test\.h5: row 1: .*references.*biomedgpt data check"):
        make_task(folder).load_dataset("test")


def test_checkpoint_of_another_vocabulary_is_refused(dataset: Path) -> None:
    task = make_task(dataset)
    task.load_state_dict(task.state_dict())
    with pytest.raises(VocabularyError, match="--vocabulary"):
        task.load_state_dict({"vocabulary": "0" * 64})


def test_options_of_another_generator_are_refused() -> None:
    from fairseq.dataclass.configs import GenerationConfig as FairseqOptions

    from fairseq_ext.generator import generation_config

    options = OmegaConf.structured(FairseqOptions(beam=3, lenpen=0.7, sampling_topk=-1))
    config = generation_config(options, seed=0)
    assert (config.beam, config.length_penalty, config.top_k) == (3, 0.7, 0)
    options.diverse_beam_groups = 2
    with pytest.raises(ConfigError, match="--diverse-beam-groups: not supported"):
        generation_config(options, seed=0)


def test_ensembles_are_refused(dataset: Path) -> None:
    generator = make_task(dataset).validation_generator
    with pytest.raises(ConfigError, match="one checkpoint"):
        generator.generate([None, None], {})


def test_options_that_an_older_checkpoint_lacks_have_their_defaults(dataset: Path) -> None:
    from omegaconf import OmegaConf

    from fairseq_ext.models import BiomedGPTModelConfig, FairseqBiomedGPT

    options = OmegaConf.create({"_name": "biomedgpt_nano", "size": "nano", "dropout": 0.25})
    model = FairseqBiomedGPT.build_model(options, make_task(dataset))
    assert model.config.dropout == 0.25
    assert model.config.max_positions == BiomedGPTModelConfig().max_positions
