"""Question answering: MedMCQA, PubMedQA, MedQA, BioASQ."""

import json

COUNTS = {"train": 12, "dev": 4, "test": 6}
LETTERS = "ABCD"


def write_lines(path, records):
    """A file with one JSON object per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")


def mcq_record(number, **changes):
    """One question of MedMCQA; every third one has no explanation."""
    return {
        "id": f"00000000-0000-0000-0000-{number:012d}",
        "question": f"Which drug treats\ndisease  {number}?",
        "opa": f"Drug {number}",
        "opb": "No drug",
        "opc": "All of the above",
        "opd": f"{number} mg of salt",
        "cop": number % 4 + 1,
        "choice_type": ("single", "multi")[number % 2],
        "exp": None if number % 3 == 0 else f"Ans. is {number}",
        "subject_name": "Pharmacology",
        "topic_name": None,
    } | changes


def mcq_splits():
    """Records by file; test questions have neither answer nor explanation."""
    splits, start = {}, 0
    for name, count in COUNTS.items():
        splits[name] = [mcq_record(number) for number in range(start, start + count)]
        start += count
    for record in splits["test"]:
        del record["cop"], record["exp"], record["topic_name"]
    return splits


def write_medmcqa(folder, splits):
    """The official layout."""
    for name, records in splits.items():
        write_lines(folder / f"{name}.json", records)
    return folder


def pubmed_questions(count=60):
    """Questions of PQA-L by PubMed id, about half of them answered with yes."""
    answers = ("yes", "no", "yes", "maybe", "yes", "no")
    return {
        str(20_000_000 + 17 * number): {
            "QUESTION": f"Does drug {number} help?",
            "CONTEXTS": [f"We gave drug {number}.", "P was  0.01."],
            "LABELS": ["METHODS", "RESULTS"],
            "MESHES": ["Humans"],
            "YEAR": "2011",
            "reasoning_required_pred": "yes",
            "reasoning_free_pred": "yes",
            "final_decision": answers[number % 6],
            "LONG_ANSWER": "It may help.",
        }
        for number in range(count)
    }


def write_pubmedqa(folder, questions):
    """The official layout, without the files that state the split."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "ori_pqal.json").write_text(json.dumps(questions, indent=4))
    return folder


def usmle_record(number, *, letters=LETTERS, **changes):
    """One question of MedQA."""
    options = {letter: f"Drug {number}{letter}" for letter in letters}
    letter = letters[number % len(letters)]
    return {
        "question": f"A {20 + number}-year-old man has a cough.\nWhat is best?",
        "answer": options[letter],
        "options": options,
        "meta_info": "step1",
        "answer_idx": letter,
        "metamap_phrases": ["cough"],
    } | changes


def usmle_splits(**options):
    """Records by split."""
    splits, start = {}, 0
    for name, count in COUNTS.items():
        splits[name] = [usmle_record(number, **options) for number in range(start, start + count)]
        start += count
    return splits


def write_medqa(folder, splits, *, place="data_clean/questions/US/4_options/phrases_no_exclude_{}"):
    """The official layout."""
    for name, records in splits.items():
        write_lines(folder / f"{place.format(name)}.jsonl", records)
    return folder


def bioasq_question(number, **changes):
    """One yes/no question of BioASQ."""
    return {
        "id": f"{number:024x}",
        "type": "yesno",
        "body": f"Is gene {number} essential?",
        "documents": ["http://www.ncbi.nlm.nih.gov/pubmed/1"],
        "snippets": [
            {"text": f"Gene {number} was studied.", "beginSection": "abstract"},
            {"text": " It matters. ", "beginSection": "title"},
        ],
        "ideal_answer": ["Yes, it is."],
        "exact_answer": ("yes", "no", "Yes", ["no"])[number % 4],
    } | changes


def write_bioasq(folder, training, batches):
    """The official layout of both archives."""
    archives = {"BioASQ-training7b/trainining7b.json": training}
    for number, batch in enumerate(batches, start=1):
        archives[f"Task7BGoldenEnriched/7B{number}_golden.json"] = batch
    for name, questions in archives.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"questions": questions}))
    return folder


def bioasq_questions():
    """Training questions, among them one of another type, and five test batches."""
    training = [bioasq_question(number) for number in range(20)]
    training.insert(3, bioasq_question(99, type="factoid", exact_answer=[["BRCA1"]]))
    batches = [[bioasq_question(30 + 2 * i), bioasq_question(31 + 2 * i)] for i in range(5)]
    batches[0].append(bioasq_question(98, type="list", exact_answer=[["a"], ["b"]]))
    return training, batches


BUILDERS = {
    "medmcqa": lambda folder: write_medmcqa(folder, mcq_splits()),
    "pubmedqa": lambda folder: write_pubmedqa(folder, pubmed_questions()),
    "medqa": lambda folder: write_medqa(folder, usmle_splits()),
    "bioasq": lambda folder: write_bioasq(folder, *bioasq_questions()),
}
