"""`biomedgpt data show`: fields of rows, and their images as files."""

import json

import numpy as np
import pytest
from data_samples import write_sample
from PIL import Image

from biomedgpt.cli.main import main
from biomedgpt.data.imaging.images import decode_image
from biomedgpt.data.prepared.dataset import PreparedDataset


@pytest.fixture
def sample(tmp_path):
    write_sample(tmp_path / "sample")
    return tmp_path / "sample"


def test_rows_and_image_are_those_of_the_dataset(sample, tmp_path, capsys):
    split = PreparedDataset(sample).split("test")
    target = tmp_path / "out.png"
    assert main(["data", "show", str(sample), "--split", "test", "--image", str(target)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"row 1 of {len(split)}\n")
    assert split.text("question", 0) in shown
    stored = decode_image(split.image(int(split.image_index[0])), where="")
    np.testing.assert_array_equal(np.asarray(Image.open(target)), np.asarray(stored))

    assert main(["data", "show", str(sample), "--split", "test", "--rows", "99", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == split.column("id")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--row", "999"], "there is no row 999"),
        (["--row", "0"], "--row and --rows count from 1"),
        (["--split", "other"], "other"),
        (["--image", "x.jpg"], "give a name that ends in .png"),
    ],
)
def test_what_is_not_there_is_one_error(sample, options, message, capsys):
    assert main(["data", "show", str(sample), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
