"""Text tokenizers behind the vocabulary: GPT-2's byte-level BPE and SentencePiece.

Both turn text into entry ids that start at a given ``first_id``, know the symbol of every entry in
id order, and keep the bytes of the files they were built from, so that they can be saved, hashed
and pickled. Text comes back byte for byte: entries are joined as bytes and decoded as UTF-8.
"""

import io
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import sentencepiece
import tokenizers

from biomedgpt.errors import DataError, VocabularyError, reason_of

logger = logging.getLogger(__name__)

_FIX = "get an undamaged copy of the file"
_SPACE_MARK = "\u2581"  # SentencePiece writes a space as this character


class TextTokenizer(ABC):
    """What the vocabulary needs from a text tokenizer.

    Args:
        files: contents of `file_names`.
        first_id: id of the first entry.
        folder: where the files came from, for messages.

    Raises:
        VocabularyError: a damaged file; the message names it, and the line where there is one.
    """

    kind: ClassVar[str]
    file_names: ClassVar[tuple[str, ...]]
    symbols: list[str]
    """Of each entry."""
    _bytes: list[bytes]
    """What each entry stands for."""

    def __init__(self, files: Mapping[str, bytes], *, first_id: int, folder: Path = Path()) -> None:
        self.files = {name: files[name] for name in self.file_names}
        self.first_id = first_id
        self._build(folder)

    @abstractmethod
    def _build(self, folder: Path) -> None:
        """Make of the files what `encode` needs, `symbols` and `_bytes`."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Entry ids of ``text``."""

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the entries ``ids``, all of this tokenizer; broken UTF-8 becomes U+FFFD."""
        joined = b"".join(self._bytes[i - self.first_id] for i in ids)
        return joined.decode("utf-8", errors="replace")

    def __reduce__(self) -> tuple[Any, ...]:
        # The Rust and C++ objects are built again from the files.
        return partial(type(self), first_id=self.first_id), (self.files,)


def read_files(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read ``names`` from ``folder``; a missing file is a `VocabularyError` that names it."""
    files = {}
    for name in names:
        try:
            files[name] = (folder / name).read_bytes()
        except OSError as error:
            raise VocabularyError(
                f"{folder / name}: cannot read vocabulary file ({error.strerror}); "
                f"the folder must hold {', '.join(names)}"
            ) from None
    return files


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VocabularyError(f"{where}: not UTF-8 at byte {error.start}; {_FIX}") from None


def _utf8(text: str) -> str:
    """Refuse text with lone surrogates: no UTF-8 form exists, so no tokenizer can read it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"text {text[:40]!a} holds a lone surrogate at character {error.start}; "
            "remove it or repair the encoding of the source"
        ) from None
    return text


def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in character of each byte -> the byte.

    Printable Latin-1 stands for itself; the 68 other bytes take the characters from U+0100 on, in
    order (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + i): byte for i, byte in enumerate(others)
    }


class ByteLevelBPE(TextTokenizer):
    """GPT-2 byte-level BPE with the entry order of a fairseq ``dict.txt`` (OFA's ``utils/BPE``).

    Its files are ``encoder.json`` (token -> GPT-2 id), ``vocab.bpe`` (merges) and ``dict.txt`` (one
    GPT-2 id and count a line, in entry order).
    """

    kind: ClassVar[str] = "gpt2_bpe"
    file_names: ClassVar[tuple[str, ...]] = ("encoder.json", "vocab.bpe", "dict.txt")

    def _build(self, folder: Path) -> None:
        encoder = self._read_encoder(folder / "encoder.json")
        merges = self._read_merges(folder / "vocab.bpe", encoder)
        self.symbols = self._read_dictionary(folder / "dict.txt", encoder)
        tokens = {gpt2_id: token for token, gpt2_id in encoder.items()}
        position = {symbol: i for i, symbol in enumerate(self.symbols)}
        # The Rust model takes any ids: given ours, its output needs no mapping.
        vocab = {token: self.first_id + position[str(i)] for i, token in tokens.items()}
        model = tokenizers.models.BPE(vocab=vocab, merges=merges)
        self._tokenizer = tokenizers.Tokenizer(model)
        self._tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=True
        )
        alphabet = byte_alphabet()
        # Fillers such as madeupword0000 stand for no text.
        self._bytes = [b""] * len(self.symbols)
        for i, token in tokens.items():
            self._bytes[position[str(i)]] = bytes(alphabet[char] for char in token)

    def _read_encoder(self, path: Path) -> dict[str, int]:
        text = _text(self.files["encoder.json"], str(path))
        try:
            encoder = json.loads(text)
        except json.JSONDecodeError as error:
            raise VocabularyError(f"{path}: not JSON at line {error.lineno}; {_FIX}") from None
        if not isinstance(encoder, dict) or not all(type(i) is int for i in encoder.values()):
            raise VocabularyError(f"{path}: expected one JSON object of token -> integer id")
        alphabet = byte_alphabet()
        if missing := alphabet.keys() - encoder.keys():
            raise VocabularyError(
                f"{path}: {len(missing)} of the 256 byte tokens are missing; {_FIX}"
            )
        for token in encoder:
            if not token or not alphabet.keys() >= set(token):
                raise VocabularyError(
                    f"{path}: token {token!r} is not written in GPT-2's byte alphabet; {_FIX}"
                )
        if len(set(encoder.values())) != len(encoder):
            raise VocabularyError(f"{path}: two tokens share an id; get an undamaged copy")
        return encoder

    def _read_merges(self, path: Path, encoder: Mapping[str, int]) -> list[tuple[str, str]]:
        lines = _text(self.files["vocab.bpe"], str(path)).replace("\r\n", "\n").split("\n")
        if not lines[0].startswith("#version"):
            raise VocabularyError(f"{path}, line 1: expected '#version: ...'; {_FIX}")
        if lines[-1]:  # a cut file would otherwise lose its last merge without a word
            raise VocabularyError(
                f"{path}, line {len(lines)}: the file ends inside a line; get an undamaged copy"
            )
        merges = []
        for number, line in enumerate(lines[1:-1], start=2):
            left, _, right = line.partition(" ")
            if not {left, right, left + right} <= encoder.keys():
                raise VocabularyError(
                    f"{path}, line {number}: {line[:40]!r} is no merge of two tokens of "
                    "encoder.json; get both files from the same place"
                )
            merges.append((left, right))
        # Every merge makes one token; besides them there are the bytes and <|endoftext|>.
        if len(merges) + 256 < len(encoder) - 1:
            raise VocabularyError(
                f"{path}: {len(merges)} merges for {len(encoder)} tokens of encoder.json; "
                "the file is cut short, get an undamaged copy"
            )
        return merges

    def _read_dictionary(self, path: Path, encoder: Mapping[str, int]) -> list[str]:
        text = _text(self.files["dict.txt"], str(path)).replace("\r\n", "\n")
        known = {str(i) for i in encoder.values()}
        first_line: dict[str, int] = {}
        for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
            symbol, _, count = line.rpartition(" ")
            if not symbol or " " in symbol or not (count.isascii() and count.isdigit()):
                raise VocabularyError(
                    f"{path}, line {number}: expected '<symbol> <count>', found {line[:40]!r}"
                )
            if symbol in first_line:
                raise VocabularyError(
                    f"{path}, line {number}: {symbol!r} is also on line {first_line[symbol]}; "
                    "every symbol may stand only once"
                )
            if symbol.isdigit() and symbol not in known:
                raise VocabularyError(
                    f"{path}, line {number}: id {symbol} is not in encoder.json; "
                    "get both files from the same place"
                )
            first_line[symbol] = number
        if missing := known - first_line.keys():
            raise VocabularyError(
                f"{path}, line {len(first_line)}: the file ends without {len(missing)} ids of "
                f"encoder.json (such as {min(missing, key=int)}); get an undamaged copy"
            )
        return list(first_line)

    def encode(self, text: str) -> list[int]:
        """Entry ids of ``text``, as fairseq's GPT-2 BPE followed by its dictionary gives them."""
        return self._tokenizer.encode(_utf8(text), add_special_tokens=False).ids


class SentencePiece(TextTokenizer):
    """A SentencePiece model; its piece ``i`` (from 1; 0 is its ``<unk>``) is entry ``i - 1``.

    Piece 0, which must be the model's own ``<unk>``, thereby falls on ``first_id - 1``, which is
    the vocabulary's ``<unk>``.
    """

    kind: ClassVar[str] = "sentencepiece"
    file_names: ClassVar[tuple[str, ...]] = ("sentencepiece.model",)

    def _build(self, folder: Path) -> None:
        (name,) = self.file_names
        try:
            # An empty model_proto means "none given" to the library: it would load nothing.
            self._processor = sentencepiece.SentencePieceProcessor(
                model_proto=self.files[name] or b"\0"
            )
            size = self._processor.get_piece_size()
        except (RuntimeError, OSError):
            raise VocabularyError(f"{folder / name}: not a SentencePiece model; {_FIX}") from None
        if size < 2 or self._processor.unk_id() != 0:
            raise VocabularyError(
                f"{folder / name}: piece 0 must be the unknown piece and others must follow; "
                "train it with unk_id=0, bos_id=-1, eos_id=-1, pad_id=-1"
            )
        self.symbols = [self._processor.id_to_piece(i) for i in range(1, size)]
        self._bytes = [self._piece_bytes(i) for i in range(1, size)]
        mark = [self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in _SPACE_MARK.encode()]
        self._mark_ids = [self.first_id + i - 1 for i in mark if i]  # 0 for what is no piece

    def _piece_bytes(self, piece_id: int) -> bytes:
        piece: str = self._processor.id_to_piece(piece_id)
        if self._processor.is_control(piece_id):
            return b""
        if self._processor.is_byte(piece_id):
            return bytes([int(piece[3:5], 16)])  # "<0x0A>"
        return piece.replace(_SPACE_MARK, " ").encode()

    @classmethod
    def train(cls, texts: Iterable[str], *, size: int, first_id: int) -> Self:
        """Train a model that loses nothing: any text decodes to exactly itself.

        BPE (Sennrich et al. 2016) with identity normalisation, spaces kept as they are and unseen
        characters spelled in bytes. The same texts in the same order give the same model.

        Args:
            texts: training texts; ones that span lines are split at line ends.
            size: upper bound on the number of text entries, the 256 bytes included. A corpus with
                too little variety for it gives fewer.
            first_id: as for the class.

        Raises:
            VocabularyError: no text, or a size that cannot hold the bytes and the characters.
        """
        lines = [line for text in texts for line in _utf8(text).splitlines() if line.strip()]
        if not lines:
            raise VocabularyError("no text to train a SentencePiece model on; give some texts")
        characters = set("".join(lines)) - {_SPACE_MARK}
        # The bytes, <unk>, and every character seen (coverage below is 1).
        smallest = 256 + len(characters | {" "})
        if size < smallest:
            raise VocabularyError(
                f"size {size} cannot hold 256 bytes and the {smallest - 256} characters of these "
                f"texts; ask for at least {smallest}"
            )
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                # Not "unigram": it seeds pieces from distinct words without their frequency, and
                # so hardly joins anything in a small corpus of few words.
                model_type="bpe",
                vocab_size=size + 1,  # and the model's own <unk>
                hard_vocab_limit=False,
                character_coverage=1.0,
                byte_fallback=True,
                normalization_rule_name="identity",
                add_dummy_prefix=False,
                remove_extra_whitespaces=False,
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=1,  # sums of floats depend on the number of threads
                shuffle_input_sentence=False,
                max_sentence_length=1 << 20,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise VocabularyError(
                f"SentencePiece cannot train on these {len(lines)} lines "
                f"({reason_of(error)}); give more text or another size"
            ) from None
        trained = cls({"sentencepiece.model": model.getvalue()}, first_id=first_id)
        logger.info("SentencePiece: %d entries from %d lines", len(trained.symbols), len(lines))
        return trained

    def encode(self, text: str) -> list[int]:
        """Entry ids of ``text``."""
        shift = self.first_id - 1
        if _SPACE_MARK in text and len(self._mark_ids) == 3:
            # SentencePiece would take the character for a space: spell it in bytes.
            head, *tail = text.split(_SPACE_MARK)
            return self.encode(head) + [
                i for part in tail for i in (*self._mark_ids, *self.encode(part))
            ]
        return [i + shift for i in self._processor.encode(_utf8(text))]
