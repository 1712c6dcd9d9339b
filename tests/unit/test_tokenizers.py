import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece

from biomedgpt.errors import DataError, VocabularyError
from biomedgpt.vocabulary import Vocabulary

HARD_TEXTS = [
    "",
    " ",
    "  two  spaces ",
    "\n",
    "line\nbreak\r\nand\ttab \x00 nul",
    "it's he'll WE'RE don't 'quoted'",
    "<|endoftext|>",
    " <|endoftext|> <s> </s> <unk> <mask> <code_3> <bin_5> <0x41>",
    "x=3.14e-10; 5%–10% ≥ ½ µg/mL",
    "naïve Ångström e\u0301 \u00e9",
    "😀 👩\u200d⚕️ 🏴\U000e0067\U000e007f",
    "肺炎 رئة फेफड़ा 폐렴",
    "\u2581 space mark \u2581\u2581",
    "\u00a0\u2003\u200b\ufeff\u2028\u0085",
    "\ufffd \uffff \U0010ffff",
    "a" * 3000,
]


@pytest.fixture(scope="module")
def reference(gpt2_bpe: Path) -> Vocabulary:
    return Vocabulary.from_gpt2_bpe(gpt2_bpe)


@pytest.fixture(scope="module")
def small() -> Vocabulary:
    return Vocabulary.train_sentencepiece([" is the heart normal?", " yes", " no"] * 9, size=300)


@pytest.fixture(scope="module")
def fairseq_ids(gpt2_bpe: Path) -> Callable[[str], list[int]]:
    """GPT-2 BPE and dictionary as fairseq has them."""
    data = pytest.importorskip("fairseq.data")
    utils = pytest.importorskip("fairseq.data.encoders.gpt2_bpe_utils")
    encoder = utils.get_encoder(str(gpt2_bpe / "encoder.json"), str(gpt2_bpe / "vocab.bpe"))
    dictionary = data.Dictionary.load(str(gpt2_bpe / "dict.txt"))

    def encode(text: str) -> list[int]:
        line = " ".join(map(str, encoder.encode(text)))
        ids = dictionary.encode_line(line, add_if_not_exist=False, append_eos=False)
        return [int(i) for i in ids]

    return encode


def vqa_rad_texts(real_data: Path) -> list[str]:
    rows = json.loads((real_data / "vqa_rad" / "VQA_RAD Dataset Public.json").read_text())
    assert len(rows) == 2248
    return [str(row[key]) for row in rows for key in ("question", "answer")]


def meqsum_texts(real_data: Path) -> list[str]:
    openpyxl = pytest.importorskip("openpyxl")
    (path,) = (real_data / "meqsum").glob("*.xlsx")
    book = openpyxl.load_workbook(path, read_only=True)
    texts = [str(v) for row in book.active.iter_rows(values_only=True) for v in row if v]
    assert len(texts) > 2000
    return texts


def assert_same_ids(
    vocabulary: Vocabulary, fairseq_ids: Callable[[str], list[int]], texts: list[str]
) -> None:
    for text in texts:
        for variant in (text, " " + text):
            ids = vocabulary.encode_text(variant)
            assert ids == fairseq_ids(variant), repr(variant)
            assert vocabulary.decode_text(ids) == variant


def test_bpe_equals_fairseq_on_hard_text(
    reference: Vocabulary, fairseq_ids: Callable[[str], list[int]]
) -> None:
    # Characters from all over Unicode, so that letter and space classes are compared.
    rows = [chr(c) for c in range(1, 0x30000, 37) if not 0xD800 <= c < 0xE000]
    mixed = [
        "a".join(rows[i : i + 50]) + " " + "".join(rows[i : i + 50]) for i in range(0, 4500, 50)
    ]
    assert_same_ids(reference, fairseq_ids, HARD_TEXTS + mixed)


@pytest.mark.parametrize("texts", [vqa_rad_texts, meqsum_texts])
def test_bpe_equals_fairseq_on_real_text(
    reference: Vocabulary,
    fairseq_ids: Callable[[str], list[int]],
    real_data: Path,
    texts: Callable[[Path], list[str]],
) -> None:
    assert_same_ids(reference, fairseq_ids, texts(real_data))


def test_bpe_known_ids(reference: Vocabulary) -> None:
    symbols = reference.symbols()
    assert [symbols[i] for i in reference.encode_text(" Hello world")] == ["18435", "995"]


def test_bpe_decodes_broken_utf8_and_fillers(reference: Vocabulary) -> None:
    symbols = reference.symbols()
    (first, *_) = reference.encode_text("😀")
    assert reference.decode_text([first]) == "\ufffd"
    assert reference.decode_text([symbols.index("madeupword0001")]) == ""
    assert reference.decode_text([symbols.index("50256")]) == "<|endoftext|>"


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_sentencepiece_gives_back_any_text(small: Vocabulary, text: str) -> None:
    for variant in (text, " " + text, text + "\n"):
        ids = small.encode_text(variant)
        assert small.unk not in ids
        assert small.decode_text(ids) == variant


def test_sentencepiece_joins_what_it_saw(small: Vocabulary) -> None:
    texts = [" is the heart normal?", " is the spleen normal?"] * 50
    trained = Vocabulary.train_sentencepiece(texts, size=320)
    assert len(trained.encode_text(" is the heart normal?")) < len(" is the heart normal?") / 2


def test_sentencepiece_training_needs_text_and_room() -> None:
    for texts in ([], ["", " \n"]):
        with pytest.raises(VocabularyError, match="no text"):
            Vocabulary.train_sentencepiece(texts, size=300)
    with pytest.raises(VocabularyError, match="ask for at least 260"):
        Vocabulary.train_sentencepiece(["abc"], size=200)
    assert Vocabulary.train_sentencepiece(["abc"], size=260).num_text <= 260


def test_sentencepiece_training_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    Vocabulary.train_sentencepiece([" quiet please"], size=300)
    assert capfd.readouterr() == ("", "")


def test_lone_surrogates_are_refused(small: Vocabulary, reference: Vocabulary) -> None:
    for vocabulary in (small, reference):
        with pytest.raises(DataError, match="lone surrogate at character 2"):
            vocabulary.encode_text("ab\ud800")


def damage(folder: Path, name: str, change: Callable[[list[str]], list[str]]) -> None:
    lines = (folder / name).read_text(encoding="utf-8").split("\n")
    (folder / name).write_text("\n".join(change(lines)), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("dict.txt", lambda x: [*x[:9], x[0], *x[9:]], r"dict\.txt, line 10: '13' .* line 1"),
        ("dict.txt", lambda x: [*x[:9], "12", *x[9:]], r"dict\.txt, line 10: expected"),
        ("dict.txt", lambda x: [*x[:9], "", *x[9:]], r"dict\.txt, line 10: expected"),
        ("dict.txt", lambda x: [*x[:9], "60000 1", *x[9:]], r"line 10: id 60000 is not in"),
        ("dict.txt", lambda x: x[:100], r"dict\.txt, line 100: the file ends without"),
        ("dict.txt", lambda x: [], r"dict\.txt, line 1: expected"),
        ("vocab.bpe", lambda x: x[1:], r"vocab\.bpe, line 1: expected '#version"),
        ("vocab.bpe", lambda x: [*x[:5], "qq zz", *x[5:]], r"vocab\.bpe, line 6: 'qq zz'"),
        ("vocab.bpe", lambda x: x[:500], r"vocab\.bpe, line 500: the file ends inside"),
        ("vocab.bpe", lambda x: [*x[:500], ""], r"vocab\.bpe: 499 merges"),
        ("encoder.json", lambda x: [x[0][:999]], r"encoder\.json: not JSON"),
        ("encoder.json", lambda x: ["[1]"], r"encoder\.json: expected one JSON object"),
        ("encoder.json", lambda x: ['{"a": 1}'], r"encoder\.json: 255 of the 256 byte"),
    ],
)
def test_damaged_bpe_files_are_named(
    gpt2_bpe: Path,
    tmp_path: Path,
    name: str,
    change: Callable[[list[str]], list[str]],
    message: str,
) -> None:
    for source in gpt2_bpe.iterdir():
        shutil.copyfile(source, tmp_path / source.name)
    damage(tmp_path, name, change)
    with pytest.raises(VocabularyError, match=message):
        Vocabulary.from_gpt2_bpe(tmp_path)


def test_missing_and_binary_bpe_files_are_named(gpt2_bpe: Path, tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match=r"encoder\.json: cannot read"):
        Vocabulary.from_gpt2_bpe(tmp_path)
    for source in gpt2_bpe.iterdir():
        shutil.copyfile(source, tmp_path / source.name)
    (tmp_path / "vocab.bpe").write_bytes(b"\xff\xfe")
    with pytest.raises(VocabularyError, match=r"vocab\.bpe: not UTF-8 at byte 0"):
        Vocabulary.from_gpt2_bpe(tmp_path)


def test_windows_line_ends_change_nothing(
    reference: Vocabulary, gpt2_bpe: Path, tmp_path: Path
) -> None:
    for source in gpt2_bpe.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes().replace(b"\n", b"\r\n"))
    assert Vocabulary.from_gpt2_bpe(tmp_path).symbols() == reference.symbols()


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 100])
def test_damaged_sentencepiece_model_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "my.model").write_bytes(content)
    with pytest.raises(VocabularyError, match="not a SentencePiece model"):
        Vocabulary.from_sentencepiece(tmp_path / "my.model")
    with pytest.raises(VocabularyError, match=r"other\.model: cannot read"):
        Vocabulary.from_sentencepiece(tmp_path / "other.model")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ({"unk_id": 1, "bos_id": 0, "eos_id": -1}, "piece 0 must be the unknown piece"),
        ({"unk_id": 0, "bos_id": 1, "eos_id": 2}, "'<s>' stands twice"),
    ],
)
def test_sentencepiece_models_of_another_layout_are_refused(
    tmp_path: Path, ids: dict[str, int], message: str
) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c"] * 9),
        model_writer=model,
        vocab_size=300,
        hard_vocab_limit=False,
        minloglevel=2,
        **ids,
    )
    (tmp_path / "my.model").write_bytes(model.getvalue())
    with pytest.raises(VocabularyError, match=message):
        Vocabulary.from_sentencepiece(tmp_path / "my.model")
