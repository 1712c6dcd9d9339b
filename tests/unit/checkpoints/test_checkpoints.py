"""Checkpoints of our own: runs and folders. What goes in comes out."""

import collections
import json

import numpy as np
import pytest
import torch
from fairseq_data import make_dataset

import biomedgpt
from biomedgpt.checkpoints.checkpoint import load_checkpoint, read_checkpoint
from biomedgpt.checkpoints.description import CheckpointInfo, Preprocessing
from biomedgpt.checkpoints.native import CONFIG, WEIGHTS, write_info, write_native
from biomedgpt.checkpoints.state_dict import essential
from biomedgpt.checkpoints.stored import StoredCheckpoint
from biomedgpt.checkpoints.torch_file import read_torch_file
from biomedgpt.data.imaging.images import IMAGENET
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import BiomedGPTError, ConfigError
from biomedgpt.files import file_hash, read_ahead, reading_ahead
from biomedgpt.model import BiomedGPT, preset
from biomedgpt.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.train_sentencepiece([" what is this? a b c"], size=300, num_codes=8)


@pytest.fixture(scope="module")
def model(vocabulary):
    torch.manual_seed(0)
    return BiomedGPT(
        preset("nano", vocab_size=len(vocabulary), code_image_size=64, image_bucket_size=8)
    ).eval()


@pytest.fixture
def stored(model, vocabulary):
    return StoredCheckpoint(
        weights=essential(model.state_dict(), model.config),
        config=model.config,
        vocabulary=vocabulary,
        preprocessing=Preprocessing(image_size=96, normalization=IMAGENET),
        info=CheckpointInfo(
            name="a model",
            task="vqa",
            task_options={"add_object": True, "prompt_type": "prev_output"},
            decoding=GenerationConfig(beam=3, unnormalized=True),
            answers=("ja", "nein, \u00fcberhaupt nicht"),
            licence="CC BY-NC 4.0",
            source="a test",
            expected_score={"accuracy": 0.5},
            calibration={"temperature": 1.5, "ece": 0.02},
            notes=("Made for a test.",),
        ),
    )


def logits(model):
    tokens = torch.tensor([[0, 5, 6, 2]])
    with torch.no_grad():
        return model(tokens, tokens, torch.ones(1, 3, 64, 64), torch.tensor([True]))


def load(folder):
    """Load as users do, with the weights read ahead."""
    return biomedgpt.load(folder, device="cpu").checkpoint


def same_weights(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert value.dtype == other[key].dtype, key
        assert torch.equal(value, other[key]), key


# Our own folder


@pytest.mark.parametrize("load", [load_checkpoint, load])
def test_a_folder_of_ours_holds_everything(tmp_path, stored, model, load):
    write_native(stored, tmp_path / "out")
    loaded = load(tmp_path / "out")
    assert (loaded.info, loaded.preprocessing) == (stored.info, stored.preprocessing)
    assert loaded.vocabulary.fingerprint == stored.vocabulary.fingerprint
    assert loaded.model.config == model.config
    assert not loaded.model.training
    assert torch.equal(logits(loaded.model), logits(model))
    embedding = loaded.model.encoder.embed_tokens.weight
    assert loaded.model.decoder.output_projection.weight is embedding
    same_weights(read_checkpoint(tmp_path / "out").weights, stored.weights)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("load", [load_checkpoint, load])
def test_half_precision_is_kept_on_disk_and_widened_in_use(tmp_path, stored, load):
    half = {key: value.half() for key, value in stored.weights.items()}
    narrow = StoredCheckpoint(**{**vars(stored), "weights": half})
    write_native(narrow, tmp_path / "out")
    same_weights(read_checkpoint(tmp_path / "out").weights, half)
    loaded = load(tmp_path / "out").model.state_dict()
    assert all(torch.equal(loaded[key], value.float()) for key, value in half.items())


def test_a_folder_is_replaced_only_if_asked_to(tmp_path, stored):
    write_native(stored, tmp_path / "out")
    with pytest.raises(ConfigError, match="--overwrite"):
        write_native(stored, tmp_path / "out")
    (tmp_path / "out" / "extra").touch()
    write_native(stored, tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "extra").exists()
    broken = StoredCheckpoint(**{**vars(stored), "weights": {"a": None}})
    with pytest.raises(AttributeError):
        write_native(broken, tmp_path / "out", overwrite=True)
    load_checkpoint(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_said_of_a_checkpoint_can_be_changed(tmp_path, stored):
    write_native(stored, tmp_path / "out")
    info = CheckpointInfo(**{**vars(stored.info), "calibration": {"temperature": 2.0}})
    write_info(tmp_path / "out", info)
    assert read_checkpoint(tmp_path / "out").info == info


def test_a_folder_of_an_earlier_version_is_read(tmp_path, stored):
    write_native(stored, tmp_path / "out")
    model = json.loads((tmp_path / "out" / CONFIG).read_text())["model"]
    del model["image_scales"]
    change(tmp_path / "out" / CONFIG, model=model)
    assert read_checkpoint(tmp_path / "out").config == stored.config
    change(tmp_path / "out" / CONFIG, model=model | {"later": 1})
    with pytest.raises(BiomedGPTError, match="unknown model options later"):
        read_checkpoint(tmp_path / "out")


def change(path, **changes):
    """Change a description as an earlier version would have written it: without its own hash."""
    config = json.loads(path.read_text())
    config["files"].pop(CONFIG, None)
    path.write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / WEIGHTS).write_bytes(b"x"), "does not have the hash"),
        (lambda f: (f / WEIGHTS).unlink(), "No such file"),
        (lambda f: (f / "vocabulary" / "vocabulary.json").write_text("{}"), "have the hash"),
        (lambda f: (f / CONFIG).write_text("{"), "not a checkpoint|no checkpoint"),
        (lambda f: change(f / CONFIG, format_version=9), "version 9"),
        (lambda f: change(f / CONFIG, more=1), "unknown keys: more"),
        (lambda f: change(f / CONFIG, model={}), "damaged"),
        (lambda f: change(f / CONFIG, answers=3), "damaged"),
        (lambda f: change(f / CONFIG, decoding={"beam": 0}), "beam must be"),
        (lambda f: change(f / CONFIG, files={WEIGHTS: "", "../x": ""}), "outside the folder"),
    ],
)
@pytest.mark.parametrize("load", [load_checkpoint, load])
def test_a_damaged_folder_is_one_error(tmp_path, stored, damage, message, load):
    write_native(stored, tmp_path / "out")
    damage(tmp_path / "out")
    with pytest.raises(BiomedGPTError, match=message) as info:
        load(tmp_path / "out")
    assert "\n" not in str(info.value)
    write_native(stored, tmp_path / "out", overwrite=True)
    load(tmp_path / "out")  # nothing is left of the attempt


@pytest.mark.parametrize("load", [load_checkpoint, load])
@pytest.mark.parametrize("kept", [0, 5, 200, -4])
def test_weights_cut_short_under_the_right_hash_are_one_error(tmp_path, stored, load, kept):
    write_native(stored, tmp_path / "out")
    path = tmp_path / "out" / WEIGHTS
    path.write_bytes(path.read_bytes()[:kept])
    files = json.loads((tmp_path / "out" / CONFIG).read_text())["files"]
    del files[CONFIG]
    change(tmp_path / "out" / CONFIG, files=files | {WEIGHTS: file_hash(path)})
    with pytest.raises(BiomedGPTError, match=rf"{WEIGHTS}: damaged") as info:
        load(tmp_path / "out")
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("load", [load_checkpoint, load])
def test_a_model_stays_what_it_is_when_its_file_is_overwritten(tmp_path, stored, model, load):
    write_native(stored, tmp_path / "out")
    loaded = load(tmp_path / "out")
    path = tmp_path / "out" / WEIGHTS
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(logits(loaded.model), logits(model))


def test_reading_ahead_ends_when_nobody_asks(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    with reading_ahead(path):
        content = read_ahead(path)
        assert read_ahead(path) is None
    assert content.data[:] == b"abc"
    assert content.sha256 == file_hash(path)
    with reading_ahead(path):
        pass
    assert read_ahead(path) is None
    with reading_ahead(tmp_path / "none"):
        assert read_ahead(tmp_path / "none") is None


def test_a_description_of_an_enormous_model_allocates_nothing(tmp_path, stored):
    write_native(stored, tmp_path / "out")
    model = json.loads((tmp_path / "out" / CONFIG).read_text())["model"]
    for wrong, message in (
        ({"encoder_layers": 10**9}, "layers"),
        ({"embed_dim": 10**7, "ffn_dim": 10**7, "heads": 10}, "does not fit"),
        ({"vocab_size": 10**12}, "vocabulary"),
    ):
        change(tmp_path / "out" / CONFIG, model=model | wrong)
        with pytest.raises(BiomedGPTError, match=message):
            load_checkpoint(tmp_path / "out")


# Runs of our own recipes


def write_run(folder, model, vocabulary, *, task, task_state=None, facts=None, ema=None):
    folder.mkdir()
    vocabulary.save(folder / "vocabulary")
    options = {
        "_name": "biomedgpt_nano",
        "size": "nano",
        "dropout": 0.1,
        "code_image_size": 64,
        "image_bucket_size": 8,
    }
    state = {
        "args": None,
        "cfg": {"model": options, "task": {"_name": "biomedgpt", **task}},
        "model": model.state_dict(),
        "task_state": {"vocabulary": vocabulary.fingerprint, **(task_state or {})},
        "extra_state": {"val_loss": np.float64(0.5)} | ({} if ema is None else {"ema": ema}),
    }
    torch.save(state, folder / "checkpoint_last.pt")
    if facts is not None:
        (folder / "run.json").write_text(json.dumps(facts))


def test_a_run_is_loaded_with_its_task_and_answers(tmp_path, model, vocabulary):
    data = PreparedDataset(make_dataset(tmp_path / "data"))
    task = {
        "data": str(data.folder),
        "patch_image_size": 96,
        "imagenet_default_mean_and_std": True,
        "max_src_length": 12,
        "max_tgt_length": None,
        "add_object": True,
    }
    write_run(
        tmp_path / "run", model, vocabulary, task=task, task_state={"dataset_hash": data.hash}
    )
    loaded = load_checkpoint(tmp_path / "run")
    assert torch.equal(logits(loaded.model), logits(model))
    assert loaded.preprocessing == Preprocessing(image_size=96, normalization=IMAGENET)
    assert loaded.info.task == "vqa"
    assert loaded.info.task_options == {"max_source_words": 12, "add_object": True}
    assert loaded.info.answers == tuple(data.card.answers)
    (note,) = loaded.info.notes
    assert note.endswith(f"was used: vocabulary, {data.folder / 'dataset.json'}.")
    again = load_checkpoint(tmp_path / "run" / "checkpoint_last.pt")
    assert again.info == loaded.info


def test_a_run_without_its_data_says_what_is_not_known(tmp_path, model, vocabulary):
    task = {"data": str(tmp_path / "gone")}
    write_run(tmp_path / "run", model, vocabulary, task=task, facts={"recipe": "slake"})
    info = load_checkpoint(tmp_path / "run").info
    assert (info.task, info.answers) == ("vqa", ())
    assert "candidate answers are not known" in info.notes[0]


def test_the_best_checkpoint_and_the_average_are_preferred(tmp_path, model, vocabulary):
    average = {key: value.clone() for key, value in model.state_dict().items()}
    average["encoder.layer_norm.weight"].fill_(3.0)
    write_run(tmp_path / "run", model, vocabulary, task={}, ema=average)
    loaded = load_checkpoint(tmp_path / "run")
    assert bool((loaded.model.encoder.layer_norm.weight == 3).all())
    assert "moving average" in loaded.info.notes[0]
    plain = load_checkpoint(tmp_path / "run", ema=False).model
    assert torch.equal(plain.encoder.layer_norm.weight, model.encoder.layer_norm.weight)
    torch.save({}, tmp_path / "run" / "checkpoint_best.pt")
    with pytest.raises(BiomedGPTError, match=r"checkpoint_best\.pt"):
        load_checkpoint(tmp_path / "run")


def test_a_run_with_another_vocabulary_is_refused(tmp_path, model, vocabulary):
    write_run(tmp_path / "run", model, vocabulary, task={})
    other = Vocabulary.train_sentencepiece([" x y z"], size=len(vocabulary) - 1012, num_codes=8)
    other.save(tmp_path / "other")
    with pytest.raises(BiomedGPTError, match="another vocabulary"):
        load_checkpoint(tmp_path / "run", vocabulary=tmp_path / "other")


@pytest.mark.parametrize("name", ["none", "empty"])
def test_nothing_to_load_is_one_error(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BiomedGPTError, match=name):
        load_checkpoint(tmp_path / name)


def test_reading_leaves_the_allow_list_of_others_as_it_is(tmp_path):
    """fairseq in the same process allows some of the same classes, and needs them afterwards."""
    torch.serialization.add_safe_globals([np.dtype, collections.OrderedDict])
    before = set(torch.serialization.get_safe_globals())
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    read_torch_file(tmp_path / "a.pt", fix="")
    assert set(torch.serialization.get_safe_globals()) == before
