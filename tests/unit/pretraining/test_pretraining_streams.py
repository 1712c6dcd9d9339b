"""Examples of every kind of stream, made of phantoms."""

import io
import json
import pickle
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pretraining_data import write_codes_of

from biomedgpt.cli.main import main
from biomedgpt.data.phantom_releases.corpora import FIELDS, write_phantom_corpora
from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.errors import ConfigError, DataError, VocabularyError
from biomedgpt.loss import LossConfig, SequenceLoss
from biomedgpt.model import BiomedGPT, preset
from biomedgpt.pretraining.batches import PretrainingExamples
from biomedgpt.pretraining.run_file import PretrainingConfig
from biomedgpt.vocabulary import Vocabulary

SIZE = 64


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom corpora") / "out"
    write_phantom_corpora(out, train=40, valid=6, size=SIZE, num_codes=32)
    write_codes_of(out / "images", num_codes=32)
    return out


def open_examples(folder: Path, split: str = "train", text: str | None = None) -> Any:
    path = folder / "pretraining.toml"
    if text is not None:
        path = folder / "other.toml"
        path.write_text(text)
    config = PretrainingConfig.load(path)
    return PretrainingExamples(config, Vocabulary.load(folder / "vocabulary"), split)


@pytest.fixture(scope="module")
def examples(corpora: Path) -> Any:
    return open_examples(corpora)


def read(examples: Any, ids: Any) -> str:
    """Text of ids, with bins as their numbers."""
    vocabulary = examples.vocabulary
    words = []
    for i in map(int, ids):
        if i == vocabulary.mask:
            words.append("<mask>")
        elif i in vocabulary.bins:
            words.append(f"<{i - vocabulary.bins.start}>")
        else:
            words.append(vocabulary.decode_text([i]))
    return "".join(words)


def by_stream(examples: Any) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for index in range(len(examples)):
        sample = examples[index]
        found.setdefault(sample["stream"], []).append(sample)
    return found


BOX = r"<\d+><\d+><\d+><\d+>"
KIND = "(nodule|cyst|calcification)"
PATTERNS = {
    "captioning": (r"^ what does the image describe\?$", r"^ (axial|frontal) .* (lesions|sides?)$"),
    "vqa": (r"^ (which|what|is|does|on|how) .*\?$", r"^ [\w-]+$"),
    "matching": (
        r'^ (does the image describe " .* "\?|'
        r'what is the answer to question " .*\? "\. is " .* "\?)$',
        r"^ (yes|no)$",
    ),
    "grounding": (
        rf'^ which region does the text " {KIND} in the .* part " describe\?$',
        f"^{BOX}$",
    ),
    "grounded_captioning": (
        rf"^ what does the region describe\? region:{BOX}$",
        rf"^ {KIND} in the .* part$",
    ),
    "mlm": (r'^ what is the complete text of ".*<mask>.* "\?$', r"^ (axial|frontal) [^<]*\.$"),
    "mim": (r"^ what is the image in the middle part\?$", r"^$"),
    "detection": (r"^ what are the objects in the image\?$", rf"^({BOX} {KIND})+$"),
}


def test_instructions_and_targets_of_all_streams(examples: Any) -> None:
    found = by_stream(examples)
    assert found.keys() == PATTERNS.keys()
    for kind, (source, target) in PATTERNS.items():
        for sample in found[kind]:
            ids = sample["source"].tolist()
            assert (ids[0], ids[-1]) == (examples.vocabulary.bos, examples.vocabulary.eos)
            assert re.search(source, read(examples, ids[1:-1])), read(examples, ids)
            assert re.search(target, read(examples, sample["target"])), kind
            assert sample["prev_output_tokens"].tolist()[1:] == sample["target"].tolist()[:-1]
            assert (sample["image"] is None) == (kind == "mlm")
            assert sample["code"] == (kind == "mim")


def test_an_epoch_holds_each_row_once_in_the_proportions_asked_for(examples: Any) -> None:
    identities = [examples.identity(i) for i in range(len(examples))]
    assert len(set(identities)) == len(identities)
    families = Counter(examples.streams[stream].family for stream, _ in identities)
    unit = families["detection"]
    assert families["vision_language"] == pytest.approx(8 * unit, abs=5)
    assert families["text"] == pytest.approx(2 * unit, abs=2)
    assert families["image"] == pytest.approx(unit, abs=1)


def test_an_example_depends_on_seed_epoch_and_row_only(corpora: Path) -> None:
    first, second = open_examples(corpora), open_examples(corpora)
    second.set_epoch(5)
    second.set_epoch(1)
    second = pickle.loads(pickle.dumps(second))  # as in a worker
    for index in (7, 3, 11):
        assert first[index]["source"].tolist() == second[index]["source"].tolist()
        assert first[index]["target"].tolist() == second[index]["target"].tolist()
    valid = open_examples(corpora, "valid")
    before = [valid[i]["source"].tolist() for i in range(len(valid))]
    valid.set_epoch(2)
    assert [valid[i]["source"].tolist() for i in range(len(valid))] == before


def test_matching_is_half_yes_and_negatives_are_of_other_rows(examples: Any) -> None:
    stream = next(one for one in examples.streams if one.kind == "matching")
    answers: Counter[str] = Counter()
    hard: Counter[bool] = Counter()
    for row in range(len(stream)):
        split, number = stream._find(row)
        own = split[number]
        for draw in range(3):
            sample = stream.sample(row, np.random.default_rng((draw, row)))
            answer = read(examples, sample["target"]).strip()
            answers[answer] += 1
            source = read(examples, sample["source"])
            if split.task == "captioning":
                shown = re.search(r'describe " (.*) "\?', source)[1]
                told = own["caption"].replace("-", "")
            else:
                shown = re.search(r'is " (.*) "\?$', source)[1]
                told = own["answer"]
                if answer == "no" and own["question_type"] == "PRES":
                    hard[shown in ("yes", "no")] += 1  # of the same type of question
            assert (shown == told) == (answer == "yes")
    assert hard[True] > 0.9 * hard.total()
    assert answers["yes"] == pytest.approx(answers["no"], rel=0.25)


def test_boxes_survive_the_resize(examples: Any) -> None:
    stream = next(one for one in examples.streams if one.kind == "grounding")
    for row in range(10):
        split, number = stream._find(row)
        bins = stream.sample(row, np.random.default_rng(0))["target"].tolist()[:-1]
        # All bins stand for 512 pixels, as in the reference; the image has fewer.
        box = examples.vocabulary.decode_box(bins, width=512, height=512)
        assert box == pytest.approx(json.loads(split.text("box", number)), abs=512 / 999)


def test_location_bins_can_be_spread_over_the_image(corpora: Path) -> None:
    text = 'image_size = 96\nmax_image_size = 96\n[streams.grounding]\ndata = "grounding"'
    stream = open_examples(corpora, text=text + "\n", split="valid").streams[0]
    bins = stream.sample(0, np.random.default_rng(0))["target"].tolist()[:-1]
    box = stream.vocabulary.decode_box(bins, width=SIZE, height=SIZE)
    assert box == pytest.approx(json.loads(stream.splits[0].text("box", 0)), abs=SIZE / 999)
    with pytest.raises(ConfigError, match="image_size 600 is more than max_image_size 512"):
        open_examples(corpora, text=text.replace("max_image_size = 96\n", "").replace("96", "600"))


def test_augmented_regions_still_show_what_their_boxes_say(corpora: Path, tmp_path: Path) -> None:
    """A white rectangle on black is found again where the bins say it is."""
    image = Image.new("RGB", (120, 80))
    box = (70, 20, 100, 50)
    image.paste((255, 255, 255), box)
    file = io.BytesIO()
    image.save(file, format="PNG")
    Vocabulary.load(corpora / "vocabulary").save(tmp_path / "vocabulary")
    for kind, fields in {
        "grounding": {"phrase": "white", "box": json.dumps(box)},
        "detection": {"objects": json.dumps([{"box": box, "label": "white"}])},
    }.items():
        facts = DatasetFacts(kind, kind, "generated", "CC0-1.0", fields=FIELDS[kind])
        row = Row({"id": "0", "image_name": "0.png"} | fields, file.getvalue(), "x")
        write_dataset(tmp_path / kind, facts, {"train": [row], "valid": [row]})
    streams = "".join(f'[streams.{kind}]\ndata = "{kind}"\n' for kind in ("grounding", "detection"))
    settings = f"image_size = {SIZE}\nmax_image_size = {SIZE}\n"
    found: dict[str, set[tuple[float, ...]]] = {"grounding": set(), "detection": set()}
    for stream in open_examples(tmp_path, text=settings + streams).streams:
        for seed in range(30):
            sample = stream.sample(0, np.random.default_rng(seed))
            bins = sample["target"].tolist()[:4]
            box_seen = stream.vocabulary.decode_box(bins, width=SIZE, height=SIZE)
            lit = np.argwhere(sample["image"][0].numpy() > 0)  # (pixels, 2): y, x
            edges = (*lit.min(0)[::-1], *(lit.max(0)[::-1] + 1))
            assert box_seen == pytest.approx(edges, abs=1.5)
            found[stream.kind].add(box_seen)
    assert all(len(boxes) > 20 for boxes in found.values())
    # Validation shows the images as they are.
    for stream in open_examples(tmp_path, "valid", text=settings + streams).streams:
        bins = stream.sample(0, np.random.default_rng(3))["target"].tolist()[:4]
        seen = stream.vocabulary.decode_box(bins, width=120, height=80)
        assert seen == pytest.approx(box, abs=0.1)


def test_an_augmented_pair_changes_with_the_epoch_only(corpora: Path) -> None:
    text = f'image_size = {SIZE}\n[streams.captioning]\ndata = "captioning"\n'
    first, again = (open_examples(corpora, text=text).streams[0] for _ in range(2))
    plain = open_examples(corpora, text="augment = false\n" + text).streams[0]
    images = [
        stream.sample(3, np.random.default_rng(seed))["image"]
        for stream, seed in ((first, 1), (again, 1), (first, 2), (plain, 1))
    ]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    assert not torch.equal(images[0], images[3])
    assert torch.equal(images[3], plain.sample(3, np.random.default_rng(2))["image"])
    with pytest.raises(ConfigError, match="augment must be true or false, not 'strong'"):
        open_examples(corpora, text='augment = "strong"\n' + text)


def test_the_middle_of_a_masked_image_is_blank_and_its_codes_are_the_target(examples: Any) -> None:
    stream = next(one for one in examples.streams if one.kind == "mim")
    sample = stream.sample(4, np.random.default_rng(0))
    image = sample["image"]
    assert (image[:, 16:48, 16:48] == 0).all()
    assert (image[:, :16] != 0).any()
    codes = examples.vocabulary.decode_codes(sample["target"].tolist()[:-1])
    assert codes == stream._codes[stream.splits[0].path].middle(4)


def test_detection_lists_objects_in_changing_order(examples: Any) -> None:
    stream = next(one for one in examples.streams if one.kind == "detection")
    objects = [json.loads(text) for text in stream.splits[0].column("objects")]
    row = next(i for i, found in enumerate(objects) if len(found) == 3)
    orders = {
        read(examples, stream.sample(row, np.random.default_rng(i))["target"]) for i in range(30)
    }
    assert len(orders) == 6
    assert len({len(text) for text in orders}) <= 2


def long_text_corpus(folder: Path, words: int) -> None:
    facts = DatasetFacts("long", "text", "generated", "CC0-1.0", fields=("id", "text"))
    text = " ".join(f"word{i}" for i in range(words))
    write_dataset(folder, facts, {"train": [Row({"id": "1", "text": text})]})


def test_long_texts_are_cut_to_the_limit_anywhere(corpora: Path, tmp_path: Path) -> None:
    long_text_corpus(tmp_path / "long", 600)
    Vocabulary.load(corpora / "vocabulary").save(tmp_path / "vocabulary")
    examples = open_examples(
        tmp_path, text='max_source_tokens = 100\n[streams.mlm]\ndata = "long"\n'
    )
    starts = set()
    for epoch in range(1, 40):
        examples.set_epoch(epoch)
        sample = examples[0]
        assert len(sample["source"]) <= 100
        text = read(examples, sample["target"])
        numbers = [int(n) for n in re.findall(r"word(\d+)\b", text)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        starts.add(numbers[0])
    assert len(starts) > 20


def test_a_batch_is_in_parts_and_weighs_pairs_as_the_reference(examples: Any) -> None:
    samples = [examples[i] for i in range(40)]
    batch = examples.collate(samples)
    pairs, codes, texts = batch["parts"]
    assert texts["net_input"]["patch_images"] is None
    assert pairs["net_input"]["sample_patch_num"] == 196
    assert "sample_patch_num" not in codes["net_input"]
    assert codes["net_input"]["code_masks"].all()
    assert batch["nsentences"] == 40 == sum(part["nsentences"] for part in batch["parts"])
    # Every stream is named in every part.
    for part in batch["parts"]:
        assert list(part["groups"]) == [stream.kind for stream in examples.streams]
        assert sum(map(len, part["groups"].values())) == part["nsentences"] == len(part["where"])
    # The weighted sum of a loss of one per token: 1 for the pairs, 2 for the rest.
    weights = dict.fromkeys(("pair", "other"), 0.0)
    for part in batch["parts"]:
        lengths = part["target"].ne(examples.vocabulary.pad).sum(1)
        for kind, rows in part["groups"].items():
            family = next(s.family for s in examples.streams if s.kind == kind)
            name = "pair" if family == "vision_language" else "other"
            weights[name] += float((part["conf"] * lengths)[rows].sum())
    assert weights == pytest.approx({"pair": 1.0, "other": 2.0})


def test_losses_by_example_add_up(examples: Any) -> None:
    model = BiomedGPT(preset("nano", vocab_size=len(examples.vocabulary), code_image_size=32))
    loss = SequenceLoss(LossConfig(), pad=examples.vocabulary.pad)
    for part in examples.collate([examples[i] for i in range(16)])["parts"]:
        output = loss(model.eval(), part)
        assert output.example_nll.shape == (part["nsentences"],)
        weighted = (output.example_nll * part["conf"]).sum().detach()
        assert float(weighted) == pytest.approx(output.loss.item(), rel=1e-4)


# Phantoms as corpora


def test_phantom_corpora_are_sound(corpora: Path) -> None:
    for kind in FIELDS:
        assert check_dataset(corpora / kind).problems == []
    phrases = PreparedDataset(corpora / "grounding").split("train")
    names = list(zip(phrases.column("image_name"), phrases.column("phrase"), strict=True))
    assert len(set(names)) == len(names)  # no phrase fits two regions of an image


def test_phantom_corpora_do_not_replace_what_they_are_not(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"is not empty and not a folder with pretraining\.toml"):
        write_phantom_corpora(tmp_path, train=1, valid=1, overwrite=True)
    with pytest.raises(ConfigError, match="0 phantoms for valid"):
        write_phantom_corpora(tmp_path / "x", train=1, valid=0)


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare = ["data", "prepare", "phantoms-pretraining", "--out", str(tmp_path / "x")]
    assert main([*prepare, "--images", "8", "4", "0", "--image-size", "48"]) == 0
    assert re.search(r"^captioning +8 +4$", capsys.readouterr().out, re.MULTILINE)
    assert PretrainingConfig.load(tmp_path / "x" / "pretraining.toml").image_size == 48
    assert main([*prepare, "--raw", str(tmp_path)]) == 1
    assert "are generated: leave out --raw" in capsys.readouterr().err


# What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[streams.vqa]\ndata = "captioning"',
            r"streams\.vqa\.data: .* holds 'captioning', not vqa",
        ),
        ('[streams.mlm]\ndata = "nothing"', "nothing is not a prepared dataset"),
        ('[streams.mim]\ndata = "captioning"', r"biomedgpt vqgan encode"),
        ('examples_per_epoch = 9999\n[streams.mlm]\ndata = "text"', r"toml: .*at most 40"),
        ('[weights]\ntext = 0\n[streams.mlm]\ndata = "text"', "all weights are zero"),
        (
            '[streams.vqa]\ndata = "vqa"\nweight = 1\n[streams.captioning]\ndata = "captioning"',
            "weight to all streams of the family vision_language",
        ),
    ],
)
def test_data_that_do_not_fit_are_refused(corpora: Path, text: str, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        open_examples(corpora, text=text)
    assert "\n" not in str(caught.value)


def test_a_box_outside_its_image_is_named_with_file_and_row(corpora: Path, tmp_path: Path) -> None:
    source = PreparedDataset(corpora / "grounding").split("train")
    row = source[0]
    image = row.pop("image")
    facts = DatasetFacts("g", "grounding", "generated", "CC0-1.0", fields=FIELDS["grounding"])
    write_dataset(
        tmp_path / "g", facts, {"train": [Row(row | {"box": "[10, 10, 20, 65]"}, image, "x")]}
    )
    Vocabulary.load(corpora / "vocabulary").save(tmp_path / "vocabulary")
    examples = open_examples(tmp_path, text='[streams.grounding]\ndata = "g"')
    message = r"g/train\.h5: row 1: box: box \[10, 10, 20, 65\] reaches out of its image of 64 x 64"
    with pytest.raises(DataError, match=message):
        examples[0]


def test_codes_of_more_than_the_vocabulary_are_refused(corpora: Path, tmp_path: Path) -> None:
    text = f'[streams.mim]\ndata = "{corpora / "images"}"\n'
    Vocabulary.train_sentencepiece([" a"], size=300, num_codes=8).save(tmp_path / "vocabulary")
    with pytest.raises(VocabularyError, match="32 image codes, the vocabulary has 8"):
        open_examples(tmp_path, text=text)
