"""The fairseq plug-in in this process: batches, averages, checkpoints, and what it refuses."""

import errno
import gc
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("fairseq", reason="needs the train extra")

from fairseq_data import fairseq_checkpoint, make_dataset
from older_data import change_card, make_version_1, rehash
from omegaconf import OmegaConf

from biomedgpt.checkpoints.torch_file import PACKAGES, plain, read_torch_file
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import CheckpointError, ConfigError, DataError, VocabularyError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A blank in the path, as users have them.
    return make_dataset(tmp_path_factory.mktemp("prepared data") / "squares")


def test_harmless_classes_of_checkpoints_are_allowed(tmp_path: Path) -> None:
    import fairseq_ext  # noqa: F401
    from fairseq_ext import checkpoints

    torch.save(fairseq_checkpoint(), tmp_path / "old.pt")
    state = read_torch_file(tmp_path / "old.pt", packages=PACKAGES, fix="")
    assert plain(state["args"])["task"] == "vqa_gen"
    read = checkpoints.read(str(tmp_path / "old.pt"), {"seed": 2})
    assert read["extra_state"]["val_loss"] == 1.5
    assert read["optimizer_history"][0]["lr_scheduler_state"]["best"] == 0.5
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
    checkpoints.context.ema = True
    try:
        assert checkpoints.read(str(averaged))["model"]["weight"].tolist() == [0, 0]
        with pytest.raises(CheckpointError, match="--store-ema"):
            checkpoints.read(str(plain))
    finally:
        checkpoints.context.ema = False
    assert checkpoints.read(str(plain))["model"]["weight"].tolist() == [1, 1]


def test_checkpoints_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fairseq import checkpoint_utils

    import fairseq_ext  # noqa: F401

    best, last = str(tmp_path / "checkpoint_best.pt"), str(tmp_path / "checkpoint_last.pt")
    checkpoint_utils.torch_persistent_save({"update": 1}, best)
    assert checkpoint_utils.PathManager.copy(best, last, overwrite=True)

    def full(*arguments: Any) -> None:
        place = arguments[1]
        write = getattr(place, "write", None) or Path(place).write_bytes
        write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.link", full)  # as on a file system without links
    monkeypatch.setattr("shutil.copyfile", full)
    message = r"checkpoint_last\.pt: not written \(No space left on device\)"
    with pytest.raises(CheckpointError, match=message):
        checkpoint_utils.PathManager.copy(best, last, overwrite=True)

    def torch_full(*arguments: Any) -> None:
        try:
            full(*arguments)
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
    change_card(copy, lambda card: card["answers"].remove("no"))
    first = PreparedDataset(copy).split("train").column("answer").index("no") + 1
    with pytest.raises(DataError, match=rf"train\.h5: row {first} .*'no' is not among"):
        make_task(copy).load_dataset("train")
    make_task(copy, unconstrained=True).load_dataset("train")


def test_rows_that_cannot_be_used_are_named_with_their_file(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "copy")
    make_version_1(folder)  # of later ones a checksum says that they were changed
    path = folder / "test.h5"
    content = path.read_bytes()
    images = b"\x89PNG"
    path.write_bytes(content.replace(images, b"junk"))
    rehash(folder)
    task = make_task(folder)
    task.load_dataset("test")
    with pytest.raises(DataError, match=r"test\.h5: row 2: example 'test-1': not an image"):
        task.datasets["test"][1]
    path.write_bytes(content.replace(b'[{"answer"', b'[{"reply" ', 1))
    rehash(folder)
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


def test_an_interrupt_between_epochs_is_not_lost() -> None:
    """What is raised in what the collector calls goes nowhere."""
    from fairseq_ext.base_task import VocabularyTask

    def interrupt(phase: str, _: Any) -> None:
        if phase == "start":
            signal.raise_signal(signal.SIGINT)

    task: Any = None
    gc.callbacks.append(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            VocabularyTask.begin_epoch(task, 2, None)
    finally:
        gc.callbacks.remove(interrupt)
