"""The reader of the ROCO repository, on small copies."""

import pytest
from raw_releases.captions import write_roco

from biomedgpt.data.prepare import prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import DataError


def run(raw, out, **options):
    options = {"vocabulary": False} | options
    return prepare("roco", raw=raw, out=out, options=PrepareOptions(**options))


def test_official_splits_of_radiology_images_only(tmp_path):
    write_roco(tmp_path / "raw" / "data")
    card = run(tmp_path / "raw", tmp_path / "out")
    assert card.counts == {"train": 12, "valid": 4, "test": 6}
    row = PreparedDataset(tmp_path / "out").split("train")[1]
    assert row.pop("image")
    assert row == {
        "id": "ROCO_00002",
        "caption": 'CT scan no. 2, a "nodule" (arrow).',
        "references": '[{"answer": "CT scan no. 2, a \\"nodule\\" (arrow).", "confidence": 1.0}]',
        "image_name": "ROCO_00002.jpg",
    }


def test_images_named_after_their_article_are_found(tmp_path):
    write_roco(tmp_path / "raw")
    run(tmp_path / "raw", tmp_path / "out")
    names = PreparedDataset(tmp_path / "out").split("test").column("image_name")
    assert names[:2] == ["PMC4000017_fig-17-g01.jpg", "ROCO_00018.jpg"]
    for path in (tmp_path / "raw").rglob("licences.txt"):
        path.unlink()
    with pytest.raises(DataError, match=r"row 1: cannot read image .*ROCO_00001\.jpg"):
        run(tmp_path / "raw", tmp_path / "other")


@pytest.mark.parametrize("root", [".", "data", "all_data"])
@pytest.mark.parametrize("level", [True, False])
def test_where_the_splits_may_lie(tmp_path, root, level):
    write_roco(tmp_path / "raw" / root)
    if not level:
        for split in ("train", "validation", "test"):
            folder = tmp_path / "raw" / root / split
            for path in (folder / "radiology").iterdir():
                path.rename(folder / path.name)
            (folder / "radiology").rmdir()
    assert run(tmp_path / "raw", tmp_path / "out").counts["train"] == 12


BAD_LINES = {
    "no image": ("ROCO_77777\t A caption.", r"cannot read image .*ROCO_77777\.jpg: No such file"),
    "no caption": ("ROCO_00002\t ", "empty caption"),
    "no word": ("ROCO_00002\t (...)", "empty caption"),
    "no tab": ("ROCO_00002 A caption.", "no tab between id and caption"),
    "elsewhere": ("../../secret\tA caption.", r"'\.\./\.\./secret' is not a plain file name"),
    "encoding": (b"ROCO_00002\t 39\xb0", r"caption is not UTF-8 \(byte 0xb0\)"),
    "twice": ("ROCO_00004\tAgain.", "id ROCO_00004 was there before"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_one_error_or_skipped(tmp_path, name):
    line, message = BAD_LINES[name]
    write_roco(tmp_path / "raw")
    path = tmp_path / "raw" / "train" / "radiology" / "captions.txt"
    lines = path.read_bytes().split(b"\n")
    lines[4] = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(b"\r\n".join(lines))
    with pytest.raises(
        DataError, match=rf"train/radiology/captions\.txt: row 5: {message}"
    ) as error:
        run(tmp_path / "raw", tmp_path / "out")
    assert "\n" not in str(error.value)
    assert "--skip-bad" in str(error.value)
    card = run(tmp_path / "raw", tmp_path / "out", skip_bad=True)
    assert card.counts == {"train": 11, "valid": 4, "test": 6}
    assert card.preparation["skipped"] == 1


def test_a_missing_split_is_named(tmp_path):
    write_roco(tmp_path / "raw" / "data", sizes=(("train", 2), ("test", 2)))
    with pytest.raises(DataError, match=r"missing 'validation/radiology/captions\.txt' and"):
        run(tmp_path / "raw", tmp_path / "out", skip_bad=True)
