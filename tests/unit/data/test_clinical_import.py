"""DICOM and NIfTI in one's own tables and folders: what is kept of them."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from imaging_samples import PATIENT, dicom, nifti, ramp, write
from PIL import Image

from biomedgpt.corpora.image_folders import CORPORA
from biomedgpt.corpora.reader import Reading
from biomedgpt.data.imaging.images import decode_image, open_image
from biomedgpt.data.own import OwnOptions, import_table, parse_columns, parse_tables
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import DataError

pytest.importorskip("pydicom")
pytest.importorskip("nibabel")


def import_rows(folder: Path, lines: list[str], *columns: str, images=True, skip_bad=False):
    """Import a table of questions; return the rows of its training split and the card."""
    table = folder / "table.csv"
    table.write_text("\n".join(["image,frame,question,answer,split", *lines]) + "\n")
    out = folder / "out"
    card = import_table(
        parse_tables([str(table)]),
        out,
        task="vqa",
        columns=parse_columns(columns),
        options=OwnOptions(
            name="own",
            images=folder if images else None,
            vocabulary=False,
            overwrite=True,
            skip_bad=skip_bad,
        ),
    )
    split = PreparedDataset(out).split("train")
    return [split[number] for number in range(len(split))], card


@pytest.fixture
def folder(tmp_path):
    frames = np.stack([ramp(0, 3000, dtype=np.uint16), ramp(3000, 0, dtype=np.uint16)])
    write(tmp_path / "a.dcm", dicom(frames, WindowCenter=1500, WindowWidth=1000))
    volume = np.random.default_rng(0).integers(-900, 900, (6, 7, 9), dtype=np.int16)
    write(tmp_path / "b.nii.gz", nifti(volume), compress=True)
    Image.fromarray(ramp()).save(tmp_path / "c.png")
    return tmp_path


def test_tables_take_files_and_frames(folder):
    lines = [
        "a.dcm,,What is it?,chest,train",
        "a.dcm,1,And behind?,chest,train",
        "b.nii.gz,,Which slice?,middle,train",
        "b.nii.gz,8,Which one now?,last,train",
        "c.png,,And this?,ramp,train",
    ]
    rows, card = import_rows(folder, lines)
    wanted = [("a.dcm", None), ("a.dcm", 1), ("b.nii.gz", None), ("b.nii.gz", 8), ("c.png", None)]
    for row, (name, frame) in zip(rows, wanted, strict=True):
        assert row["image_name"] == name
        given = open_image(folder / name, frame=frame)
        assert np.array_equal(decode_image(row["image"], where="x"), given), (name, frame)
        assert row["image"].startswith(b"\x89PNG")
    assert rows[4]["image"] == (folder / "c.png").read_bytes()
    assert card.image_counts == {"train": 5}
    assert any("DICOM" in sentence for sentence in card.cleaning)


def test_nothing_of_a_header_is_kept(folder):
    import_rows(folder, ["a.dcm,,What is it?,chest,train"])
    for path in (folder / "out").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for word in (PATIENT.encode(), b"Doe", b"DICM", b"SECRET"):
                assert word not in content, path.name


def test_tables_may_hold_them(folder):
    data = base64.b64encode((folder / "a.dcm").read_bytes()).decode()
    rows, _ = import_rows(folder, [f"{data},1,What is it?,chest,train"], images=False)
    given = open_image(folder / "a.dcm", frame=1)
    assert np.array_equal(decode_image(rows[0]["image"], where="x"), given)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.dcm,2,Q?,yes,train", r"row 1: a\.dcm: no frame 2; the image has 2 frames \(0 to 1\)"),
        ("b.nii.gz,9,Q?,yes,train", r"row 1: b\.nii\.gz: no frame 9; the image has 9 frames"),
        ("c.png,1,Q?,yes,train", r"row 1: c\.png: no frame 1; the image has 1 frame \("),
        ("a.dcm,first,Q?,yes,train", r"row 1: frame 'first' is not a number from 0"),
        ("a.dcm,-1,Q?,yes,train", r"row 1: frame '-1' is not a number from 0"),
    ],
)
def test_bad_frames_are_bad_rows(folder, line, message):
    with pytest.raises(DataError, match=f"{message}.*--skip-bad"):
        import_rows(folder, [line])
    rows, card = import_rows(folder, [line, "c.png,,Q?,yes,train"], skip_bad=True)
    assert len(rows) == 1
    assert card.preparation["skipped"] == 1


def test_folders_of_images(folder, tmp_path):
    from biomedgpt.data.prepared.writer import SplitWriter

    corpus = next(one for one in CORPORA if one.name == "image-folder")
    works = corpus.plan(folder)
    documents = [one for work in works for one in corpus.read(work, Reading(folder))]
    assert [one.name for one in documents] == ["a.dcm", "b.nii.gz", "c.png"]
    path = tmp_path / "out.h5"
    with SplitWriter(path, task="images", fields=corpus.fields) as writer:
        for document in documents:
            writer.add(document.rows[0])
    content = path.read_bytes()
    assert b"Doe" not in content
    assert content.count(b"\x89PNG") == 3
    assert writer.sizes.total() == 3


def test_the_same_dicom_is_stored_once(folder):
    rows, card = import_rows(
        folder, ["a.dcm,,What is it?,chest,train", "a.dcm,0,What else?,chest,train"]
    )
    assert card.image_counts == {"train": 1}
    assert rows[0]["image"] == rows[1]["image"]
    assert Image.open(io.BytesIO(rows[0]["image"])).mode == "L"
