"""From rows to tensors."""

import io
import json
import pickle

import pytest
import torch
from PIL import Image

from biomedgpt.errors import ConfigError, DataError
from biomedgpt.examples.example_encoder import Candidates, ExampleEncoder, collate
from biomedgpt.loss import UNCONSTRAINED
from biomedgpt.tasks import get_task
from biomedgpt.vocabulary import Vocabulary

TEXTS = [" is the lung normal? yes", " which organ is this? left lung", " no mass object: CHEST"]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.train_sentencepiece(TEXTS, size=320, num_codes=2, num_bins=2)


def png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), colour).save(buffer, "PNG")
    return buffer.getvalue()


def row(**changes: object) -> dict:
    return {
        "id": "q1",
        "question": "Is the lung normal?",
        "answer": "left lung",
        "answer_type": "OPEN",
        "question_type": "PRES",
        "object": "CHEST",
        "references": "",
        "image": png((255, 255, 255)),
    } | changes


def encoder(vocabulary: Vocabulary, *, prompt: str = "prev_output", **options: object):
    task = get_task("vqa").with_(prompt_type=prompt)
    return ExampleEncoder(vocabulary, task, image_size=32, **options)


@pytest.mark.parametrize("prompt", ["none", "prev_output", "src"])
def test_decoder_input_and_target_follow_the_prompt_type(
    vocabulary: Vocabulary, prompt: str
) -> None:
    sample = encoder(vocabulary, prompt=prompt)(row())
    source = [0, *vocabulary.encode_text(" is the lung normal?"), 2]
    answer = vocabulary.encode_text(" left lung")
    given = {"none": [0], "prev_output": source[:-1], "src": source}[prompt]
    assert sample["source"].tolist() == source
    assert sample["prev_output_tokens"].tolist() == given + answer
    assert sample["prefix"].tolist() == given[1:]
    # Loss on the answer and </s> only.
    assert sample["target"].tolist() == [1] * (len(given) - 1) + [*answer, 2]


def test_constraint_nodes_allow_each_next_token(vocabulary: Vocabulary) -> None:
    answers = ["left lung", "yes", "left"]
    task = get_task("vqa")
    candidates = Candidates.encode(vocabulary, task, answers)
    encode = encoder(vocabulary, candidates=candidates)
    for answer in answers:
        sample = encode(row(answer=answer))
        counts = sample["target"].ne(1)
        allowed = candidates.trie.allowed(sample["constraint_nodes"][counts])
        columns = torch.searchsorted(candidates.trie.ids, sample["target"][counts])
        assert allowed[torch.arange(len(columns)), columns].all()
        assert sample["constraint_nodes"][~counts].eq(UNCONSTRAINED).all()
    stranger = row(answer="no mass")
    assert not encode.measure(stranger).candidate
    assert encode(stranger)["constraint_nodes"].eq(UNCONSTRAINED).all()


def test_candidates_longer_than_the_limit_are_refused(vocabulary: Vocabulary) -> None:
    task = get_task("vqa").with_(max_target_tokens=1)
    with pytest.raises(ConfigError, match=r"'left lung'.*--max-tgt-length"):
        Candidates.encode(vocabulary, task, ["yes", "left lung"])
    with pytest.raises(ConfigError, match="--unconstrained"):
        Candidates.encode(vocabulary, task, [])


def test_measure_tells_lengths_and_what_would_be_cut(vocabulary: Vocabulary) -> None:
    sample = encoder(vocabulary)(row())
    measure = encoder(vocabulary).measure(row())
    assert (measure.source, measure.target) == (
        len(sample["source"]),
        len(sample["prev_output_tokens"]),
    )
    assert measure.problem is None
    long = row(question="is " * 81)
    assert "more than 80 words" in str(encoder(vocabulary).measure(long).problem)
    unspaced = row(question="左肺有肿块吗" * 20)
    assert "more than 80 characters" in str(encoder(vocabulary).measure(unspaced).problem)
    tight = encoder(vocabulary, prompt="none", max_source_tokens=5)
    assert "the 5 tokens that fit" in str(tight.measure(row()).problem)
    assert len(tight(row())["source"]) == 5


def test_images_are_normalised_and_can_be_blanked(vocabulary: Vocabulary) -> None:
    image = encoder(vocabulary)(row())["image"]
    assert image.shape == (3, 32, 32)
    assert image.eq(1).all()
    blank = encoder(vocabulary, blank_images=True)(row())["image"]
    assert blank.shape == (3, 32, 32)
    assert blank.eq(0).all()


def test_a_damaged_image_names_its_row(vocabulary: Vocabulary) -> None:
    with pytest.raises(DataError, match="'q1'"):
        encoder(vocabulary)(row(image=png((0, 0, 0))[:40]))


def test_collate_pads_masks_and_weighs(vocabulary: Vocabulary) -> None:
    encode = encoder(vocabulary)
    references = json.dumps([{"answer": "yes", "confidence": 0.5}])
    no_image = {name: value for name, value in row(id="q2").items() if name != "image"}
    batch = collate([encode(row()), encode(no_image | {"references": references})], pad=1)
    inputs = batch["net_input"]
    assert batch["nsentences"] == 2
    assert batch["ntokens"] == int(batch["target"].ne(1).sum())
    assert inputs["src_tokens"].shape == (2, len(encode(row())["source"]))
    assert batch["target"].shape == inputs["prev_output_tokens"].shape
    assert inputs["patch_masks"].tolist() == [True, False]
    assert inputs["patch_images"][1].eq(0).all()
    assert batch["conf"].tolist() == [1.0, 0.5]
    assert [example["id"] for example in batch["examples"]] == ["q1", "q2"]
    assert collate([encode(row())], pad=1)["conf"] is None


def test_a_batch_without_images_has_no_patches(vocabulary: Vocabulary) -> None:
    no_image = {name: value for name, value in row().items() if name != "image"}
    inputs = collate([encoder(vocabulary)(no_image)], pad=1)["net_input"]
    assert inputs["patch_images"] is None
    assert inputs["patch_masks"] is None


def test_encoder_can_be_sent_to_workers(vocabulary: Vocabulary) -> None:
    candidates = Candidates.encode(vocabulary, get_task("vqa"), ["left lung", "yes"])
    encode = encoder(vocabulary, candidates=candidates)
    copy = pickle.loads(pickle.dumps(encode))
    assert copy(row())["constraint_nodes"].equal(encode(row())["constraint_nodes"])


@pytest.mark.parametrize("prompt", ["none", "prev_output", "src"])
@pytest.mark.parametrize("positions", [30, 100, 1024])
def test_a_question_that_fills_the_positions_leaves_room_for_the_answer(
    vocabulary: Vocabulary, prompt: str, positions: int
) -> None:
    """One without spaces, too, of which few words are many tokens."""
    task = get_task("vqa").with_(prompt_type=prompt, max_target_tokens=8, max_source_words=9999)
    encode = ExampleEncoder(vocabulary, task, image_size=32, max_source_tokens=positions)
    for question in ("左肺有肿块吗" * 200, "is the lung normal " * 200):
        long = row(question=question * 2, answer="left lung")
        sample = encode(long)
        assert len(sample["source"]) <= positions
        assert len(sample["target"]) == len(sample["prev_output_tokens"]) <= positions
        assert sample["target"].tolist()[-1] == 2
        assert sample["target"].ne(1).sum() == len(encode.encode_target(long)[0]) + 1
        fitting = len(sample["source"])
        said = f"source has more than the {fitting} tokens that fit"
        assert encode.measure(long).problem == said
