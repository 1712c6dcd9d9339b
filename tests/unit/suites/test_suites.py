"""`biomedgpt evaluate`: zero-shot scores, probes, and what happens to a killed run."""

import json
from dataclasses import replace

import numpy as np
import pytest
from data_samples import FACTS, encoded, vqa_row
from inference_samples import write_checkpoint

import biomedgpt
from biomedgpt.cli import evaluate
from biomedgpt.cli.main import main
from biomedgpt.data.imaging.images import open_image
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row, Skipped
from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.suites import suite_report
from biomedgpt.suites.answering import (
    FreeAnswerer,
    UsualAnswerer,
    answer_benchmark,
    read_lines,
)
from biomedgpt.suites.perturbations import Changer, look_first, paraphrase
from biomedgpt.suites.probe import PROBES, run_probe
from biomedgpt.suites.questions import Benchmark, asked_in
from biomedgpt.suites.suite_score import gap, score_pairs, score_zero_shot
from biomedgpt.suites.zero_shot import run_zero_shot

COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250)}
FIELDS = (*FACTS.fields, "options", "modality", "pair", "role")


def colour_rows(count=30):
    """Questions about the colour of an image; in pairs that are asked about two images."""
    rows = []
    for number in range(count):
        name = list(COLOURS)[number % 3]
        claimed = list(COLOURS)[(number // 3) % 3]
        colour = tuple(min(255, part + number) for part in COLOURS[name])
        kind = number // 2 % 3
        question, answer, options = (
            (f"Is there {claimed} in the image?", "yes" if claimed == name else "no", ""),
            ("What is the colour?", name, ""),
            ("Which colour is it?", name, json.dumps(list(COLOURS))),
        )[kind]
        paired = kind == 2
        rows.append(
            vqa_row(
                number,
                image=encoded(colour),
                question=question,
                answer=answer,
                answer_type="CLOSED" if kind == 0 else "OPEN",
                question_type=("PRES", "COLOR", "CHOICE")[kind],
                references=json.dumps([{"answer": answer, "confidence": 1.0}]),
                options=options,
                modality=("ct", "mr")[number % 2],
                pair=f"pair {number // 6}" if paired else "",
                role=("first", "second")[number % 2] if paired else "",
            )
        )
    return rows


def write_colours(folder, rows=None):
    write_dataset(folder, replace(FACTS, fields=FIELDS), {"test": rows or colour_rows()})
    return folder


class Fake:
    """Answers from what it sees, or from the question alone."""

    window = 4

    def __init__(self, *, looks, letters=False, fails_after=None):
        self.looks, self.letters, self.left = looks, letters, fails_after
        self.asked = 0

    def facts(self, task):
        return {"weights": f"fake {self.looks}", "task": task}

    def query(self, changed):
        return changed

    def answer(self, queries):
        self.asked += len(queries)
        if self.left is not None and self.asked > self.left:
            raise KeyboardInterrupt
        return [(self._one(one), ()) for one in queries]

    def _one(self, changed):
        seen = "red"
        if self.looks and changed.picture is not None:
            pixels = np.asarray(open_image(changed.picture), dtype=float).mean((0, 1))
            seen = list(COLOURS)[int(pixels.argmax())] if np.ptp(pixels) > 100 else "grey"
        if changed.question.asked.kind == "yes/no":
            return "yes" if seen in changed.question.text else "no"
        if changed.question.options:
            letters = "abc" if self.letters else changed.question.options
            return letters[changed.question.options.index(seen) if seen != "grey" else 0]
        return f"It is {seen}."


@pytest.fixture
def colours(tmp_path):
    return Benchmark.open(write_colours(tmp_path / "colours"))


def ask(answerer, benchmark, out, form="real", **options):
    return answer_benchmark(answerer, benchmark, out, form=form, skipped=Skipped(), **options)


# Probes tell apart


def test_probes_separate_a_model_that_looks_from_one_that_does_not(colours, tmp_path):
    looks, blind = (
        run_probe(Fake(looks=one), [colours], tmp_path / str(one), skipped=Skipped())[0]
        for one in (True, False)
    )
    assert looks.looks is True
    assert blind.looks is False
    assert looks.real.value == 1.0
    for form in ("blank", "noise", "shuffled"):
        assert looks.images[form].gap.low > 0.2
        assert blind.images[form].gap.value == 0.0
        assert blind.images[form].gap.high == 0.0
    assert "does not show that it looks" in blind.verdict
    # One question about two images: whoever does not look gives both the same answer.
    assert (looks.pairs.all_right.value, looks.pairs.confusion.value) == (1.0, 0.0)
    assert (blind.pairs.all_right.value, blind.pairs.confusion.value) == (0.0, 1.0)
    # What both do is answer alike in other words.
    for one in (looks, blind):
        assert one.consistency["paraphrase"].agreement.value == 1.0
        assert one.consistency["options"].agreement.value == 1.0
        assert one.consistency["options"].agreement.n == 10


def test_a_model_that_always_takes_the_first_option_is_not_stable(colours, tmp_path):
    first = Fake(looks=True, letters=True)
    first._one = lambda changed: "a" if changed.question.options else "no"
    found = run_probe(first, [colours], tmp_path, probes=["options"], skipped=Skipped())[0]
    assert found.consistency["options"].agreement.value == 0.0
    assert (found.looks, found.images) == (None, {})
    by_letter = Fake(looks=True, letters=True)
    found = run_probe(by_letter, [colours], tmp_path / "b", probes=["options"], skipped=Skipped())
    assert found[0].consistency["options"].agreement.value == 1.0


def test_other_images_are_what_they_are_said_to_be(colours):
    changer = Changer(colours)
    for question in colours.questions(Skipped()):
        real = changer.change(question, "real").picture
        size = open_image(real).size
        blank = changer.change(question, "blank").picture
        assert blank.size == size
        assert blank.getcolors() == [(size[0] * size[1], (128, 128, 128))]
        noise = [np.asarray(changer.change(question, "noise").picture) for _ in range(2)]
        assert noise[0].std() > 40
        assert (noise[0] == noise[1]).all()
        assert changer.change(question, "shuffled").picture != real
    assert changer.change(question, "options-reversed").question.options == tuple(COLOURS)[::-1]


def test_one_image_cannot_be_exchanged(tmp_path):
    rows = [
        vqa_row(n, question=f"Is there {n}?", options="", modality="", pair="", role="")
        for n in range(2)
    ]
    benchmark = Benchmark.open(write_colours(tmp_path / "d", rows))
    with pytest.raises(DataError, match=r"only one image.*shuffled"):
        run_probe(Fake(looks=True), [benchmark], tmp_path / "out", skipped=Skipped())


@pytest.mark.parametrize(
    ("question", "reworded"),
    [
        ("Is there a fracture?", "can a fracture be seen?"),
        ("Are there any masses ?", "can masses be seen?"),
        ("Where is the lesion?", "in which place is the lesion?"),
        ("How many lesions are there?", "what is the number of lesions?"),
        ("Does the image show a fracture?", "is a fracture visible?"),
        ("Which organ is it?", "what organ is it?"),
        ("Does the picture contain liver?", "Does the scan contain liver?"),
        ("Is it red?", "please answer: Is it red?"),
    ],
)
def test_questions_in_other_words(question, reworded):
    assert paraphrase(question) == reworded
    assert paraphrase(question) != question


def test_questions_that_ask_to_look():
    assert look_first("Is it red?") == "looking at the image, is it red?"
    assert look_first("MRI or CT?") == "looking at the image, MRI or CT?"


# Scores


def line(prediction, reference, kind="yes/no", **more):
    return {
        "id": more.pop("id", f"{prediction} {reference}"),
        "prediction": prediction,
        "reference": reference,
        "references": [{"answer": reference, "confidence": 1.0}],
        "kind": kind,
        "choices": more.pop("choices", []),
        "answer_type": more.pop("answer_type", ""),
        "groups": more.pop("groups", {}),
        "pair": more.pop("pair", ""),
        "role": more.pop("role", ""),
    }


def test_zero_shot_scores_by_hand():
    records = [
        line("no, there is none", "no", answer_type="CLOSED", groups={"modality": "ct"}),
        line("normal", "no", answer_type="CLOSED", groups={"modality": "ct"}),
        line("the left lung", "left lung", "phrase", answer_type="OPEN"),
        line("the left one", "left lung", "phrase", answer_type="OPEN"),
        line("A small nodule is seen", "A nodule is seen", "sentence", answer_type="OPEN"),
    ]
    found = score_zero_shot(records)
    assert (found.accuracy.value, found.accuracy.n) == (0.5, 4)
    assert (found.alignment.value, found.alignment.n) == (0.8, 5)
    assert found.accuracy.low <= 0.5 <= found.accuracy.high
    assert found.word_f1.value == pytest.approx(8 / 9)
    assert found.open_recall.value == pytest.approx((1 + 0.5 + 1) / 3)
    assert found.closed_accuracy.value == 1.0  # as published: "normal" has "no" in it
    assert found.parts["modality"]["ct"].n == 2
    assert found.parts["kind of answer"]["yes/no"].accuracy.value == 0.5
    assert found.pairs is None


def test_pairs_need_every_answer():
    def pair(name, *answers):
        return [
            line("yes", answers[0], id=f"{name}1", pair=name, role="true"),
            line("yes", answers[1], id=f"{name}2", pair=name, role="adversarial"),
        ]

    # Whoever says yes to everything has each true question and no adversarial one.
    found = score_pairs([*pair("a", "yes", "no"), *pair("b", "yes", "no")])
    assert (found.all_right.value, found.all_right.n) == (0.0, 2)
    assert found.without_adversary.value == 1.0
    assert found.confusion is None
    assert score_pairs(pair("c", "yes", "yes")).all_right.value == 1.0


def test_gaps_are_paired():
    real = [line("yes", "yes", id=str(n)) for n in range(20)]
    other = [line("yes" if n % 2 else "no", "yes", id=str(n)) for n in range(20)]
    found = gap(real, other[::-1])
    assert found.value == 0.5
    assert 0 < found.low < 0.5 < found.high < 1
    assert gap(real, other[:4]).n == 4


def test_what_a_row_asks_for():
    def kind(question, answer, task="vqa", **more):
        fields = {"question": question}
        return asked_in(task, fields, [answer], **more).kind

    assert kind("Is there a mass?", "yes") == "yes/no"
    assert kind("Is there a mass?", "No, the lung is clear.") == "yes/no"
    assert kind("What is seen?", "no fracture") == "phrase"
    assert kind("Is this a CT or MRI?", "MRI") == "option"
    assert kind("How many?", "two") == "number"
    assert kind("What is it?", "left lung") == "phrase"
    assert kind("Describe it.", "The lung has a large mass in its upper lobe.") == "sentence"
    assert kind("", "normal", task="classification", classes=["normal", "mass"]) == "class"
    with pytest.raises(DataError, match="none of the options"):
        kind("Which?", "red", options=["blue", "green"])


# The command


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c") / "tiny"
    return write_checkpoint(folder, task="vqa", decoding=GenerationConfig(beam=1, max_len=20))


def command(capsys, *arguments):
    status = main(["evaluate", *(str(one) for one in arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_zero_shot_from_the_shell(checkpoint, tmp_path, capsys):
    data = write_colours(tmp_path / "colours")
    arguments = ("--checkpoint", checkpoint, "--data", data, "--out", tmp_path / "r")
    status, out, err = command(capsys, *arguments, "--suite", "zero-shot", "--limit", 12)
    assert (status, err) == (0, "")
    assert "alignment" in out
    assert "open recall" in out
    content = json.loads((tmp_path / "r" / "zero_shot.json").read_text())
    (one,) = content["benchmarks"]
    assert one["n"] >= 12
    assert one["accuracy"].keys() == {"value", "n", "low", "high"}
    assert {"kind of answer", "modality", "organ", "question type"} <= one["parts"].keys()
    assert content["rules"]["yes/no"]
    html = (tmp_path / "r" / "zero_shot.html").read_text()
    assert "data:image/jpeg" in html
    assert "http://" not in html
    assert "https://" not in html
    predictions = tmp_path / "r" / "sample" / "real.jsonl"
    before = predictions.read_bytes()
    stamp = predictions.stat().st_mtime_ns
    assert json.loads(before.splitlines()[0])["decoding"]["constrained"] is False
    # Given again it only reads; with another seed it would be something else.
    assert command(capsys, *arguments, "--suite", "zero-shot", "--limit", 12)[0] == 0
    assert predictions.stat().st_mtime_ns == stamp
    status, _, err = command(capsys, *arguments, "--suite", "zero-shot")
    assert status == 1
    assert err.count("\n") == 1
    assert "--overwrite" in err


def test_probe_from_the_shell(checkpoint, tmp_path, capsys):
    data = write_colours(tmp_path / "colours", colour_rows(12))
    arguments = ("--checkpoint", checkpoint, "--data", data, "--out", tmp_path / "r")
    status, out, err = command(capsys, *arguments, "--suite", "probe")
    assert (status, err) == (0, "")
    assert "gap to shuffled" in out
    content = json.loads((tmp_path / "r" / "probe.json").read_text())
    (one,) = content["benchmarks"]
    assert one["images"].keys() == {"blank", "noise", "shuffled"}
    assert one["consistency"].keys() == {"paraphrase", "options"}
    assert one["pairs"]["all_right"]["n"] == 2
    assert "<img" in (tmp_path / "r" / "probe.html").read_text()


def test_names_of_probes_are_those_of_the_suite():
    assert set(evaluate.PROBES) == set(PROBES)


def test_a_killed_run_goes_on(colours, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        ask(Fake(looks=True, fails_after=10), colours, tmp_path)
    partial = tmp_path / "sample" / "real.jsonl.partial"
    assert len(partial.read_bytes().splitlines()) == 8
    with partial.open("ab") as file:
        file.write(b'{"id": "q8", "predic')  # torn
    again = Fake(looks=True)
    records = ask(again, colours, tmp_path)
    assert again.asked == 22
    assert [one["id"] for one in records] == [f"q{n}" for n in range(30)]
    assert not partial.exists()
    with pytest.raises(ConfigError, match=r"other inputs, options or weights.*--overwrite"):
        ask(Fake(looks=False), colours, tmp_path)
    assert len(ask(Fake(looks=False), colours, tmp_path, overwrite=True)) == 30


def test_checkpoints_for_anything_are_asked_in_instructions(tmp_path, colours):
    model = FreeAnswerer(biomedgpt.load(write_checkpoint(tmp_path / "c")))
    facts = model.facts("vqa")
    assert (facts["asked_as"], facts["max_len"]) == ("instruction", 64)
    question = next(one for one in colours.questions(Skipped()) if one.options)
    query = model.query(Changer(colours).change(question, "real"))
    read = model.predictor.vocabulary.decode_text(query.source[1:-1])
    assert read.strip() == "which colour is it? options: a) red b) green c) blue"


def test_a_model_that_chooses_is_probed_with_its_answers_and_said_to_be_asked_freely(
    tmp_path, colours, capsys
):
    checkpoint = write_checkpoint(tmp_path / "c", task="vqa", answers=("left", "pleural effusion"))
    model = UsualAnswerer(biomedgpt.load(checkpoint))
    assert model.facts("vqa")["constrained"] is True
    assert model.facts("captioning")["constrained"] is False
    words = ("--checkpoint", checkpoint, "--data", colours.dataset.folder, "--limit", 8)
    probe = ("--suite", "probe", "--probes", "blank", "--out", tmp_path / "p")
    _, printed, _ = command(capsys, *words, *probe)
    assert "among its answers" not in printed
    for form in ("real", "blank"):
        records = read_lines(tmp_path / "p" / "sample" / f"{form}.jsonl")
        free = [one for one in records if not one["question"].count("options:")]
        assert free
        assert {one["prediction"] for one in free} <= {"left", "pleural effusion"}
    _, printed, _ = command(capsys, *words, "--suite", "zero-shot", "--out", tmp_path / "z")
    assert "sample: the checkpoint was trained to choose among its answers" in printed


def test_every_task_is_asked_freely(checkpoint, tmp_path):
    model = FreeAnswerer(biomedgpt.load(checkpoint))
    picture = encoded()
    kinds = {
        "classification": ({"answer": "normal"}, picture, ("normal", "mass"), "class"),
        "captioning": ({"caption": "A lung."}, picture, None, "sentence"),
        "summarization": ({"source": "a text", "summary": "Text."}, None, None, "sentence"),
        "entailment": (
            {"sentence1": "a", "sentence2": "b", "answer": "yes"},
            None,
            ("yes", "no", "maybe"),
            "class",
        ),
        "question_answering": (
            {"question": "Which?", "options": '["one", "two"]', "context": "", "answer": "b"},
            None,
            ("a", "b"),
            "option",
        ),
    }
    for task, (fields, image, answers, kind) in kinds.items():
        facts = replace(FACTS, name=task, task=task, fields=("id", *fields), answers=answers)
        row = Row({"id": "1", **fields}, image, "row 1")
        write_dataset(tmp_path / task, facts, {"test": [row]})
        benchmark = Benchmark.open(tmp_path / task)
        (scored,) = run_zero_shot(model, [benchmark], tmp_path / "r", skipped=Skipped())
        (record,) = scored.records
        assert record["kind"] == kind
        assert record["decoding"]["constrained"] is False
        if task == "question_answering":
            assert record["choices"] == ["one", "two"]
            assert record["reference"] == "two"


def test_bad_input_is_one_line(checkpoint, tmp_path, capsys):
    data = write_colours(tmp_path / "colours")
    base = ("--checkpoint", checkpoint, "--suite", "zero-shot", "--out", tmp_path / "r")

    def fails(*arguments, match):
        status, out, err = command(capsys, *arguments)
        assert (status, out) == (1, "")
        assert err.count("\n") == 1
        assert match in err

    fails(*base, "--data", tmp_path, match="not a prepared dataset")
    fails(*base, "--data", data, "--split", "train", match="--split")
    fails(*base, "--data", data, data, match="both called sample")
    fails(*base, "--data", data, "--limit", 0, match="--limit must be at least 1")
    fails(*base, "--data", data, "--probes", "blank", match="--probes is for")
    file = tmp_path / "file"
    file.write_text("")
    fails(*base[:-1], file, "--data", data, match="it is a file")
    assert not (tmp_path / "r").exists()


def test_rows_that_cannot_be_asked_are_left_out_when_allowed(checkpoint, tmp_path, capsys):
    rows = colour_rows(6)
    bad = dict(rows[5].fields) | {"options": '["cyan", "pink"]'}
    data = write_colours(tmp_path / "d", [*rows[:5], Row(bad, rows[5].image, "row")])
    arguments = ("--checkpoint", checkpoint, "--suite", "zero-shot", "--data", data, "--out")
    status, _, err = command(capsys, *arguments, tmp_path / "r")
    assert status == 1
    assert "row 6" in err
    assert "--skip-bad" in err
    status, _, err = command(capsys, *arguments, tmp_path / "s", "--skip-bad")
    assert status == 0
    assert err.startswith("warning: left out: ")
    assert err.count("\n") == 1


def test_pages_show_the_worst_cases(colours, tmp_path):
    found = run_probe(Fake(looks=False), [colours], tmp_path, skipped=Skipped())
    html = suite_report.write_probe(tmp_path, found).read_text()
    assert "the same answer whatever the image" in html
    assert "pairs without two right answers" in html
    assert "another answer for another wording" not in html  # there is none
    assert html.count("<img") > 10
    assert "does not show that it looks" in html
