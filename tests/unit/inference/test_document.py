"""Documents: instructions answered with text and a generated image."""

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_samples import picture, write_checkpoint
from PIL import Image
from vqgan_samples import small_tokenizer

from biomedgpt.cli.main import main
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.examples.segments import ImageCodes
from biomedgpt.generation.session import DecodingSession
from biomedgpt.inference import Document, Predictor, load
from biomedgpt.tasks import get_task
from biomedgpt.vqgan.generation import Drawing
from biomedgpt.vqgan.pixels import to_image

GRID = 4
ASK = "draw a lesion in the left lung."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with its image tokenizer beside it."""
    tokenizer = small_tokenizer()
    path = write_checkpoint(
        tmp_path_factory.mktemp("drawing") / "model",
        seed=2,  # these weights have something to say on either side of an image
        task="instruction",
        task_options=ImageCodes(GRID, tokenizer.num_codes, tokenizer.fingerprint).options(),
        decoding=get_task("instruction").decoding,
    )
    tokenizer.save(path / "image_tokenizer")
    return path


@pytest.fixture(autouse=True)
def draws(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, float]]:
    """What random weights find more probable, by id: here to draw, and to end soon."""
    amounts: dict[int, float] = {}
    log_probs = DecodingSession.log_probs

    def changed(session: DecodingSession, *args: float) -> torch.Tensor:
        found = log_probs(session, *args)
        ids = torch.arange(found.shape[-1]) if session.ids is None else session.ids
        for token, amount in amounts.items():
            found = found + amount * (ids == token)
        return found.log_softmax(-1).nan_to_num(nan=-torch.inf)

    monkeypatch.setattr(DecodingSession, "log_probs", changed)
    return amounts


@pytest.fixture
def model(folder: Path, draws: dict[int, float]) -> Predictor:
    loaded = load(folder, device="cpu")
    draws |= {loaded.vocabulary.image_begin: 4.0, loaded.vocabulary.eos: 5.0}
    return loaded


def test_text_image_text(model: Predictor) -> None:
    document = model.document(ASK)
    assert isinstance(document, Document)
    before, image, after = document.parts
    assert isinstance(before, str)
    assert isinstance(after, str)
    assert isinstance(image, Image.Image)
    assert image.size == (32, 32)
    assert document.text == f"{before} <image> {after}"
    (same,) = model.document([ASK])  # type: ignore[misc]
    assert (np.asarray(same.images[0]) == np.asarray(image)).all()
    drawing = Drawing(sampling=True, temperature=5.0, seed=8)
    other = model.document(ASK, drawing=drawing)
    assert isinstance(other, Document)
    assert (np.asarray(other.images[0]) != np.asarray(image)).any()
    assert other.parts[0] == before  # text is searched for, whatever is drawn


def test_the_image_is_that_of_the_codes_of_the_answer(model: Predictor) -> None:
    (document,) = model.document([ASK])  # type: ignore[misc]
    result = model.answer([picture()], "x")  # about an image: the same path
    assert isinstance(result, list)
    (result,) = model.predict("instruction", [{"instruction": ASK}])
    assert result.text == document.text
    (codes,) = result.to_dict()["codes"]
    assert len(codes) == GRID**2
    pixels = small_tokenizer().decode(torch.tensor([codes]), (GRID, GRID))[0]
    assert (np.asarray(to_image(pixels)) == np.asarray(document.images[0])).all()


def test_an_instruction_may_be_about_an_image_and_need_none_back(
    model: Predictor, draws: dict[int, float]
) -> None:
    draws[model.vocabulary.image_begin] = -1e9
    plain, about = model.document([ASK, ASK]), model.document(ASK, picture())
    assert isinstance(plain, list)
    assert isinstance(about, Document)
    assert not plain[0].images
    assert "<image>" not in plain[0].text
    (result,) = model.predict("instruction", [{"instruction": ASK}])
    assert "codes" not in result.to_dict()


def test_what_cannot_be_drawn_is_one_line(model: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty instruction"):
        model.document("  ")
    with pytest.raises(ConfigError, match="a document has one answer"):
        model.document(ASK, drawing=Drawing(samples=2))
    bare = load(write_checkpoint(tmp_path / "bare", task="instruction"), device="cpu")
    with pytest.raises(ConfigError, match="not trained on answers that show images"):
        bare.document(ASK)
    images = ImageCodes(GRID, 12, "another")
    write_checkpoint(tmp_path / "other", task="instruction", task_options=images.options())
    with pytest.raises(ConfigError, match="needs the image tokenizer"):
        load(tmp_path / "other", device="cpu").document(ASK)
    small_tokenizer().save(tmp_path / "other" / "image_tokenizer")
    with pytest.raises(ConfigError, match="not the one that the model was trained with"):
        load(tmp_path / "other", device="cpu").document(ASK)


HOSTILE = 'draw <script>alert("x")</script> [a](javascript:b) & "quotes"'


@pytest.fixture
def document() -> Document:
    return Document(
        instruction=HOSTILE,
        parts=("before <b>", picture(1, (8, 8)), "![after](x)", picture(2, (8, 8))),
    )


def test_html_holds_its_images_and_no_foreign_markup(document: Document, tmp_path: Path) -> None:
    path = document.save(tmp_path / "a.html")
    page = path.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<b>" not in page
    assert "http" not in page
    data = re.findall(r'src="data:image/png;base64,([^"]+)" width="\d+" alt="([^"]+)"', page)
    assert len(data) == 2
    for (content, alt), image, number in zip(data, document.images, (1, 2), strict=True):
        shown = Image.open(io.BytesIO(base64.b64decode(content)))
        assert (np.asarray(shown) == np.asarray(image)).all()
        assert alt.startswith(f"Image {number} of 2, generated for: draw &lt;script&gt;")
    with pytest.raises(ConfigError, match="is there already"):
        document.save(path)
    assert document.save(path, overwrite=True) == path


def test_markdown_lies_beside_its_images(document: Document, tmp_path: Path) -> None:
    path = document.save(tmp_path / "a")
    assert path == tmp_path / "a" / "document.md"
    names = sorted(one.name for one in path.parent.iterdir())
    assert names == ["document.md", "image-1.png", "image-2.png"]
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"(?<!\\)\]\(([^)]+)\)", text) == ["image-1.png", "image-2.png"]
    assert "<" not in text
    assert text.index("before") < text.index("image-1") < text.index("after") < text.index("-2.")
    with Image.open(path.parent / "image-2.png") as image:
        assert (np.asarray(image) == np.asarray(document.images[1])).all()
    with pytest.raises(ConfigError, match="add --overwrite"):
        document.save(path.parent)
    document.save(path.parent, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("kept")
    with pytest.raises(ConfigError, match="is not empty"):
        document.save(tmp_path / "mine", overwrite=True)
    with pytest.raises(ConfigError, match=r"ends in \.html"):
        document.save(tmp_path / "a.pdf")
    assert (tmp_path / "mine" / "notes").read_text() == "kept"


def test_command(
    model: Predictor, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del model  # draws from here on
    base = ["document", "--checkpoint", str(folder), "--device", "cpu", "--text", ASK]
    out = tmp_path / "a.html"
    assert main([*base, "--out", str(out)]) == 0
    text, path = capsys.readouterr().out.splitlines()
    assert "<image>" in text
    assert path == str(out)
    assert "data:image/png" in out.read_text()
    assert main([*base, "--greedy", "--out", str(tmp_path / "b")]) == 0
    assert (tmp_path / "b" / "image-1.png").is_file()
    picture().save(tmp_path / "x.png")
    options = ["--image", str(tmp_path / "x.png"), "--out", str(tmp_path / "about")]
    assert main([*base, *options]) == 0
    assert (tmp_path / "about" / "document.md").is_file()
    capsys.readouterr()
    for wrong, message in (
        (["--out", str(out)], "is there already"),
        (["--out", str(tmp_path / "a.pdf")], "ends in .html"),
        (["--out", str(tmp_path / "c"), "--top-k", "-1"], "top_k must not be negative"),
        (["--out", str(tmp_path / "c"), "--image", "none.png"], "none.png"),
        (["--out", str(tmp_path / "c"), "--image-tokenizer", str(tmp_path)], "no image tokenizer"),
    ):
        assert main([*base, *wrong]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1
    assert not (tmp_path / "c").exists()


def test_predictions_of_many_hold_the_codes(model: Predictor, folder: Path, tmp_path: Path) -> None:
    del model
    table = tmp_path / "t.csv"
    table.write_text(f"instruction\n{ASK}\n")
    options = ["--task", "instruction", "--input", str(table), "--out", str(tmp_path / "p.jsonl")]
    assert main(["predict", "--checkpoint", str(folder), "--device", "cpu", *options]) == 0
    (line,) = [json.loads(one) for one in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert "<image>" in line["prediction"]
    assert len(line["codes"][0]) == GRID**2
