"""A modality is a module that recognises and decodes its files, and an entry in `MODALITIES`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biomedgpt.cli.main import main
from biomedgpt.data.imaging import images
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import DataError


def recognises(head: bytes) -> bool:
    return head.startswith(b"ECHO")


def decode(data: bytes | Path, *, where: str, frame: int | None = None) -> Image.Image:
    content = data.read_bytes() if isinstance(data, Path) else data
    lines = content.decode().split("\n")[1:]
    if not lines:
        raise DataError(f"{where}: no lines")
    return Image.fromarray(np.array([line.split() for line in lines], dtype=np.uint8))


def test_an_added_modality_is_imported_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = images.Modality(recognises, decode)
    monkeypatch.setattr(images, "MODALITIES", (*images.MODALITIES, added))
    rows = ["image,caption,split"]
    for number, split in enumerate(("train", "train", "valid", "test")):
        rows.append(f"{number}.echo,a beam of {number},{split}")
        (tmp_path / f"{number}.echo").write_text(f"ECHO\n0 {number}\n200 255")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(rows))
    arguments = ["data", "import", "--task", "captioning", "--table", str(table)]
    folder = tmp_path / "prepared"
    assert main([*arguments, "--images", str(tmp_path), "--out", str(folder)]) == 0
    (row,) = PreparedDataset(folder).split("test")
    # Stored as a picture: whoever reads the dataset needs not know the modality.
    monkeypatch.undo()
    shown = images.decode_image(row["image"], where="row")
    assert np.asarray(shown)[..., 0].tolist() == [[0, 3], [200, 255]]
    with pytest.raises(DataError, match="not an image"):
        images.decode_image(tmp_path / "0.echo", where="row")
