"""Instructions: dialogues in the source, cut at turns, loss on the answer only."""

import json

import pytest
import torch
from measuring import measured

from biomedgpt.data.own.own_dataset import OwnOptions, import_table
from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.errors import DataError
from biomedgpt.examples.example_encoder import ExampleEncoder, collate
from biomedgpt.tasks import RunInfo, get_task
from biomedgpt.vocabulary import Vocabulary

TURNS = [[f"Question {n}?", f"Answer - {n}."] for n in range(1, 6)]


@pytest.fixture(scope="module")
def vocabulary():
    texts = [f" question {n}? answer: Answer - {n}." for n in range(9)]
    return Vocabulary.train_sentencepiece(texts, size=300, num_codes=4, num_bins=4)


def example(turns=(), **changes):
    return {
        "id": "1-1",
        "instruction": "What  is this?",
        "history": json.dumps(turns) if turns else "",
        "answer": "A - cyst.",
        "modality": "ct",
        "image_in": "",
    } | changes


def test_source_is_what_was_said_and_then_asked():
    task = get_task("instruction")
    assert task.instruction(example()) == "what is this?"
    assert task.instruction(example(TURNS[:2])) == (
        "question 1? answer: Answer - 1. question 2? answer: Answer - 2. what is this?"
    )
    assert task.target(example()) == "A - cyst."


def test_a_question_alone_is_the_source_it_is_in_visual_question_answering():
    row = {"question": "Is there - a/the mass?", "object": "", "answer": "yes", "references": ""}
    assert get_task("vqa").instruction(row) == get_task("instruction").instruction(
        example(instruction=row["question"])
    )


@pytest.mark.parametrize("most", [200, 60, 40, 24, 16])
def test_the_oldest_turns_go_first(vocabulary, most):
    task = get_task("instruction").with_(max_source_tokens=most)
    encoder = ExampleEncoder(vocabulary, task, image_size=32)
    row = example(TURNS)
    source = encoder.encode_source(row)
    assert len(source) <= most
    text = vocabulary.decode_text(source)
    assert text.strip().endswith("what is this?")
    kept = [n for n in range(1, 6) if f"question {n}?" in text]
    assert kept == list(range(6 - len(kept), 6))  # the latest ones, whole
    assert all(f"answer: Answer - {n}." in text for n in kept)
    problem = encoder.measure(row).problem
    assert problem == (None if len(kept) == 5 else f"oldest turns left out, for {most} tokens")
    if len(kept) < 5:  # one more would not have fitted
        turns = TURNS[4 - len(kept) :]
        more = vocabulary.encode_text(" " + task.instruction(example(turns)))
        assert len(more) + 2 > most


def test_an_instruction_that_is_too_long_alone_is_cut_and_counted(vocabulary):
    task = get_task("instruction").with_(max_source_tokens=20)
    encoder = ExampleEncoder(vocabulary, task, image_size=32)
    row = example(TURNS, instruction="question 1? " * 30)
    assert len(encoder.encode_source(row)) == 20
    assert encoder.measure(row).problem == "source has more than the 20 tokens that fit"


def test_loss_is_on_the_answer_only(vocabulary):
    encoder = ExampleEncoder(vocabulary, get_task("instruction"), image_size=32)
    sample = encoder(example(TURNS))
    answer = vocabulary.encode_text(" A - cyst.")
    assert sample["target"].tolist() == [*answer, vocabulary.eos]
    assert sample["prev_output_tokens"].tolist() == [vocabulary.bos, *answer]


def test_rows_without_an_image_share_a_batch_with_others(vocabulary):
    from raw_releases.drawing import encoded

    encoder = ExampleEncoder(vocabulary, get_task("instruction"), image_size=32)
    samples = [encoder(example() | {"image": encoded(1)}), encoder(example())]
    batch = collate(samples, vocabulary.pad)
    assert batch["net_input"]["patch_masks"].tolist() == [True, False]
    assert not batch["net_input"]["patch_images"][1].any()
    assert torch.equal(batch["net_input"]["src_tokens"][0], batch["net_input"]["src_tokens"][1])


@pytest.mark.parametrize("history", ["[", '["a"]', '[["a"]]', "[[1, 2]]", '{"a": 1}', '[["a", 3]]'])
def test_a_history_of_another_form_is_named(history):
    with pytest.raises(DataError, match=r"example '1-1': history is not a JSON list like"):
        get_task("instruction").instruction(example(history=history))


def test_records_say_what_was_asked_and_scores_count_words():
    task = get_task("instruction")
    run = RunInfo(dataset="d", dataset_hash="h", split="test", decoding={}, majority={})
    records = [
        task.prediction_record(example(), text=text, score=0.0, run=run)
        for text in ("a cyst", "A - cyst", "")
    ]
    assert records[0]["instruction"] == "What  is this?"
    assert records[0]["modality"] == "ct"
    score = measured("instruct", records)
    assert score["exact"].model.value == pytest.approx(1 / 3)
    assert score["token_f1"].model.value == pytest.approx((0.8 + 1 + 0) / 3)
    assert score["token_recall"].model.value == pytest.approx((2 / 3 + 1) / 3)
    total, count = task.sums(records)["token_f1"]
    assert (total / count, count) == (pytest.approx(1.8 / 3), 3)


def test_ones_own_table_may_mix_rows_with_and_without_images(tmp_path):
    from raw_releases.drawing import encoded

    (tmp_path / "a.png").write_bytes(encoded(1))
    lines = [
        {"instruction": "Describe.", "answer": "A mass.", "image": "a.png"},
        {"instruction": "What is a cyst?", "answer": "A sac.", "image": ""},
        {"instruction": "And?", "answer": "No.", "history": '[["Is it?", "Yes."]]'},
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    options = OwnOptions(name="mine", images=tmp_path, vocabulary=False)
    tables = {"train": tmp_path / "t.jsonl"}
    import_table(tables, tmp_path / "out", task="instruction", columns={}, options=options)
    assert check_dataset(tmp_path / "out").problems == []
    lines[2]["history"] = "Is it? Yes."
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(DataError, match=r"row 3: history is not a JSON list"):
        import_table(tables, tmp_path / "o", task="instruction", columns={}, options=options)


def test_the_card_of_free_answers_lists_none_of_them(tmp_path):
    facts = DatasetFacts(
        name="n", task="instruction", source="-", licence="-", fields=tuple(example())
    )
    card = write_dataset(tmp_path / "out", facts, {"train": [Row(example())]})
    assert card.answers == []
    assert card.majority_answer == ""
    assert card.answer_coverage == {}
