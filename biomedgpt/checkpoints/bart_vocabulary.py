"""The GPT-2 BPE as transformers keeps it for BART and OFA: ``vocab.json`` and ``merges.txt``.

OFA's own files give each token the id that GPT-2 gave it (``encoder.json``) and list these ids in
the order of the dictionary (``dict.txt``). There, ``vocab.json`` has the place in the dictionary at
once. GPT-2's ids follow from the merges, so that one can be made of the other; only the counts in
``dict.txt``, which nothing reads, are lost.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from biomedgpt.errors import VocabularyError
from biomedgpt.files import parse_json
from biomedgpt.tokenizers import ByteLevelBPE, byte_alphabet, read_files
from biomedgpt.vocabulary import Vocabulary

VOCAB = "vocab.json"
MERGES = "merges.txt"
_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
_MASK = "<mask>"
_BINS = 1000
_END = "<|endoftext|>"


def write_bart(vocabulary: Vocabulary, saved: Path, folder: Path) -> bool:
    """Write both files; say whether there is such a form of the vocabulary.

    Args:
        vocabulary: whose text part is to be written.
        saved: where it was saved.
        folder: where to write.
    """
    if not all((saved / name).is_file() for name in ByteLevelBPE.file_names):
        return False
    files = read_files(saved, ByteLevelBPE.file_names)
    tokens = {str(i): token for token, i in json.loads(files["encoder.json"]).items()}
    symbols = vocabulary.symbols()[: vocabulary.mask + 1]
    table = {tokens.get(symbol, symbol): i for i, symbol in enumerate(symbols)}
    (folder / VOCAB).write_text(json.dumps(table), encoding="utf-8")
    (folder / MERGES).write_bytes(files["vocab.bpe"])
    return True


def read_bart(vocab: Path, merges: Path, *, entries: int) -> Vocabulary:
    """Read both files.

    Args:
        vocab: ``vocab.json``.
        merges: ``merges.txt``.
        entries: of the model's whole vocabulary: text, image codes and 1000 location bins.

    Raises:
        VocabularyError: a file is missing or damaged, or they do not belong together.
    """
    content = read_files(vocab.parent, (vocab.name, merges.name))
    table = _read_table(content[vocab.name], vocab)
    pairs = _read_merges(content[merges.name], merges)
    tokens = [*byte_alphabet(), *("".join(pair) for pair in pairs), _END]
    encoder = {token: i for i, token in enumerate(tokens)}
    inner = [token for token, _ in sorted(table.items(), key=lambda item: item[1])]
    if missing := encoder.keys() - table.keys() - {_END}:
        raise VocabularyError(
            f"{vocab}: {len(missing)} tokens of {merges.name} are missing (such as "
            f"{min(missing)!r}); get both files from the same place"
        )
    if _END not in table:
        del encoder[_END]
    text = inner[len(_SPECIALS) : -1]
    lines = [f"{encoder.get(token, token)} 0" for token in text]
    if bad := next((line for line in lines if line.count(" ") > 1), None):
        raise VocabularyError(f"{vocab}: token {bad!r} is not written in GPT-2's byte alphabet")
    codes = entries - len(table) - _BINS
    if codes < 0:
        raise VocabularyError(
            f"{vocab}: {len(table):,} entries and {_BINS} location bins are more than the "
            f"{entries:,} of the model"
        )
    merged = ["#version: 0.2", *(" ".join(pair) for pair in pairs), ""]
    files = (json.dumps(encoder), "\n".join(merged), "\n".join([*lines, ""]))
    named = dict(zip(ByteLevelBPE.file_names, (text.encode() for text in files), strict=True))
    bpe = ByteLevelBPE(named, first_id=len(_SPECIALS), folder=vocab.parent)
    return Vocabulary(bpe, num_codes=codes, num_bins=_BINS)


def _read_table(content: bytes, path: Path) -> Mapping[str, int]:
    """Return token and id; ids count from 0, the specials come first and the mask last."""
    table = parse_json(content)
    if not isinstance(table, dict) or not all(type(i) is int for i in table.values()):
        raise VocabularyError(f"{path}: expected one JSON object of token and id")
    if not sorted(table.values()) == list(range(len(table))):
        raise VocabularyError(f"{path}: ids are not 0 to {len(table) - 1}; get an undamaged copy")
    places = [table.get(token) for token in (*_SPECIALS, _MASK)]
    if places != [0, 1, 2, 3, len(table) - 1]:
        raise VocabularyError(
            f"{path}: {', '.join(_SPECIALS)} must come first and {_MASK} last; this is the "
            "vocabulary of another model"
        )
    return table


def _read_merges(content: bytes, path: Path) -> list[tuple[str, str]]:
    try:
        lines = content.decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise VocabularyError(f"{path}: not UTF-8 at byte {error.start}") from None
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.partition(" ")
        if not left or not right or " " in right:
            raise VocabularyError(f"{path}, line {number}: {line[:40]!r} is no pair of tokens")
        pairs.append((left, right))
    return pairs
