import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from biomedgpt.errors import DataError, VocabularyError
from biomedgpt.vocabulary import BoxSegment, CodeSegment, TextSegment, Vocabulary

TEXTS = [
    " what is the size of the lesion in the left kidney?",
    " is there a nodule in the right lung?",
    " the heart is of normal size and both lungs are clear.",
    " no",
    " yes",
] * 20


@pytest.fixture(scope="module")
def small() -> Vocabulary:
    return Vocabulary.train_sentencepiece(TEXTS, size=300, num_codes=16, num_bins=100)


@pytest.fixture(scope="module")
def reference(gpt2_bpe: Path) -> Vocabulary:
    return Vocabulary.from_gpt2_bpe(gpt2_bpe)


def test_reference_layout(reference: Vocabulary) -> None:
    assert len(reference) == 59_457
    assert reference.num_text == 50_260
    assert (reference.bos, reference.pad, reference.eos, reference.unk) == (0, 1, 2, 3)
    assert reference.mask == 50_264
    assert reference.codes == range(50_265, 58_457)
    assert reference.bins == range(58_457, 59_457)
    symbols = reference.symbols()
    assert len(symbols) == len(set(symbols)) == len(reference)
    assert symbols[:5] == ["<s>", "<pad>", "</s>", "<unk>", "13"]
    assert symbols[reference.mask] == "<mask>"
    assert symbols[reference.codes[7]] == "<code_7>"
    assert symbols[reference.bins[-1]] == "<bin_999>"


def test_symbols_number_a_fairseq_dictionary_alike(reference: Vocabulary, gpt2_bpe: Path) -> None:
    dictionary = pytest.importorskip("fairseq.data").Dictionary.load(str(gpt2_bpe / "dict.txt"))
    dictionary.add_symbol("<mask>")
    for i in range(8192):
        dictionary.add_symbol(f"<code_{i}>")
    for i in range(1000):
        dictionary.add_symbol(f"<bin_{i}>")
    assert dictionary.symbols == reference.symbols()


def test_small_layout_has_the_same_scheme(small: Vocabulary) -> None:
    symbols = small.symbols()
    assert len(symbols) == len(set(symbols)) == len(small) == 4 + small.num_text + 1 + 16 + 100
    assert symbols[small.mask] == "<mask>"
    assert symbols[small.codes[0] : small.bins[0]] == [f"<code_{i}>" for i in range(16)]
    assert 257 <= small.num_text <= 300
    assert all(i in range(4, small.mask) for i in small.encode_text(TEXTS[0]))


def test_decode_text_skips_what_is_not_text(small: Vocabulary) -> None:
    ids = [small.bos, *small.encode_text(" no"), small.mask, small.codes[3], small.bins[9]]
    ids += [small.unk, *small.encode_text(" nodule"), small.eos, small.pad]
    assert small.decode_text(ids) == " no nodule"
    assert small.decode_text(np.array(ids)) == " no nodule"
    assert small.decode_text([]) == ""


def test_codes_round_trip_and_range(small: Vocabulary) -> None:
    codes = [0, 15, 7, 7]
    ids = small.encode_codes(np.array(codes))
    assert ids == [small.codes[c] for c in codes]
    assert small.decode_codes(ids) == codes
    for code in (-1, 16):
        with pytest.raises(DataError, match=rf"code {code} at position 1 .*0\.\.15"):
            small.encode_codes([0, code])
    for i in (small.mask, small.bins[0]):
        with pytest.raises(VocabularyError, match=f"id {i} at position 0 is not an? image code"):
            small.decode_codes([i])


def test_boxes_come_back_within_half_a_bin(reference: Vocabulary) -> None:
    rng = np.random.default_rng(0)
    for width, height in [(96, 96), (640, 333.5), (3000, 17)]:
        corners = np.sort(rng.uniform(0, 1, (300, 2, 2)), axis=1)  # (n, corner, xy)
        boxes = (corners * (width, height)).reshape(-1, 4)
        boxes = np.concatenate([boxes, [[0, 0, width, height], [0, 0, 0, 0]]])
        half_bin = np.array([width, height] * 2) / 999 / 2
        for box in boxes.tolist():
            ids = reference.encode_box(box, width=width, height=height)
            assert all(i in reference.bins for i in ids)
            back = reference.decode_box(ids, width=width, height=height)
            assert (np.abs(np.subtract(back, box)) <= half_bin + 1e-9).all()
            assert reference.encode_box(back, width=width, height=height) == ids


def test_box_bins_are_those_of_the_reference(reference: Vocabulary) -> None:
    ids = reference.encode_box((10, 20, 30, 40), width=100, height=200)
    assert [i - reference.bins.start for i in ids] == [100, 100, 300, 200]


@pytest.mark.parametrize(
    "box",
    [
        (-1, 0, 5, 5),
        (0, 0, 101, 5),
        (0, 0, 5, 51),
        (0, -0.1, 5, 5),
        (float("nan"), 0, 5, 5),
        (0, 0, float("inf"), 5),
    ],
)
def test_box_outside_the_image_is_refused(small: Vocabulary, box: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="not inside its image of 100 x 50"):
        small.encode_box(box, width=100, height=50)


def test_malformed_boxes_are_refused(small: Vocabulary) -> None:
    for box in [(9, 0, 5, 5), (0, 9, 5, 5)]:
        with pytest.raises(DataError, match="inverted"):
            small.encode_box(box, width=100, height=50)
    with pytest.raises(DataError, match="3 numbers"):
        small.encode_box((0, 1, 2), width=100, height=50)
    with pytest.raises(DataError, match="both must be positive"):
        small.encode_box((0, 0, 1, 1), width=0, height=50)
    with pytest.raises(VocabularyError, match="found 3"):
        small.decode_box(small.bins[:3], width=1, height=1)
    with pytest.raises(VocabularyError, match="not a location bin"):
        small.decode_box([*small.bins[:3], small.codes[0]], width=1, height=1)


def test_mixed_sequence_round_trip(small: Vocabulary) -> None:
    segments = [
        TextSegment(" the lesion is at"),
        BoxSegment((10, 20, 30, 50), 99, 99),
        BoxSegment((0, 0, 99, 99), 99, 99),
        TextSegment(" and looks like"),
        CodeSegment((1, 2, 3)),
    ]
    ids = small.encode(segments)
    assert small.decode([small.bos, *ids, small.eos], width=99, height=99) == segments
    assert small.encode(small.decode(ids)) == ids
    assert small.decode([]) == []


def test_mixed_sequence_refuses_broken_ids(small: Vocabulary) -> None:
    with pytest.raises(VocabularyError, match="found 1"):
        small.decode([*small.bins[:5], *small.encode_text(" no")])
    for i in (-1, len(small)):
        with pytest.raises(VocabularyError, match=f"id {i} at position 0"):
            small.decode([i])


def test_save_and_load_small(small: Vocabulary, tmp_path: Path) -> None:
    small.save(tmp_path / "a" / "b")
    loaded = Vocabulary.load(tmp_path / "a" / "b")
    assert loaded.symbols() == small.symbols()
    assert loaded.fingerprint == small.fingerprint
    assert loaded.encode_text(" a nodule?\n") == small.encode_text(" a nodule?\n")
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == [
        "sentencepiece.model",
        "vocabulary.json",
    ]
    model = tmp_path / "a" / "b" / "sentencepiece.model"
    again = Vocabulary.from_sentencepiece(model, num_codes=16, num_bins=100)
    assert again.fingerprint == small.fingerprint


def test_save_and_load_reference(reference: Vocabulary, gpt2_bpe: Path, tmp_path: Path) -> None:
    assert Vocabulary.load(gpt2_bpe).fingerprint == reference.fingerprint
    Vocabulary.from_gpt2_bpe(gpt2_bpe, num_codes=4, num_bins=10).save(tmp_path)
    loaded = Vocabulary.load(tmp_path)
    assert (len(loaded), loaded.num_codes, loaded.num_bins) == (50_265 + 14, 4, 10)
    assert loaded.fingerprint != reference.fingerprint


def test_pickling_keeps_ids(small: Vocabulary, reference: Vocabulary) -> None:
    for vocabulary in (small, reference):
        copy = pickle.loads(pickle.dumps(vocabulary))
        assert copy.fingerprint == vocabulary.fingerprint
        assert copy.encode_text(" left kidney") == vocabulary.encode_text(" left kidney")
        assert copy.bins == vocabulary.bins


def test_fingerprint_follows_everything_that_fixes_ids(small: Vocabulary) -> None:
    same = Vocabulary.train_sentencepiece(TEXTS, size=300, num_codes=16, num_bins=100)
    assert same.fingerprint == small.fingerprint
    others = [
        Vocabulary.train_sentencepiece(TEXTS, size=300, num_codes=17, num_bins=100),
        Vocabulary.train_sentencepiece(TEXTS, size=300, num_codes=16, num_bins=101),
        Vocabulary.train_sentencepiece([*TEXTS, " a new word"], size=300, num_codes=16),
    ]
    assert len({small.fingerprint, *(v.fingerprint for v in others)}) == 4


def test_changed_files_are_noticed(small: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match=r"no vocabulary here; expected vocabulary\.json"):
        Vocabulary.load(tmp_path)
    small.save(tmp_path)
    model = tmp_path / "sentencepiece.model"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + b"?")
    with pytest.raises(VocabularyError, match=r"sentencepiece\.model: does not have the hash"):
        Vocabulary.load(tmp_path)
    model.unlink()
    with pytest.raises(VocabularyError, match=r"sentencepiece\.model: cannot read"):
        Vocabulary.load(tmp_path)


def test_damaged_descriptions_are_refused(small: Vocabulary, tmp_path: Path) -> None:
    small.save(tmp_path)
    path = tmp_path / "vocabulary.json"
    good = json.loads(path.read_text())
    for damage in ("", "[]", "{", json.dumps({k: v for k, v in good.items() if k != "num_bins"})):
        path.write_text(damage)
        with pytest.raises(VocabularyError, match=r"vocabulary\.json: damaged"):
            Vocabulary.load(tmp_path)
    for change in ({"format": 99}, {"kind": "wordpiece"}):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(VocabularyError, match="unknown to this version"):
            Vocabulary.load(tmp_path)
    for key, value in (("num_codes", 3), ("entries", 3), ("fingerprint", "0" * 64)):
        path.write_text(json.dumps({**good, key: value}))
        with pytest.raises(VocabularyError, match=r"vocabulary\.json: entries or fingerprint"):
            Vocabulary.load(tmp_path)
    for value in (-1, 10**12):
        path.write_text(json.dumps({**good, "num_codes": value}))
        with pytest.raises(VocabularyError, match=r"vocabulary\.json: num_codes .*restore"):
            Vocabulary.load(tmp_path)


def test_symbols_may_not_clash(gpt2_bpe: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(gpt2_bpe, tmp_path / "bpe", copy_function=shutil.copyfile))
    folder.chmod(0o755)
    lines = (folder / "dict.txt").read_text().splitlines()
    (folder / "dict.txt").write_text("\n".join([*lines, "<mask> 0"]) + "\n")
    with pytest.raises(VocabularyError, match="'<mask>' stands twice"):
        Vocabulary.from_gpt2_bpe(folder)


def test_sizes_must_make_sense() -> None:
    with pytest.raises(VocabularyError, match="at least 2"):
        Vocabulary.train_sentencepiece(TEXTS, size=300, num_bins=1)
    with pytest.raises(VocabularyError, match="negative"):
        Vocabulary.train_sentencepiece(TEXTS, size=300, num_codes=-1)
