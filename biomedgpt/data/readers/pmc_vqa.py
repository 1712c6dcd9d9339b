"""PMC-VQA: the test tables of the official release to rows.

Expected layout of the raw folder::

    test_2.csv                      part test-2: single images, 33,430 questions
    test_clean.csv                  part test-clean: of the first version, checked by people
    test.csv                        part test: the first version
    images/, figures/               the images, by the names in Figure_path

The answer is a letter (``Answer_label``, or ``Answer`` in the second version) or the text of an
option. Options may have their letter before them (" A:Lung").
"""

from biomedgpt.data.raw.suite_rows import find_image, lettered, right_option, suite_row
from biomedgpt.data.raw.tables import Record, read_csv
from biomedgpt.data.rows import Row
from biomedgpt.data.spec import DatasetSpec, RawDataset, Release

CHOICES = ("Choice A", "Choice B", "Choice C", "Choice D")
COLUMNS = ("Figure_path", "Question", *CHOICES)
ANSWERS = ("Answer_label", "Answer", "Anwser")
"""In the order in which they are looked for; the last one is a misspelling of early files."""
FOLDERS = ("figures", "images", "images_2", "images/figures", ".")


def read(release: Release) -> RawDataset:
    """Read a test table.

    Raises:
        DataError: the table is missing or another one, or a row is bad.
    """
    (name,) = release.spec.parts[release.part]
    release.require_files([name])
    folders = [release.folder / one for one in FOLDERS]

    def parse(item: tuple[int, Record]) -> Row:
        number, record = item
        choices = lettered(record, CHOICES)
        answer = next((record.optional(key) for key in ANSWERS if record.optional(key)), "")
        return suite_row(
            record.where,
            find_image(record, "Figure_path", folders),
            f"{release.part}-{number}",
            record.text("Question"),
            right_option(answer, choices, where=record.where),
            options=choices,
        )

    records = read_csv(release.folder / name, columns=COLUMNS, skipped=release.skipped)
    return RawDataset(
        splits={"test": release.rows(enumerate(records, start=1), parse)},
        cleaning=("letters before options removed", "white space collapsed"),
        expected=None if release.part == "test-2" else {},
        preparation={"part": release.part},
    )


SPEC = DatasetSpec(
    name="pmc-vqa",
    title="PMC-VQA: multiple choice about figures of PubMed Central",
    task="vqa",
    source="https://huggingface.co/datasets/xmcmic/PMC-VQA",
    licence="CC-BY-SA-4.0",
    read=read,
    kind="evaluation",
    expected={"test": 33430},
    parts={
        "test-2": ("test_2.csv",),
        "test-clean": ("test_clean.csv",),
        "test": ("test.csv",),
    },
)
