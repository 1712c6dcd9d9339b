"""MedMCQA, PubMedQA, MedQA and BioASQ: splits, labels, both layouts, bad input."""

import json
import random

import pytest
from preparing import one_bad_row, refused, run
from raw_releases.all import build
from raw_releases.qa import (
    LETTERS,
    bioasq_question,
    bioasq_questions,
    mcq_record,
    mcq_splits,
    pubmed_questions,
    usmle_record,
    usmle_splits,
    write_bioasq,
    write_lines,
    write_medmcqa,
    write_medqa,
    write_pubmedqa,
)
from raw_releases.vqa import write_parquet

from biomedgpt.data.prepare import count_differences
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.integrity import check_dataset


def rows_of(folder, split):
    split = PreparedDataset(folder).split(split)
    return [split[number] for number in range(len(split))]


# MedMCQA


def test_medmcqa_tests_on_dev_and_holds_out_from_train(tmp_path):
    raw = build("medmcqa", tmp_path / "raw")
    card = run("medmcqa", raw, tmp_path / "out")
    assert card.counts == {"train": 11, "valid": 1, "test": 4}
    assert card.preparation["found_counts"] == {"train": 12, "test": 4}
    assert card.answers == ["a", "b", "c", "d"]
    row = rows_of(tmp_path / "out", "test")[1]
    assert row.pop("image", None) is None
    assert row == {
        "id": "00000000-0000-0000-0000-000000000013",
        "question": "Which drug treats disease 13?",
        "options": '["Drug 13", "No drug", "All of the above", "13 mg of salt"]',
        "context": "",
        "answer": "b",
        "subject": "Pharmacology",
    }
    (raw / "test.json").unlink()  # it has no answers and is not needed
    assert run("medmcqa", raw, tmp_path / "two").counts == card.counts
    assert run("medmcqa", raw, tmp_path / "three", valid_fraction=0).counts["train"] == 12


def test_medmcqa_hub_counts_options_from_zero(tmp_path):
    for hub, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
        rows = [record | {"cop": record.get("cop", 0) - 1} for record in mcq_splits()[name]]
        path = tmp_path / "raw" / "data" / f"{hub}-00000-of-00001.parquet"
        write_parquet(path, [{**row, "exp": None, "topic_name": None} for row in rows])
    run("medmcqa", tmp_path / "raw", tmp_path / "hub")
    (tmp_path / "official" / "data").mkdir(parents=True)
    write_medmcqa(tmp_path / "official" / "data", mcq_splits())
    run("medmcqa", tmp_path / "official", tmp_path / "out")
    for split in ("train", "valid", "test"):
        assert rows_of(tmp_path / "hub", split) == rows_of(tmp_path / "out", split)


def test_medmcqa_repeated_question_stays_on_one_side(tmp_path):
    splits = mcq_splits()
    splits["train"] = [
        mcq_record(n, question=f"{'which' if n < 10 else 'Which'}  drug is {n % 10}")
        for n in range(20)
    ]
    (tmp_path / "raw").mkdir()
    raw = write_medmcqa(tmp_path / "raw", splits)
    card = run("medmcqa", raw, tmp_path / "out", valid_fraction=0.3)
    assert card.counts == {"train": 14, "valid": 6, "test": 4}
    assert card.leakage["shared_between_splits"]["train/valid"]["questions"] == 0


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"cop": 0}, r"train\.json: row 3: cop is '0', must be one of 1, 2, 3, 4"),
        ({"cop": None}, "row 3: empty cop"),
        ({"question": " "}, "row 3: empty question"),
        ({"opc": ""}, "row 3: empty opc"),
        ({"opa": 1.5}, "row 3: opa is neither text nor a whole number"),
        ({"id": "00000000-0000-0000-0000-000000000000"}, "was there before"),
    ],
)
def test_medmcqa_bad_rows(tmp_path, changes, match):
    splits = mcq_splits()
    splits["train"][2] |= changes
    (tmp_path / "raw").mkdir()
    one_bad_row("medmcqa", write_medmcqa(tmp_path / "raw", splits), tmp_path, match)


def test_medmcqa_bad_lines(tmp_path):
    for number, (line, match) in enumerate(
        [
            (b'{"id": 1', "not valid JSON"),
            (b'{"id": "1", "question": "caf\xe9?"}', "is not UTF-8"),
            (b'{"id": "1", "question": "a?"}', "lacks opa, opb, opc, opd, cop"),
            (b"[1]", "not a JSON object"),
        ]
    ):
        raw = build("medmcqa", tmp_path / f"raw{number}")
        with (raw / "dev.json").open("ab") as file:
            file.write(line + b"\n")
        one_bad_row(
            "medmcqa", raw, tmp_path / str(number), rf"dev\.json: row 5:? .*{match}|row 5: {match}"
        )


def test_medmcqa_wrong_option_may_be_empty(tmp_path):
    splits = mcq_splits()
    splits["dev"][0] |= {"opd": None, "opb": ""}  # the answer is a
    (tmp_path / "raw").mkdir()
    run("medmcqa", write_medmcqa(tmp_path / "raw", splits), tmp_path / "out")
    options = json.loads(rows_of(tmp_path / "out", "test")[0]["options"])
    assert options == ["Drug 12", "", "All of the above", ""]


def test_medmcqa_other_folders(tmp_path):
    refused("medmcqa", build("slake", tmp_path / "slake"), tmp_path, r"missing 'dev\.json'")
    raw = write_medqa(tmp_path / "medqa", usmle_splits(), place="{}")
    for path in raw.glob("*.jsonl"):
        path.rename(path.with_suffix(".json"))
    refused(
        "medmcqa", raw, tmp_path, r"train\.json: no lines of JSON with id, question, opa.*MedMCQA"
    )
    hub = tmp_path / "hub"
    write_parquet(hub / "train-0.parquet", [{"question": "a?", "image": None}])
    refused("medmcqa", hub, tmp_path, r"no validation-\*\.parquet beside")
    write_parquet(hub / "validation-0.parquet", [{"question": "a?", "image": None}])
    refused(
        "medmcqa", hub, tmp_path, r"train-0\.parquet: no column 'id' and 'opa'.*it has question"
    )


# PubMedQA


def test_pubmedqa_without_stated_splits(tmp_path):
    raw = build("pubmedqa", tmp_path / "raw")
    card = run("pubmedqa", raw, tmp_path / "out", seed=7)
    assert card.counts == {"train": 27, "valid": 3, "test": 30}
    assert run("pubmedqa", raw, tmp_path / "two", seed=8).hashes == card.hashes
    row = rows_of(tmp_path / "out", "train")[0]
    assert row.pop("image", None) is None
    assert row == {
        "id": "20000000",
        "question": "Does drug 0 help?",
        "options": "",
        "context": "We gave drug 0. P was 0.01.",
        "answer": "yes",
    }
    for split, part in (("train", 27), ("test", 30)):
        answers = PreparedDataset(tmp_path / "out").split(split).column("answer")
        assert answers.count("maybe") == pytest.approx(part / 6, abs=1)


def authors_split(decisions):
    """The authors' procedure, written down a second time: 500 to test, ten folds of the others."""
    random.seed(0)

    def parts(ids, count):
        by_label = {
            label: [i for i in ids if decisions[i] == label] for label in ("yes", "no", "maybe")
        }
        cut = {}
        for label, members in by_label.items():
            random.shuffle(members)
            size = -(-len(members) // count)
            cut[label] = [members[i * size : (i + 1) * size] for i in range(count)]
        result = [[x for label in by_label for x in cut[label][i]] for i in range(count)]
        if len(result[-1]) != len(result[0]):
            for part in result[:-1]:
                chosen = random.choice(part)
                result[-1].append(chosen)
                part.remove(chosen)
        return result

    learn, test = parts(list(decisions), 2)
    return set(learn), set(test), set(parts(learn, 10)[0])


def test_pubmedqa_split_is_the_authors(tmp_path):
    questions = pubmed_questions(1000)
    learn, test, dev = authors_split({k: v["final_decision"] for k, v in questions.items()})
    raw = write_pubmedqa(tmp_path / "raw", questions)
    card = run("pubmedqa", raw, tmp_path / "out")
    assert card.counts == {"train": 450, "valid": 50, "test": 500}
    assert count_differences(card) == []
    dataset = PreparedDataset(tmp_path / "out")
    assert set(dataset.split("test").column("id")) == test
    assert set(dataset.split("valid").column("id")) == dev
    assert set(dataset.split("train").column("id")) == learn - dev


def test_pubmedqa_stated_splits_are_used(tmp_path):
    questions = pubmed_questions()
    raw = write_pubmedqa(tmp_path / "raw", questions)
    ids = list(questions)
    truth = {pmid: questions[pmid]["final_decision"] for pmid in ids[:6]}
    (raw / "data" / "test_ground_truth.json").write_text(json.dumps(truth))
    card = run("pubmedqa", raw, tmp_path / "one")
    assert PreparedDataset(tmp_path / "one").split("test").column("id") == ids[:6]
    assert card.counts["test"] == 6
    assert card.preparation["test_split"] == "test_ground_truth.json"
    fold = raw / "data" / "pqal_fold0"
    fold.mkdir()
    (fold / "dev_set.json").write_text(json.dumps({pmid: questions[pmid] for pmid in ids[-3:]}))
    card = run("pubmedqa", raw, tmp_path / "two")
    assert PreparedDataset(tmp_path / "two").split("valid").column("id") == ids[-3:]
    assert card.counts == {"train": 51, "valid": 3, "test": 6}


def test_pubmedqa_from_the_hub(tmp_path):
    rows = [
        {
            "pubid": int(pmid),
            "question": one["QUESTION"],
            "context": {"contexts": one["CONTEXTS"], "labels": one["LABELS"], "meshes": []},
            "long_answer": one["LONG_ANSWER"],
            "final_decision": one["final_decision"],
        }
        for pmid, one in pubmed_questions().items()
    ]
    raw = tmp_path / "hub"
    write_parquet(raw / "pqa_artificial" / "train-00000-of-00001.parquet", rows[:3])
    refused("pubmedqa", raw, tmp_path, r"missing 'ori_pqal\.json' \(or the hub's 'pqa_labeled/")
    refused("pubmedqa", raw / "pqa_artificial", tmp_path, r"missing 'ori_pqal\.json'")
    write_parquet(raw / "pqa_labeled" / "train-00000-of-00001.parquet", rows)
    card = run("pubmedqa", raw, tmp_path / "out")
    run("pubmedqa", build("pubmedqa", tmp_path / "raw"), tmp_path / "official")
    assert card.preparation["layout"] == "hub"
    for split in ("train", "valid", "test"):
        assert rows_of(tmp_path / "out", split) == rows_of(tmp_path / "official", split)
    write_parquet(raw / "pqa_labeled" / "train-00000-of-00001.parquet", [{"id": 1, "text": ""}])
    refused("pubmedqa", raw, tmp_path, r"pqa_labeled.*no column 'pubid'.*it has id, text")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"final_decision": "unsure"}, "final_decision is 'unsure', must be one of yes, no, maybe"),
        ({"final_decision": None}, "empty final_decision"),
        ({"QUESTION": ""}, "empty question"),
        ({"CONTEXTS": [" "]}, "empty context"),
        ({"CONTEXTS": None}, "the contexts are no list of texts"),
    ],
)
def test_pubmedqa_bad_rows(tmp_path, changes, match):
    questions = pubmed_questions()
    questions["20000017"] |= changes
    raw = write_pubmedqa(tmp_path / "raw", questions)
    card = one_bad_row("pubmedqa", raw, tmp_path, rf"ori_pqal\.json: pmid 20000017: {match}")
    if "final_decision" not in changes:  # the others are where they would be without the bad one
        run("pubmedqa", build("pubmedqa", tmp_path / "good"), tmp_path / "out")
        for split in ("train", "valid", "test"):
            rows = rows_of(tmp_path / "out", split)
            assert rows_of(tmp_path / "lenient", split) == [
                r for r in rows if r["id"] != "20000017"
            ]
    assert sum(card.counts.values()) == 59


def test_pubmedqa_files_that_contradict_each_other(tmp_path):
    raw = build("pubmedqa", tmp_path / "raw")
    truth = raw / "data" / "test_ground_truth.json"
    truth.write_text('{"20000000": "no"}')
    refused("pubmedqa", raw, tmp_path, r"truth\.json: pmid 20000000 is 'no', but 'yes' among")
    truth.write_text('{"1": "no"}')
    refused("pubmedqa", raw, tmp_path, r"truth\.json: pmid 1 is none of the questions")
    truth.write_text("[]")
    refused("pubmedqa", raw, tmp_path, r"truth\.json: not an object by PubMed id")
    (raw / "data" / "ori_pqal.json").write_text('{"questions": []}')
    refused("pubmedqa", raw, tmp_path, r"ori_pqal\.json: not questions by PubMed id")


# MedQA


@pytest.mark.parametrize(
    "place",
    [
        "data_clean/questions/US/4_options/phrases_no_exclude_{}",
        "US/4_options/phrases_no_exclude_{}",
        "4_options/phrases_no_exclude_{}",
        "phrases_no_exclude_{}",
        "{}",
    ],
)
def test_medqa_layouts(tmp_path, place):
    raw = write_medqa(tmp_path / "raw", usmle_splits(), place=place)
    card = run("medqa", raw, tmp_path / "out")
    assert card.counts == {"train": 12, "valid": 4, "test": 6}
    assert card.answers == ["a", "b", "c", "d"]
    row = rows_of(tmp_path / "out", "valid")[1]
    assert row.pop("image", None) is None
    assert row == {
        "id": "valid-2",
        "question": "A 33-year-old man has a cough. What is best?",
        "options": '["Drug 13A", "Drug 13B", "Drug 13C", "Drug 13D"]',
        "context": "",
        "answer": "b",
    }
    assert "medqa: 12 train, the official release has 10,178" in count_differences(card)


def test_medqa_four_options_are_preferred_to_five(tmp_path):
    raw = write_medqa(tmp_path / "raw", usmle_splits())
    write_medqa(raw, usmle_splits(letters="ABCDE"), place="data_clean/questions/US/{}")
    assert run("medqa", raw, tmp_path / "four").preparation["options"] == 4
    test = raw / "data_clean/questions/US/4_options/phrases_no_exclude_test.jsonl"
    test.unlink()
    refused("medqa", raw, tmp_path, r"4_options: missing phrases_no_exclude_test\.jsonl beside")
    card = run("medqa", write_medqa(tmp_path / "five", usmle_splits(letters="ABCDE"), place="{}"),
               tmp_path / "out")  # fmt: skip
    assert card.preparation["options"] == 5
    assert card.answers == ["a", "b", "c", "d", "e"]


def test_medqa_hub_copy_without_dev_questions(tmp_path):
    splits = usmle_splits()
    raw = write_medqa(tmp_path / "raw", splits, place="phrases_no_exclude_{}")
    (raw / "phrases_no_exclude_dev.jsonl").unlink()
    card = run("medqa", raw, tmp_path / "out")
    assert card.counts == {"train": 10, "valid": 2, "test": 6}
    assert card.preparation["held_out_from_train"] == 0.1
    assert count_differences(card) == [
        "medqa: 12 training questions, the official release has 10,178",
        "medqa: 6 test, the official release has 1,273",
    ]
    official = build("medqa", tmp_path / "official")
    (official / "data_clean/questions/US/4_options/phrases_no_exclude_dev.jsonl").unlink()
    refused("medqa", official, tmp_path, r"missing phrases_no_exclude_dev\.jsonl beside")


def by_letter(record):
    return record


def by_key(record):
    return record | {
        "options": [{"key": key, "value": text} for key, text in record["options"].items()]
    }


def in_columns(record):
    columns = {f"ending{i}": text for i, text in enumerate(record["options"].values())}
    label = LETTERS.index(record["answer_idx"])
    return {"id": "x", "sent1": record["question"], "sent2": "", **columns, "label": label}


@pytest.mark.parametrize("make", [by_letter, by_key, in_columns])
@pytest.mark.parametrize("lines", [False, True])
def test_medqa_hub_forms_give_the_same_rows(tmp_path, make, lines):
    for name, records in usmle_splits().items():
        hub = {"dev": "validation"}.get(name, name)
        rows = [make(record) for record in records]
        if lines:
            write_lines(tmp_path / "raw" / f"{hub}.json", rows)
        else:
            write_parquet(tmp_path / "raw" / "data" / f"{hub}-00000-of-00001.parquet", rows)
    run("medqa", tmp_path / "raw", tmp_path / "hub")
    run("medqa", build("medqa", tmp_path / "official"), tmp_path / "out")
    for split in ("train", "valid", "test"):
        assert rows_of(tmp_path / "hub", split) == rows_of(tmp_path / "out", split)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"answer_idx": "E"}, "row 2: answer_idx is 'E', must be one of A, B, C, D"),
        ({"question": None}, "row 2: empty question"),
        ({"options": {"A": "a", "B": "b", "C": "c", "D": " "}}, "row 2: options: empty D"),
        ({"options": dict.fromkeys("ABCDE", "x")}, "row 2: 5 options where there should be 4"),
        ({"options": dict.fromkeys("ABCX", "x")}, "row 2: options are not named A, B, C, D"),
        ({"options": "A. x"}, "row 2: options are no texts by letter"),
    ],
)
def test_medqa_bad_rows(tmp_path, changes, match):
    splits = usmle_splits()
    splits["train"][1] |= changes
    raw = write_medqa(tmp_path / "raw", splits)
    one_bad_row("medqa", raw, tmp_path, rf"phrases_no_exclude_train\.jsonl: {match}")
    assert PreparedDataset(tmp_path / "lenient").split("train").column("id")[1] == "train-3"


def test_medqa_other_folders(tmp_path):
    refused(
        "medqa", build("medmcqa", tmp_path / "a"), tmp_path, r"train\.json: no lines of JSON with"
    )
    refused(
        "medqa", build("bioasq", tmp_path / "b"), tmp_path, "is not the MedQA release: it needs"
    )
    hub = tmp_path / "hub"
    write_parquet(hub / "train-0.parquet", [{"question": "a?", "image": None}])
    refused("medqa", hub, tmp_path, r"no test-\*\.parquet beside train-0\.parquet")
    write_parquet(hub / "test-0.parquet", [usmle_record(0)])
    refused("medqa", hub, tmp_path, r"train-0\.parquet: no column 'options' and 'answer_idx'")


# BioASQ


def test_bioasq_reads_the_yes_no_questions(tmp_path):
    card = run("bioasq", build("bioasq", tmp_path / "raw"), tmp_path / "out")
    assert card.counts == {"train": 18, "valid": 2, "test": 10}
    assert card.preparation["found_counts"] == {"train": 20, "test": 10}
    dataset = PreparedDataset(tmp_path / "out")
    answers = dataset.split("train").column("answer") + dataset.split("valid").column("answer")
    assert sorted(answers) == ["no"] * 10 + ["yes"] * 10
    row = rows_of(tmp_path / "out", "test")[1]
    assert row.pop("image", None) is None
    assert row == {
        "id": f"{31:024x}",
        "question": "Is gene 31 essential?",
        "options": "",
        "context": "Gene 31 was studied. It matters.",
        "answer": "no",
    }


def test_bioasq_files_may_lie_in_one_folder(tmp_path):
    raw = build("bioasq", tmp_path / "raw")
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in raw.rglob("*.json"):
        path.rename(flat / path.name.replace("trainining", "training"))
    assert run("bioasq", flat, tmp_path / "out").counts["test"] == 10


def test_bioasq_tables_of_blurb(tmp_path):
    raw = tmp_path / "raw" / "BioASQ"
    raw.mkdir(parents=True)
    for name, count in (("train", 8), ("dev", 2), ("test", 3)):
        lines = [
            f'{name}{n}\t"Is ""x"" in {n}?"\tIt is.\t{("yes", "no")[n % 2]}\n' for n in range(count)
        ]
        (raw / f"{name}.tsv").write_text("".join(lines))
    card = run("bioasq", tmp_path / "raw", tmp_path / "out")
    assert card.counts == {"train": 8, "valid": 2, "test": 3}
    assert card.preparation["found_counts"] == {"train": 10, "test": 3}
    assert rows_of(tmp_path / "out", "train")[0]["question"] == 'Is "x" in 0?'
    with (raw / "test.tsv").open("a") as file:
        file.write("x\tIs it?\t\tyes\n")
    one_bad_row("bioasq", tmp_path / "raw", tmp_path, r"test\.tsv: row 4: empty context")
    (raw / "dev.tsv").unlink()
    refused("bioasq", tmp_path / "raw", tmp_path, r"missing dev\.tsv beside train\.tsv")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"exact_answer": "maybe"}, "answer is 'maybe', must be one of yes, no"),
        ({"exact_answer": None}, "empty answer"),
        ({"exact_answer": ["yes", "no"]}, "answer is neither text nor a whole number"),
        ({"body": "  "}, "empty question"),
        ({"snippets": None}, "the snippets are no list of objects"),
        ({"snippets": [{"text": None}]}, "snippet: empty text"),
    ],
)
def test_bioasq_bad_rows(tmp_path, changes, match):
    training, batches = bioasq_questions()
    training[1] |= changes
    raw = write_bioasq(tmp_path / "raw", training, batches)
    one_bad_row("bioasq", raw, tmp_path, rf"trainining7b\.json: row 2 \(id 0+1\).*{match}")


def test_bioasq_question_without_snippets_stands_alone(tmp_path):
    training, batches = bioasq_questions()
    batches[0][0] = bioasq_question(30, snippets=[])
    run("bioasq", write_bioasq(tmp_path / "raw", training, batches), tmp_path / "out")
    assert rows_of(tmp_path / "out", "test")[0]["context"] == ""
    assert check_dataset(tmp_path / "out").problems == []


def test_bioasq_incomplete_folders(tmp_path):
    raw = build("bioasq", tmp_path / "raw")
    batch = raw / "Task7BGoldenEnriched" / "7B4_golden.json"
    content = batch.read_text()
    batch.unlink()
    refused("bioasq", raw, tmp_path, r"is not the BioASQ 7b release: missing 7B4_golden\.json; get")
    batch.write_text("{}")
    refused("bioasq", raw, tmp_path, r'7B4_golden\.json: has no list "questions"')
    batch.write_text(content)
    next(raw.rglob("trainining7b.json")).unlink()
    refused("bioasq", raw, tmp_path, r"missing training7b\.json; get")
