"""Asking a model from Python: one or many, every task, and what makes no sense."""

import json

import numpy as np
import pytest
import torch
from data_samples import encoded
from inference_samples import picture, write_checkpoint
from vqgan_samples import small_tokenizer

import biomedgpt
from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row
from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import BiomedGPTError, ConfigError
from biomedgpt.generation import generate, score_candidates
from biomedgpt.inference.degenerate import find_loop, find_problems
from biomedgpt.inference.engine import calibrate
from biomedgpt.pretraining.grounding import find_boxes
from biomedgpt.tasks import TASKS, pretraining_instructions


@pytest.fixture(scope="module")
def general(tmp_path_factory):
    """A pretrained model."""
    return biomedgpt.load(write_checkpoint(tmp_path_factory.mktemp("c") / "general"))


@pytest.fixture(scope="module")
def vqa(tmp_path_factory):
    """A model with candidate answers."""
    folder = tmp_path_factory.mktemp("c") / "vqa"
    answers = ("yes", "no", "left lung", "right", "normal", "fever")
    return biomedgpt.load(write_checkpoint(folder, task="vqa", answers=answers))


def closed(tmp_path, task, answers, **info):
    return biomedgpt.load(write_checkpoint(tmp_path / task, task=task, answers=answers, **info))


# Images and lists


def test_every_form_of_an_image_gives_the_same_answer(vqa, tmp_path):
    image = picture()
    image.save(tmp_path / "x.png")
    forms = [
        *(image, np.asarray(image), tmp_path / "x.png", str(tmp_path / "x.png")),
        (tmp_path / "x.png").read_bytes(),
    ]
    results = [vqa.answer(form, "is there a lesion?") for form in forms]
    assert all(result == results[0] for result in results)
    assert results[0].text in vqa.checkpoint.info.answers
    together = vqa.answer(forms, "is there a lesion?")
    assert [one.text for one in together] == [results[0].text] * len(forms)


def test_lists_are_answered_in_order_and_by_length(vqa):
    questions = [
        "is there a lesion in the left lung of the patient?",
        "lesion?",
        "what is the region?",
        "does the text describe the left lung?",
    ] * 5
    images = [picture(seed, size=(20 + seed, 60 - seed)) for seed in range(20)]
    together = vqa.answer(images, questions)
    alone = [vqa.answer(*pair) for pair in zip(images, questions, strict=True)]
    assert [one.text for one in together] == [one.text for one in alone]
    assert [one.score for one in together] == pytest.approx([one.score for one in alone], abs=1e-4)
    queries = [
        vqa.query_builder.query("vqa", {"image": image, "question": question})
        for image, question in zip(images, questions, strict=True)
    ]
    batches = vqa.engine.batches(queries)
    assert sorted(row for rows in batches for row in rows) == list(range(20))
    assert max(map(len, batches)) == vqa.engine.batch_size
    lengths = [[len(queries[row].source) for row in rows] for rows in batches]
    assert [max(one) for one in lengths[:-1]] <= [min(one) for one in lengths[1:]]


def test_one_of_two_inputs_may_be_shared(vqa):
    image = picture()
    questions = ["lesion?", "is there a fever?"]
    assert vqa.answer(image, questions) == vqa.answer([image, image], questions)
    assert len(vqa.answer([image, picture(1), picture(2)], "lesion?")) == 3
    assert vqa.answer([], []) == []
    with pytest.raises(ConfigError, match="2 of image and 3 of question"):
        vqa.answer([image, image], ["a", "b", "c"])


# Answers, their scores and probabilities


def test_answers_are_searched_as_in_the_evaluation(vqa):
    query = vqa.query_builder.query("vqa", {"image": picture(), "question": "Is there a lesion?"})
    question = vqa.vocabulary.encode_text(" is there a lesion?")
    assert query.source == [0, *question, 2]
    assert query.prompt == [0, *question]  # the prompt of the task, prev_output
    result = vqa.answer(picture(), "Is there a lesion?")
    candidates = vqa.engine.candidates(vqa.checkpoint.info.answers)
    inputs = {
        "src_tokens": torch.tensor([query.source]),
        "patch_images": query.pixels[None],
        "patch_masks": torch.tensor([True]),
    }
    prefix = torch.tensor([question])
    best = generate(
        vqa.checkpoint.model,
        inputs,
        config=TASKS["vqa"].decoding,
        prefix_tokens=prefix,
        trie=candidates.trie,
    )[0]
    assert result.text == vqa.vocabulary.decode_text(best[0].tokens.tolist()).strip()
    assert result.score == pytest.approx(best[0].score)
    scores = score_candidates(vqa.checkpoint.model, inputs, candidates.trie, prefix_tokens=prefix)[
        0
    ]
    probabilities = dict(zip(candidates.answers, scores.exp().tolist(), strict=True))
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert result.probability == pytest.approx(probabilities[result.text], rel=1e-4)
    assert result.alternatives[0].probability <= result.probability
    for other in result.alternatives:
        assert other.probability == pytest.approx(probabilities[other.text], rel=1e-4)


def test_given_candidates_are_all_compared(vqa, general):
    for model in (vqa, general):
        result = model.answer(picture(), "lesion?", candidates=["Normal", "pneumonia", "fever"])
        found = [(result.text, result.probability)]
        found += [(one.text, one.probability) for one in result.alternatives]
        assert {text for text, _ in found} == {"Normal", "pneumonia", "fever"}
        assert sum(p for _, p in found) == pytest.approx(1)
        assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
        assert not result.calibrated


def test_free_text_has_the_probability_of_its_sequence(general):
    result = general.caption(picture())
    assert 0 < result.probability < 1
    assert result.score < 0
    assert result.text not in [one.text for one in result.alternatives]
    assert result.alternatives


def test_calibration_changes_probabilities_and_no_answer(tmp_path):
    answers = ("yes", "no", "left lung", "normal")
    plain = biomedgpt.load(write_checkpoint(tmp_path / "a", task="vqa", answers=answers))
    warm = biomedgpt.load(
        write_checkpoint(
            tmp_path / "b", task="vqa", answers=answers, calibration={"temperature": 3.0}
        )
    )
    for seed in range(4):
        before, after = (m.answer(picture(seed), "lesion?") for m in (plain, warm))
        assert after.text == before.text
        assert after.score == pytest.approx(before.score)
        assert (before.calibrated, after.calibrated) == (False, True)
        scores = torch.tensor(
            [before.probability, *(one.probability for one in before.alternatives)]
        ).log()
        assert len(scores) == 4
        assert after.probability == pytest.approx(calibrate(scores, 3.0)[0].item(), rel=1e-3)
    # Fitted for the checkpoint's own answers, and for nothing else.
    assert warm.answer(picture(), "lesion?", candidates=list(answers)).calibrated
    assert not warm.answer(picture(), "lesion?", candidates=["a", "b"]).calibrated
    assert not warm.classify(picture(), list(answers)).calibrated


# The tasks


def test_classes_are_the_checkpoints_own_or_given(tmp_path, general):
    model = closed(tmp_path, "classification", ("normal", "pneumonia"))
    result = model.classify(picture())
    assert {result.text, result.alternatives[0].text} == {"normal", "pneumonia"}
    assert result.probability + result.alternatives[0].probability == pytest.approx(1)
    assert model.classify(picture(), ["pneumonia", "normal"]).text == result.text
    assert model.classify(picture(), ["Pneumonia", "Normal"]).text == result.text.capitalize()
    assert len(general.classify([picture(), picture(1)], ["a", "b", "c"])) == 2
    with pytest.raises(ConfigError, match="give them"):
        general.classify(picture())


def test_entailment_answers_with_the_words_of_the_reference(general, tmp_path):
    result = general.entails("the patient has fever", "the patient is ill")
    found = {result.text, *(one.text for one in result.alternatives)}
    assert found == {"yes", "no", "maybe"}
    own = closed(tmp_path, "entailment", ("entailment", "contradiction"))
    assert own.entails("a", "b").text in ("entailment", "contradiction")
    assert own.query_builder.task("entailment").prompt_type == "src"
    assert len(general.entails("the patient has fever", ["he is ill", "he is well"])) == 2


def test_options_are_chosen_by_their_text(general):
    result = general.choose("which side?", ["Left lung", "Right", "Neither"], context="the left")
    assert result.text in ("Left lung", "Right", "Neither")
    assert len(result.alternatives) == 2
    query = general.query_builder.query(
        "question_answering", {"question": "which side?", "options": ["Left lung", "Right"]}
    )
    text = general.vocabulary.decode_text(query.source)
    assert text.endswith("options: a) left lung b) right")
    assert query.output.answers == ("a", "b")
    several = general.choose(["which?", "why?"], [["a", "b", "c"], ["d", "e"]])
    assert several[0].text in "abc"
    assert several[1].text in "de"
    assert len(general.choose(["which?", "why?"], ["left", "right"])) == 2
    with_image = general.choose("which side?", ["left", "right"], image=picture())
    assert with_image.text in ("left", "right")
    assert with_image.probability + with_image.alternatives[0].probability == pytest.approx(1)


def test_options_that_are_the_answers_of_the_training_are_asked_as_there(tmp_path):
    model = closed(tmp_path, "question_answering", ("yes", "no", "maybe"))
    query = model.query_builder.query(
        "question_answering",
        {"question": "does it help?", "options": ["yes", "no", "maybe"], "context": "it does"},
    )
    assert "options" not in model.vocabulary.decode_text(query.source)
    assert query.output.answers == ("yes", "no", "maybe")
    assert model.choose("does it help?", ["yes", "no"], context="it does").text in ("yes", "no")


def test_summaries_follow_the_task(general):
    query = general.query_builder.query("summarization", {"source": "The patient has no FEVER"})
    text = general.vocabulary.decode_text(query.source)
    assert text.strip() == 'what is the summary of article " the patient has no fever "?'
    assert query.output.decoding == TASKS["summarization"].decoding
    assert len(general.summarize(["a text", "the patient has a lesion in the left lung"])) == 2


def test_decoding_and_options_come_from_the_checkpoint(tmp_path):
    model = biomedgpt.load(
        write_checkpoint(
            tmp_path / "c",
            task="summarization",
            task_options={"max_source_words": 3},
            decoding=GenerationConfig(beam=2, max_len=4),
        )
    )
    result = model.summarize("the patient has a lesion in the left lung")
    assert "only the first 3 words of the text were read" in result.warnings
    query = model.query_builder.query("summarization", {"source": "the patient has a lesion"})
    assert query.output.decoding == GenerationConfig(beam=2, max_len=4)
    assert model.query_builder.query("captioning", {"image": picture()}).output.decoding.beam == 10


def test_boxes_are_pixels_of_the_given_image(general):
    image = picture(size=(80, 20))
    result = general.ground(image, "a lesion")
    if result.boxes:
        x0, y0, x1, y1 = result.boxes[0]
        assert 0 <= x0 < x1 <= 80
        assert 0 <= y0 < y1 <= 20
        assert json.loads(result.text) == pytest.approx(list(result.boxes[0]), abs=1e-3)
    else:
        assert "enclose nothing" in result.warnings[-1]
    assert 0 < result.probability <= 1
    assert len(general.ground(image, ["a lesion", "the left lung"])) == 2


@pytest.mark.parametrize(
    ("bins", "boxes", "warning"),
    [
        # 20 bins stand for twice the side of the image: bin 19 is at 160 and 40 pixels.
        ((0, 0, 19 // 2, 19 // 2), [(0, 0, 9 * 160 / 19, 9 * 40 / 19)], None),
        ((2, 2, 19, 5), [(2 * 160 / 19, 2 * 40 / 19, 80, 5 * 40 / 19)], "cut at its border"),
        ((5, 5, 2, 8), [], "enclose nothing"),
        ((15, 5, 19, 8), [], "enclose nothing"),
    ],
)
def test_boxes_that_make_no_sense_are_said(general, monkeypatch, bins, boxes, warning):
    from biomedgpt.generation import Hypothesis
    from biomedgpt.inference import engine

    ids = torch.tensor([general.vocabulary.bins.start + one for one in bins] + [2])
    found = [[Hypothesis(ids, -1.0, torch.full((5,), -0.2))]]
    monkeypatch.setattr(engine, "generate", lambda *_, **__: found)
    result = general.ground(picture(size=(80, 20)), "a lesion")
    assert list(result.boxes) == [pytest.approx(one) for one in boxes]
    assert (not result.warnings) if warning is None else (warning in result.warnings[-1])


def test_regions_are_described_by_their_bins(general):
    image = picture(size=(80, 20))
    query = general.query_builder.query(
        "region_captioning", {"image": image, "box": (0, 0, 80, 20)}
    )
    first = general.vocabulary.bins.start
    # The image takes the first half of the bins.
    assert query.source[-5:-1] == [first, first, first + 10, first + 10]
    assert isinstance(general.describe_region(image, (0, 0, 80, 20)).text, str)
    assert isinstance(general.describe_region(image, np.array([0, 0, 80, 20])).text, str)
    assert len(general.describe_region(image, [(0, 0, 80, 20), (1, 1, 5, 5)])) == 2


def test_any_task_is_asked_by_its_name(general):
    image = picture(size=(80, 20))
    one = general.ask("region_captioning", image=image, box=(0, 0, 80, 20))
    assert one.text == general.describe_region(image, (0, 0, 80, 20)).text
    assert (
        len(general.ask("region_captioning", image=image, box=[(0, 0, 80, 20), (1, 1, 5, 5)])) == 2
    )
    options = ["a cyst", "a nodule"]
    one = general.ask("question_answering", question="what?", context="", options=options)
    assert one.text == general.choose("what?", options).text
    two = general.ask("question_answering", question=["what?", "why?"], context="", options=options)
    assert [result.text in options for result in two] == [True, True]
    with pytest.raises(ConfigError, match="has no field 'box'"):
        general.ask("captioning", image=image, box=(0, 0, 1, 1))
    with pytest.raises(ConfigError, match="unknown task"):
        general.ask("nothing", image=image)


def test_instructions_of_regions_are_those_of_pretraining(general):
    """One piece of text or three, the ids are the same."""
    encode = general.vocabulary.encode_text
    before, after = pretraining_instructions.GROUNDING
    parts = [*encode(" " + before), *encode(" left lung"), *encode(after)]
    query = general.query_builder.query("grounding", {"image": picture(), "phrase": " left  lung "})
    assert query.source == [0, *parts, 2]


def test_images_are_drawn_by_the_tokenizer_beside_the_checkpoint(tmp_path, general):
    folder = write_checkpoint(tmp_path / "c")
    tokenizer = small_tokenizer()
    tokenizer.save(folder / "image_tokenizer")
    result = biomedgpt.load(folder).generate_image("a lesion in the left lung")
    side = 3 * tokenizer.downsampling
    assert result.image.size == (side, side)
    assert (result.text, result.warnings) == ("", ())
    tokenizer.save(tmp_path / "elsewhere")
    model = biomedgpt.load(write_checkpoint(tmp_path / "d"), image_tokenizer=tmp_path / "elsewhere")
    pictures = model.generate_image(["a lesion", "fever"])
    assert [one.image.size for one in pictures] == [(side, side)] * 2
    with pytest.raises(ConfigError, match="image_tokenizer"):
        general.generate_image("a lesion")
    with pytest.raises(BiomedGPTError, match="no image tokenizer here"):
        biomedgpt.load(folder, image_tokenizer=tmp_path)


def test_images_become_vectors(general):
    one, two = general.encode_image([picture(), picture(1)])
    assert one.shape == (general.checkpoint.model.config.embed_dim,)
    assert not torch.allclose(one, two)
    assert torch.allclose(general.encode_image(picture()), one, atol=1e-5)


def test_a_checkpoint_asked_for_something_else_says_so(vqa, general):
    assert vqa.caption(picture()).warnings[0] == (
        "the checkpoint was trained for vqa, not for captioning"
    )
    assert "not for captioning" not in str(general.caption(picture()).warnings)
    # Pretrained models were not given the question in the decoder.
    assert general.query_builder.query("vqa", {"image": picture(), "question": "a?"}).prompt == [0]


# What makes no sense


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: m.answer(None, "lesion?"), "no image; vqa needs one"),
        (lambda m: m.answer(picture(), "  "), "empty question"),
        (lambda m: m.answer(picture(), ""), "empty question"),
        (lambda m: m.answer([picture()] * 2, ["a", ""]), "input 2: empty question"),
        (lambda m: m.answer("missing.png", "a"), "missing.png"),
        (lambda m: m.answer(b"no image", "a"), "not an image"),
        (lambda m: m.answer(np.zeros((3, 3, 7)), "a"), "image"),
        (lambda m: m.answer(picture(), "a", candidates=["x"]), "two or more, not 1"),
        (lambda m: m.answer(picture(), "a", candidates="yes"), "list of texts"),
        (lambda m: m.classify(picture(), ["x", " "]), "is empty"),
        (lambda m: m.classify(picture(), ["x", "X"]), "given twice"),
        (lambda m: m.caption(None), "no image; captioning needs one"),
        (lambda m: m.summarize(" "), "empty source"),
        (lambda m: m.entails("a", ""), "empty sentence2"),
        (lambda m: m.choose("a", ["x"]), "two or more, not 1"),
        (lambda m: m.choose("a", []), "two or more"),
        (lambda m: m.choose("a", ["x", "y"], image=picture(), context="c"), "one of the two"),
        (lambda m: m.choose(["a", "b"], [["x", "y"]]), "1 lists of options for 2 questions"),
        (lambda m: m.choose("a", [str(n) for n in range(30)]), "at most 26"),
        (lambda m: m.ground(picture(), ""), "empty phrase"),
        (lambda m: m.ground(picture(), "word " * 2000), "give a shorter one"),
        (lambda m: m.describe_region(picture(), (0, 0, 500, 10)), "reaches out of its image"),
        (lambda m: m.describe_region(picture(), (5, 5, 5, 9)), "is empty"),
        (lambda m: m.describe_region(picture(), (1, 2, 3)), "four numbers"),
        (lambda m: m.generate_image(" "), "empty text"),
        (lambda m: next(m.predict("singing", [{}])), "unknown task 'singing'"),
        (lambda m: next(m.predict("summarization", [{"source": "a", "image": picture()}])), "text"),
    ],
)
def test_wrong_use_is_one_clear_error(general, ask, message):
    with pytest.raises(BiomedGPTError, match=message) as caught:
        ask(general)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "abacus"}, "device abacus cannot be used"),
        ({"dtype": "int8"}, "dtype int8 is unknown"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_loading_refuses_what_cannot_be(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        biomedgpt.load(tmp_path, **options)


def test_other_data_types_compute(tmp_path):
    folder = write_checkpoint(tmp_path / "c", task="vqa", answers=("yes", "no"))
    model = biomedgpt.load(folder, dtype="bfloat16")
    assert model.dtype is torch.bfloat16
    assert biomedgpt.load(folder).dtype is torch.float32
    assert model.answer(picture(), "lesion?").probability > 0.5
    assert isinstance(model.ground(picture(), "lesion").probability, float)


# Output that is no answer


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("no no no no", '"no" stands there 4 times'),
        ("there is a mass there is a mass there is a mass", '"there is a mass" stands there 3'),
        ("the lung. a b c d, then a b c d, and a b c d.", None),
        ("no sign of a mass, no sign of a cyst, no sign of a node", '"no sign of a"'),
        ("no no", None),
        ("there is a very very small mass in the left lung", None),
        ("", None),
    ],
)
def test_loops_of_words_are_found(text, loop):
    found = find_loop(text, [])
    assert (found is None) == (loop is None)
    assert loop is None or loop in found


def test_loops_without_spaces_are_found_by_tokens():
    assert find_loop("abab" * 9, [7, 8] * 9) == "a run of 2 tokens stands there 9 times"
    assert find_loop("1000000", [7, 8, 8, 8, 8]) is None
    assert find_loop("a b c d e", list(range(40))) is None


def test_other_problems_are_said():
    assert find_problems("yes", [5], max_len=3) == ()
    assert find_problems(" ", [], max_len=3) == ("the answer is empty",)
    assert find_problems("a b c", [5, 6, 7], max_len=3) == (
        "the answer was cut off at the limit of 3 tokens",
    )
    assert "not a number" in find_problems("", [], max_len=3, finite=False)[0]


def test_results_say_what_is_odd(tmp_path):
    """Random weights write until they are stopped."""
    model = biomedgpt.load(
        write_checkpoint(
            tmp_path / "c",
            task="captioning",
            scale=1.0,
            decoding=GenerationConfig(beam=1, max_len=9, min_len=9),
        )
    )
    result = model.caption(picture())
    assert "the answer was cut off at the limit of 9 tokens" in result.warnings
    assert result.to_dict()["warnings"] == list(result.warnings)
    for parameter in model.checkpoint.model.parameters():
        parameter.fill_(float("nan"))
    for broken in (
        model.caption(picture()),
        model.classify(picture(), ["a", "b"]),
        model.ground(picture(), "a lesion"),
    ):
        assert broken.text == ""
        assert "not a number" in broken.warnings[-1]


# Images as clinics have them


def test_dicom_files_are_images_like_others(vqa, tmp_path):
    pytest.importorskip("pydicom", minversion="3.0")
    from imaging_samples import dicom, ramp

    data = dicom(ramp(0, 200))
    path = tmp_path / "scan"  # known by its content
    path.write_bytes(data)
    result = vqa.answer(path, "is there a lesion?")
    assert result == vqa.answer(data, "is there a lesion?")
    assert result == vqa.answer(ramp(0, 200).astype(np.uint8), "is there a lesion?")


# The same as elsewhere


def test_boxes_are_those_that_grounding_is_scored_by(general, tmp_path):
    rows = [
        Row(
            {"id": f"r{n}", "phrase": "lesion " * (n + 1), "box": "[1, 2, 9, 8]", "image_name": ""},
            encoded((20 * n, 90, 200 - 20 * n), size=(24, 16)),
            f"row {n}",
        )
        for n in range(6)
    ]
    facts = DatasetFacts(
        name="g", task="grounding", source="here", licence="none", fields=tuple(rows[0].fields)
    )
    write_dataset(tmp_path / "g", facts, {"train": rows[:1], "valid": rows})
    split = PreparedDataset(tmp_path / "g").split("valid")
    settings = general.checkpoint.preprocessing
    pairs = find_boxes(
        general.checkpoint.model,
        general.vocabulary,
        split,
        image_size=settings.image_size,
        max_image_size=settings.max_image_size,
    )
    results = general.ground(
        [split[n]["image"] for n in range(6)], [split[n]["phrase"] for n in range(6)]
    )
    for result, ((x0, y0, x1, y1), _) in zip(results, pairs, strict=True):
        box = (min(x0, 1), min(y0, 1), min(x1, 1), min(y1, 1))
        if box[0] < box[2] and box[1] < box[3]:
            expected = tuple(v * s for v, s in zip(box, (24, 16, 24, 16), strict=True))
            assert result.boxes == (pytest.approx(expected),)
        else:
            assert result.boxes == ()


def test_models_tuned_on_instructions_are_asked_as_in_their_training(tmp_path):
    model = biomedgpt.load(write_checkpoint(tmp_path / "c", task="instruction"))
    query = model.query_builder.query(
        "instruction", {"image": picture(), "instruction": "Is there a lesion?"}
    )
    asked = model.vocabulary.encode_text(" is there a lesion?")
    assert query.source == [0, *asked, 2]
    assert query.prompt == [0]
    result = model.answer(picture(), "Is there a lesion?")
    assert result == model.engine.run([query])[0]
    assert not any("trained for" in one for one in result.warnings)
    # With candidates the decoder is not given the question either.
    query = model.query_builder.query(
        "vqa", {"image": picture(), "question": "a lesion?"}, answers=["yes", "no"]
    )
    assert query.prompt == [0]
