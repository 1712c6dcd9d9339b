"""Published checkpoints in and out: fairseq files, folders for transformers, our own folder."""

import argparse
import json
import os
import re
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import published_files as published
import pytest
import torch
from checkpoint_samples import run_state, small_checkpoint, write_all
from published_files import entries, save
from safetensors.torch import save_file

import biomedgpt
from biomedgpt.checkpoints.bart_vocabulary import read_bart, write_bart
from biomedgpt.checkpoints.checkpoint import load_checkpoint, read_checkpoint
from biomedgpt.checkpoints.convert import convert
from biomedgpt.checkpoints.embedded import KEY, embed, pack
from biomedgpt.checkpoints.huggingface import from_huggingface, huggingface_weights, to_huggingface
from biomedgpt.checkpoints.inspection import inspect_checkpoint
from biomedgpt.checkpoints.state_dict import essential
from biomedgpt.cli.main import main
from biomedgpt.errors import BiomedGPTError, CheckpointError, ConfigError, VocabularyError
from biomedgpt.model import BiomedGPT, preset
from biomedgpt.parity import golden_config, golden_weights, load_golden, run_model
from biomedgpt.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.train_sentencepiece([" what is this? a b c"], size=300, num_codes=8)


@pytest.fixture(scope="module")
def model(vocabulary):
    torch.manual_seed(1)
    sizes = {"code_image_size": 64, "image_bucket_size": 8}
    model = BiomedGPT(preset("nano", vocab_size=len(vocabulary), **sizes))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # no two weights are alike
    return model.eval()


@pytest.fixture(scope="module")
def weights(model):
    return essential(model.state_dict(), model.config)


@pytest.fixture(scope="module")
def full(model, weights):
    return entries(weights, model.config)


@pytest.fixture
def folder(tmp_path, vocabulary):
    """Where files are written; the vocabulary lies beside them."""
    vocabulary.save(tmp_path / "vocabulary")
    return tmp_path


def same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert value.dtype == other[key].dtype, key
        assert torch.equal(value, other[key]), key


# Published files of fairseq

KINDS = ("argparse", "dicts", "omegaconf", "objects")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_options_is_read(folder, full, weights, kind, legacy):
    if kind == "omegaconf":
        pytest.importorskip("omegaconf", reason="needs the train extra")
    save(getattr(published, f"with_{kind}")(full), folder / "vqa.pt", legacy=legacy)
    found = read_checkpoint(folder / "vqa.pt")
    same(found.weights, weights)
    assert found.config.code_image_size == 64
    assert found.preprocessing.image_size == 384
    assert found.info.task == "vqa"
    assert found.info.task_options == {
        "max_source_words": 70,
        "max_target_tokens": 30,
        "prompt_type": "prev_output",
        "add_object": True,
    }
    assert found.info.answers == ("no", "yes")
    assert found.info.notes == ()
    assert "research" in found.info.licence


def test_nothing_of_the_authors_is_looked_up(folder, full, monkeypatch):
    state = published.with_argparse(full)
    state["args"].ans2label_file = "/nowhere/of/the/authors/answers.pkl"
    save(state, folder / "vqa.pt")
    opened = []
    read = Path.open

    def watched(path, *arguments, **options):
        opened.append(path)
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", watched)
    info = read_checkpoint(folder / "vqa.pt").info
    assert opened
    assert not any("nowhere" in str(path) for path in opened)
    assert info.answers == ()
    assert "not looked up" in info.notes[0]


def test_the_average_is_taken_unless_told_otherwise(folder, full, weights):
    save(published.with_average(full), folder / "x.pt")
    found = read_checkpoint(folder / "x.pt")
    same(found.weights, weights)  # in float32, and not the copy in half precision
    assert "moving average" in found.info.notes[0]
    plain = read_checkpoint(folder / "x.pt", ema=False)
    assert bool((plain.weights["encoder.layer_norm.weight"] == 7).all())
    assert inspect_checkpoint(folder / "x.pt").averaged


def test_half_precision_is_loaded_exactly(folder, full):
    half = {key: v.half() if v.is_floating_point() else v for key, v in full.items()}
    save(published.with_dicts(half), folder / "x.pt")
    loaded = load_checkpoint(folder / "x.pt").model.state_dict()
    for key, value in loaded.items():
        assert torch.equal(value, half[key].to(value.dtype)), key
    assert loaded["encoder.layer_norm.weight"].dtype == torch.float32


def test_older_names_are_renamed_and_said(folder, full, weights):
    save(published.with_argparse(published.older(full)), folder / "x.pt")
    found = read_checkpoint(folder / "x.pt")
    same(dict(sorted(found.weights.items())), dict(sorted(weights.items())))
    (note,) = found.info.notes
    assert "14 weights have names of an earlier version" in note
    found.build()


def test_heads_are_left_out_and_said(folder, full, weights):
    heads = {
        "classification_heads.mednli.dense.weight": torch.ones(4, 4),
        "classification_heads.mednli.out_proj.weight": torch.ones(3, 4),
    }
    save(published.with_dicts(full | heads), folder / "x.pt")
    found = read_checkpoint(folder / "x.pt")
    same(found.weights, weights)
    assert found.info.notes == ("The classification head 'mednli' of 3 classes was left out.",)


def test_a_smaller_grid_of_positions_is_enlarged_and_said(folder, full):
    tables = {
        f"{part}.embed_image_positions.weight": full[f"{part}.embed_image_positions.weight"]
        for part in ("encoder", "decoder")
    }
    shorter = {key: value[: 512 + 2] for key, value in full.items() if "embed_positions" in key}
    (first, *_) = shorter
    save(published.with_dicts(full | {first: shorter[first]}), folder / "x.pt")
    found = read_checkpoint(folder / "x.pt")
    assert found.config.max_positions == 1024
    assert first in found.info.notes[0]
    assert torch.equal(found.weights[first][:514], full[first][:514])
    assert tables.keys() <= found.weights.keys()


def test_bare_weights_are_enough(folder, full, weights):
    torch.save(full, folder / "x.pt")
    same(read_checkpoint(folder / "x.pt").weights, weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s["model"].pop("encoder.layers.1.fc1.weight"),
            "1 missing: encoder.layers.1.fc1",
        ),
        (lambda s: s["model"].update(more=torch.ones(1)), "1 unexpected: more"),
        (lambda s: s["model"].update({published.EMBEDDING: 3}), "expected weights by name"),
        (lambda s: s["model"].pop(published.EMBEDDING), "no OFA or BiomedGPT model"),
        (
            lambda s: s["model"].pop("encoder.layers.0.self_attn.c_attn"),
            "not the weights of an OFA",
        ),
        (lambda s: setattr(s["args"], "attn_scale_factor", 4), "attn_scale_factor 4"),
        (lambda s: setattr(s["args"], "adapter", True), "adapter True"),
        (
            lambda s: s["model"].update({"decoder.image_position_idx": torch.ones(9)}),
            "another position scheme",
        ),
        (
            lambda s: s["model"].update(
                {"decoder.output_projection.weight": s["model"][published.EMBEDDING] + 1}
            ),
            "differs from encoder.embed_tokens.weight, its tied copy",
        ),
        (
            lambda s: s["model"].update(
                {"encoder.layers.0.fc1.bias": torch.ones(1).expand(10**12)}
            ),
            "claims more values than the file holds",
        ),
    ],
)
def test_what_does_not_fit_is_one_error(folder, full, change, message):
    state = published.with_argparse(full)
    change(state)
    save(state, folder / "x.pt")
    with pytest.raises(CheckpointError, match=message) as info:
        load_checkpoint(folder / "x.pt")
    assert "\n" not in str(info.value)


def test_a_vocabulary_must_be_given_and_fit(tmp_path, full, monkeypatch):
    monkeypatch.delenv("BIOMEDGPT_BPE_DIR", raising=False)
    save(published.with_argparse(full), tmp_path / "x.pt")
    with pytest.raises(VocabularyError, match="--vocabulary DIR"):
        load_checkpoint(tmp_path / "x.pt")
    other = Vocabulary.train_sentencepiece([" a"], size=280, num_codes=9)
    other.save(tmp_path / "other")
    with pytest.raises(VocabularyError, match=r"the model has 1,3\d\d vocabulary entries"):
        load_checkpoint(tmp_path / "x.pt", vocabulary=tmp_path / "other")


# Hostile and damaged files


class Hostile:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("function", "arguments", "named"),
    [
        (os.system, ("touch executed",), r"posix\.system"),
        (os.mkdir, ("executed",), r"posix\.mkdir"),
        (subprocess.Popen, (["touch", "executed"],), r"\.Popen"),
        (eval, ("open('executed', 'w')",), "eval"),
        (torch.load, ("x.pt",), r"torch\.serialization\.load"),
    ],
)
def test_a_hostile_file_is_refused_and_named(
    folder, full, function, arguments, named, legacy, monkeypatch, capsys
):
    monkeypatch.chdir(folder)
    state = published.with_dicts(full)
    state["cfg"]["task"] = Hostile(function, *arguments)
    save(state, folder / "x.pt", legacy=legacy)
    for command in (["inspect", "x.pt"], ["convert", "x.pt", "out", "--to", "native"]):
        assert main(command) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "refused" in error
        assert "nothing was executed" in error
        assert re.search(named, error)
    assert not (folder / "executed").exists()
    assert not (folder / "out").exists()


def test_a_hostile_folder_of_transformers_is_refused(folder, full, monkeypatch):
    monkeypatch.chdir(folder)
    save(published.with_dicts(full), folder / "x.pt")
    convert(folder / "x.pt", folder / "hf", "hf")
    torch.save({"a": Hostile(os.mkdir, "executed")}, folder / "hf" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"refused, it asks for posix\.mkdir"):
        load_checkpoint(folder / "hf")
    assert not (folder / "executed").exists()


def test_a_file_that_unpacks_to_more_than_it_is_is_refused(folder):
    with zipfile.ZipFile(folder / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(64 << 20))
    with pytest.raises(CheckpointError, match="unpacks to 67,108,864 bytes"):
        load_checkpoint(folder / "x.pt")


@pytest.mark.parametrize("cut", [0, 10, 1000, 100_000])
def test_a_cut_file_is_one_error(folder, full, cut):
    save(published.with_argparse(full), folder / "x.pt")
    content = (folder / "x.pt").read_bytes()
    (folder / "x.pt").write_bytes(content[:cut])
    with pytest.raises(CheckpointError, match=r"x\.pt") as info:
        load_checkpoint(folder / "x.pt")
    assert "\n" not in str(info.value)


# From format to format


def test_round_trip_keeps_every_bit_and_everything_known(folder, full):
    state = published.with_argparse(full)
    save(state, folder / "vqa.pt")
    first = read_checkpoint(folder / "vqa.pt")
    steps = [("hf", "hf"), ("native", "native"), ("back.pt", "fairseq"), ("again", "native")]
    source = folder / "vqa.pt"
    for name, to in steps:
        convert(source, folder / name, to)
        source = folder / name
        stored = read_checkpoint(source)
        same(dict(sorted(stored.weights.items())), dict(sorted(first.weights.items())))
        assert (stored.config, stored.preprocessing) == (first.config, first.preprocessing)
        assert stored.vocabulary.fingerprint == first.vocabulary.fingerprint
        known = stored.info
        assert (known.task, known.answers, known.licence, known.task_options) == (
            *(first.info.task, first.info.answers, first.info.licence, first.info.task_options),
        )
    back = torch.load(folder / "back.pt", weights_only=False)["model"]
    same(back, dict.fromkeys(back) | full)
    assert (
        back["decoder.output_projection.weight"].data_ptr() == back[published.EMBEDDING].data_ptr()
    )


def test_half_precision_stays_half_precision(folder, full):
    half = {key: v.half() if v.is_floating_point() else v for key, v in full.items()}
    save(published.with_dicts(half), folder / "x.pt")
    convert(folder / "x.pt", folder / "hf", "hf")
    convert(folder / "hf", folder / "back.pt", "fairseq")
    same(
        dict(sorted(torch.load(folder / "back.pt", weights_only=False)["model"].items())),
        dict(sorted(half.items())),
    )


def test_the_names_there_map_one_to_one(full):
    names = {to_huggingface(key) for key in full}
    assert len(names) == len(full)
    assert all(from_huggingface(to_huggingface(key)) == key for key in full)
    layer = "decoder.layers.0"
    for ours, theirs in (
        ("encoder.layers.0.attn_ln.bias", "encoder.layers.0.self_attn_mid_layer_norm.bias"),
        ("encoder.layers.0.ffn_layernorm.bias", "encoder.layers.0.ffn_layer_norm.bias"),
        (f"{layer}.self_attn_ln.weight", f"{layer}.self_attn_mid_layer_norm.weight"),
        (f"{layer}.cross_attn_ln.weight", f"{layer}.cross_attn_mid_layer_norm.weight"),
        (f"{layer}.encoder_attn.c_attn", f"{layer}.cross_attn.c_attn"),
        (f"{layer}.encoder_attn_layer_norm.bias", f"{layer}.cross_attn_layer_norm.bias"),
        (f"{layer}.self_attn_layer_norm.bias", f"{layer}.self_attn_layer_norm.bias"),
    ):
        assert to_huggingface(ours) == theirs


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_a_folder_of_transformers_is_read(tmp_path, gpt2_bpe, kind):
    """As it is published: four files, nothing of ours beside them."""
    vocabulary = Vocabulary.load(gpt2_bpe)
    torch.manual_seed(0)
    model = BiomedGPT(
        preset("nano", vocab_size=len(vocabulary), code_image_size=64, image_bucket_size=8)
    )
    source = tmp_path / "nano.pt"
    save(published.with_dicts(entries(model.state_dict(), model.config)), source)
    stored = convert(source, tmp_path / "hf", "hf", vocabulary=gpt2_bpe)
    (tmp_path / "hf" / "biomedgpt.json").unlink()
    for file in (tmp_path / "hf" / "vocabulary").iterdir():
        file.unlink()
    (tmp_path / "hf" / "vocabulary").rmdir()
    if kind == "safetensors":
        (tmp_path / "hf" / "pytorch_model.bin").unlink()
        content = {key: value.clone() for key, value in huggingface_weights(stored).items()}
        save_file(content, tmp_path / "hf" / "model.safetensors")
    found = read_checkpoint(tmp_path / "hf")
    same(dict(sorted(found.weights.items())), dict(sorted(stored.weights.items())))
    assert found.vocabulary.symbols() == vocabulary.symbols()
    text = " Does the X-ray show \u00e9 edema? \n\t\U0001f600"
    assert found.vocabulary.encode_text(text) == vocabulary.encode_text(text)
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert (config["model_type"], config["d_model"], config["vocab_size"]) == ("ofa", 128, 59457)
    asked = biomedgpt.load(tmp_path / "hf", device="cpu").checkpoint.model.state_dict()
    same(asked, found.build().model.state_dict())


def test_the_vocabulary_of_bart_is_that_of_the_dictionary(tmp_path, gpt2_bpe):
    vocabulary = Vocabulary.load(gpt2_bpe)
    assert write_bart(vocabulary, gpt2_bpe, tmp_path)
    table = json.loads((tmp_path / "vocab.json").read_text())
    # Of the published vocab.json of BART, which OFA took over.
    known = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, ".": 4, "\u0120the": 5, "<mask>": 50264}
    known["madeupword0000"] = 50261
    assert {token: table[token] for token in known} == known
    assert len(table) == 50265
    read = read_bart(tmp_path / "vocab.json", tmp_path / "merges.txt", entries=59457)
    assert read.symbols() == vocabulary.symbols()
    for damage, message in (
        ({"x y": 50265}, "<mask> last"),
        ({"<mask>": 3}, "ids are not 0 to"),
        ({"<s>": "0"}, "expected one JSON object"),
    ):
        (tmp_path / "vocab.json").write_text(json.dumps(table | damage))
        with pytest.raises(VocabularyError, match=message):
            read_bart(tmp_path / "vocab.json", tmp_path / "merges.txt", entries=59457)


def test_other_models_of_transformers_are_refused(folder, full):
    save(published.with_dicts(full), folder / "x.pt")
    convert(folder / "x.pt", folder / "hf", "hf")
    config = json.loads((folder / "hf" / "config.json").read_text())
    (folder / "hf" / "config.json").write_text(json.dumps(config | {"scale_embedding": True}))
    with pytest.raises(CheckpointError, match="scale_embedding is True"):
        load_checkpoint(folder / "hf")
    (folder / "hf" / "config.json").write_text(json.dumps({"model_type": "bart"}))
    with pytest.raises(CheckpointError, match="no checkpoint in it"):
        load_checkpoint(folder / "hf")


def test_an_existing_target_is_left_alone(folder, full, capsys):
    save(published.with_dicts(full), folder / "x.pt")
    for name, to in (("out", "native"), ("hf", "hf"), ("back.pt", "fairseq")):
        command = ["convert", str(folder / "x.pt"), str(folder / name), "--to", to]
        assert main(command) == 0
        assert main(command) == 1
        assert "--overwrite" in capsys.readouterr().err
        assert main([*command, "--overwrite", "--licence", "CC0"]) == 0
        assert "licence: CC0" in capsys.readouterr().out
        assert read_checkpoint(folder / name).info.licence == "CC0"
    with pytest.raises(ConfigError, match=r"NAME\.pt"):
        convert(folder / "x.pt", folder / "back", "fairseq")
    left = {path.name for path in folder.iterdir() if path.suffix != ".stamp"}
    assert left == {"x.pt", "vocabulary", "out", "hf", "back.pt"}


def test_training_starts_from_what_was_converted(folder, full, weights, monkeypatch):
    pytest.importorskip("fairseq", reason="needs the train extra")
    from fairseq_ext import checkpoints

    monkeypatch.setattr(checkpoints, "context", type(checkpoints.context)())  # not of another model
    save(published.with_dicts(full), folder / "x.pt")
    convert(folder / "x.pt", folder / "back.pt", "fairseq")
    state = checkpoints.read(str(folder / "back.pt"))
    same(state["model"], dict.fromkeys(state["model"]) | full)
    # With the plug-in in force, options are read all the same.
    assert read_checkpoint(folder / "x.pt").info.task == "vqa"


# Golden numbers


@pytest.mark.parametrize("kind", ["argparse", "average"])
def test_a_published_file_gives_the_logits_of_the_reference(golden, gpt2_bpe, tmp_path, kind):
    description, arrays = load_golden(golden / "ofa_tiny")
    config = golden_config(description)
    weights = dict(golden_weights(description))
    for key, (shape, kind_of) in description["state_dict"].items():
        if key.endswith("num_batches_tracked"):
            weights[key] = torch.zeros(shape, dtype=getattr(torch, kind_of))
    full = entries(weights, config)
    assert full.keys() == description["state_dict"].keys()
    state = published.with_average(full) if kind == "average" else published.with_argparse(full)
    state["args"] = argparse.Namespace(**(published.OPTIONS | {"code_image_size": 128}))
    state["cfg"] = None
    save(state, tmp_path / "ofa_tiny.pt")
    del state
    source = tmp_path / "ofa_tiny.pt"
    if kind == "argparse":
        convert(source, tmp_path / "hf", "hf", vocabulary=gpt2_bpe)
        convert(tmp_path / "hf", tmp_path / "native", "native")
        convert(tmp_path / "native", tmp_path / "back.pt", "fairseq")
        back = torch.load(tmp_path / "back.pt", weights_only=False)["model"]
        same(back, dict.fromkeys(back) | full)
        source = tmp_path / "native"
    loaded = load_checkpoint(source, vocabulary=gpt2_bpe)
    forward = {key: v for key, v in arrays.items() if not key.startswith(("grad/", "gen/"))}
    results = list(run_model(loaded.model, forward))
    assert len(results) == 3
    assert all(result.passed for result in results), results


# What a file is


def test_inspect_tells_what_a_file_is(folder, full, capsys):
    heads = {"classification_heads.a.out_proj.weight": torch.ones(3, 4)}
    save(published.with_objects(full | heads), folder / "vqa.pt")
    assert main(["inspect", str(folder / "vqa.pt")]) == 0
    text = capsys.readouterr().out
    for part in (
        "nano, ",
        "vqa (there: vqa_gen), 1,234 updates",
        "384 pixels",
        "prompt_type = prev_output",
        "tasks.mm_tasks.vqa_gen.VqaGenConfig",
        "classification head 'a' of 3 classes was left out",
        "complete",
    ):
        assert part in text, part
    assert main(["inspect", str(folder / "vqa.pt"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["size"] == "nano"
    assert found["updates"] == 1234
    assert found["dtypes"]["float32"] > 100
    assert (found["missing"], found["unexpected"], found["averaged"]) == ([], [], False)


def test_inspect_names_what_is_missing(folder, full, capsys):
    broken = {key: v for key, v in full.items() if key != "encoder.layers.1.fc1.weight"}
    save(published.with_dicts(broken | {"extra.weight": torch.ones(2)}), folder / "x.pt")
    assert main(["inspect", str(folder / "x.pt")]) == 1
    text = capsys.readouterr().out
    assert "missing      encoder.layers.1.fc1.weight" in text
    assert "unexpected   extra.weight" in text
    assert "1 keys missing, 1 keys unexpected" in text


def test_inspect_compares_with_the_nearest_size(folder, full, capsys):
    fewer = {key: value for key, value in full.items() if ".layers.1." not in key}
    fewer = {key: v for key, v in fewer.items() if "rel_pos_table_list.1." not in key}
    save(published.with_dicts(fewer), folder / "x.pt")
    assert main(["inspect", str(folder / "x.pt")]) == 0
    text = capsys.readouterr().out
    assert re.search(r"no known size, .*; nearest is nano, with \d+ keys missing", text)


@pytest.mark.parametrize("to", ["native", "hf"])
def test_inspect_reads_folders(folder, full, to, capsys):
    save(published.with_dicts(full), folder / "x.pt")
    convert(folder / "x.pt", folder / "out", to)
    assert main(["inspect", str(folder / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["size"], found["info"]["task"]) == ("nano", "vqa")


def test_inspect_names_weights_that_are_no_numbers(tmp_path, capsys):
    """In every form, and in the moving average, which is what would be loaded."""
    stored = small_checkpoint()
    weights = {key: value.clone() for key, value in stored.weights.items()}
    weights["encoder.layers.1.fc1.weight"][0, :3] = float("nan")
    weights["encoder.embed_tokens.weight"][5, 1] = -float("inf")
    wanted = {
        "encoder.embed_tokens.weight": {"nan": 0, "inf": 1},
        "encoder.layers.1.fc1.weight": {"nan": 3, "inf": 0},
    }
    damaged = replace(stored, weights={key: weights[key] for key in sorted(weights)})
    for path in write_all(damaged, tmp_path).values():
        assert main(["inspect", str(path), "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["not_finite"] == wanted
        assert main(["inspect", str(path)]) == 1
        out = capsys.readouterr().out
        assert "encoder.layers.1.fc1.weight: 3 NaN, 0 infinite" in out
        assert "NaN or infinite values in 2 keys, first encoder.embed_tokens.weight" in out
    extra = {"ema": dict(weights), "train_iterator": {"epoch": 1}}
    extra[KEY] = embed(stored.description, pack(stored.vocabulary))
    torch.save(run_state(stored, extra_state=extra), tmp_path / "checkpoint_best.pt")
    assert main(["inspect", str(tmp_path / "checkpoint_best.pt"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["not_finite"]
    assert found == {f"average: {key}": counts for key, counts in wanted.items()}
    torch.save(run_state(stored), tmp_path / "checkpoint_best.pt")
    stored.vocabulary.save(tmp_path / "vocabulary")
    assert inspect_checkpoint(tmp_path / "checkpoint_best.pt").not_finite == {}


def test_inspect_refuses_what_is_no_checkpoint(tmp_path):
    for content in (b"", b"hello", b"PK\x03\x04"):
        (tmp_path / "x.pt").write_bytes(content)
        with pytest.raises(BiomedGPTError, match=r"x\.pt") as info:
            inspect_checkpoint(tmp_path / "x.pt")
        assert "\n" not in str(info.value)
