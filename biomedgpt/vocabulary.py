"""The one vocabulary of text, image codes and location bins: who owns which id.

Layout, as in the reference (OFA over a fairseq dictionary)::

    0 <s>   1 <pad>   2 </s>   3 <unk>
    4 ...                 text entries (num_text)
    4 + num_text          <mask>
    ...                   <code_0> ... image codes of a VQ-GAN (num_codes)
    ...                   <bin_0> ... location bins (num_bins)

The released checkpoints have 50,260 text entries, 8192 codes and 1000 bins: 59,457 in all.

An image within a text stands between two entries that no target has otherwise, so that the layout
stays that of the checkpoints: it begins with ``<mask>``, which in sources says that something is to
be filled in, and ends with ``<unk>``, which neither kind of text tokenizer ever gives.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from biomedgpt.errors import DataError, VocabularyError
from biomedgpt.files import atomic_path
from biomedgpt.tokenizers import ByteLevelBPE, SentencePiece, TextTokenizer, read_files

BPE_VARIABLE = "BIOMEDGPT_BPE_DIR"
"""Environment variable that names the folder of the published vocabulary."""
_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
_DESCRIPTION = "vocabulary.json"
_FORMAT = 1
_MOST = 1_000_000  # codes or bins; beyond it a damaged description would fill the memory

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class TextSegment:
    """A stretch of text in a mixed sequence."""

    text: str


@dataclass(frozen=True)
class CodeSegment:
    """A stretch of image codes in a mixed sequence."""

    codes: tuple[int, ...]


@dataclass(frozen=True)
class BoxSegment:
    """A box in a mixed sequence, in pixels of an image of ``width`` x ``height``.

    With the default size of 1 the coordinates are fractions of the image.
    """

    box: Box
    width: float = 1.0
    height: float = 1.0


Segment = TextSegment | CodeSegment | BoxSegment


class Vocabulary:
    """Ids of text, ``<mask>``, image codes and location bins.

    Build one with `from_gpt2_bpe`, `from_sentencepiece`, `train_sentencepiece` or `load`.
    Pickling rebuilds the text tokenizer from its files, so workers may be forked or spawned.

    Attributes:
        num_text: text entries, without the four specials and without ``<mask>``.
        num_codes: image codes.
        num_bins: location bins per coordinate.
        mask: id of ``<mask>``.
        image_begin: id before the codes of an image within a text.
        image_end: id after them.
        text_ids: ids of the text entries.
        codes: ids of the image codes.
        bins: ids of the location bins.
        fingerprint: SHA-256 (hex) of everything that fixes ids; two vocabularies with the same
            fingerprint give the same ids for any input.
    """

    bos = 0
    pad = 1
    eos = 2
    unk = 3

    def __init__(self, text: TextTokenizer, *, num_codes: int, num_bins: int) -> None:
        if not (0 <= num_codes <= _MOST and 2 <= num_bins <= _MOST):
            raise VocabularyError(
                f"num_codes {num_codes} and num_bins {num_bins}: codes cannot be negative, "
                f"bins must be at least 2, and neither can be more than {_MOST:,}"
            )
        self._text = text
        self.num_text = len(text.symbols)
        self.num_codes = num_codes
        self.num_bins = num_bins
        self.mask = len(_SPECIALS) + self.num_text
        self.codes = range(self.mask + 1, self.mask + 1 + num_codes)
        self.bins = range(self.codes.stop, self.codes.stop + num_bins)
        self.text_ids = range(len(_SPECIALS), self.mask)
        self.image_begin, self.image_end = self.mask, self.unk
        # fairseq's dictionary numbers symbols by their text: a duplicate would shift all ids.
        symbol, count = Counter(self.symbols()).most_common(1)[0]
        if count > 1:
            raise VocabularyError(
                f"symbol {symbol!r} stands twice in the vocabulary; the text part may not hold "
                "specials, <mask>, <code_i>, <bin_i> or duplicates"
            )
        self.fingerprint = self._fingerprint()

    def __len__(self) -> int:
        return self.bins.stop

    def __repr__(self) -> str:
        return (
            f"Vocabulary({self._text.kind}: {self.num_text} text, {self.num_codes} codes, "
            f"{self.num_bins} bins, {len(self)} in all)"
        )

    # Where vocabularies come from

    @classmethod
    def from_gpt2_bpe(
        cls, folder: str | Path, *, num_codes: int = 8192, num_bins: int = 1000
    ) -> Self:
        """The reference layout, from OFA's ``encoder.json``, ``vocab.bpe`` and ``dict.txt``.

        Raises:
            VocabularyError: a file is missing or damaged; the message names file and line.
        """
        folder = Path(folder)
        files = read_files(folder, ByteLevelBPE.file_names)
        text = ByteLevelBPE(files, first_id=len(_SPECIALS), folder=folder)
        return cls(text, num_codes=num_codes, num_bins=num_bins)

    @classmethod
    def from_sentencepiece(
        cls, model_file: str | Path, *, num_codes: int = 8192, num_bins: int = 1000
    ) -> Self:
        """The same layout over a SentencePiece model without bos, eos and pad pieces.

        Raises:
            VocabularyError: the file is missing, damaged or of another piece layout.
        """
        path = Path(model_file)
        content = read_files(path.parent, (path.name,))[path.name]
        (name,) = SentencePiece.file_names
        text = SentencePiece({name: content}, first_id=len(_SPECIALS), folder=path.parent)
        return cls(text, num_codes=num_codes, num_bins=num_bins)

    @classmethod
    def train_sentencepiece(
        cls, texts: Iterable[str], *, size: int, num_codes: int = 8192, num_bins: int = 1000
    ) -> Self:
        """Train the text part on ``texts``; the same texts give the same vocabulary.

        Texts should start with the space that training puts before them (" what is ..."), so that
        the model learns the pieces it will see. Any text decodes to exactly itself.

        Args:
            texts: training texts, a few hundred short ones are enough.
            size: text entries at most, the 256 byte entries included.
            num_codes: image codes.
            num_bins: location bins.

        Raises:
            VocabularyError: no text, or ``size`` too small for the characters in it.
        """
        text = SentencePiece.train(texts, size=size, first_id=len(_SPECIALS))
        return cls(text, num_codes=num_codes, num_bins=num_bins)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load what `save` wrote, or a bare folder of OFA's BPE files (8192 codes, 1000 bins).

        Raises:
            VocabularyError: missing or damaged files, or files that do not have the recorded hash.
        """
        folder = Path(folder)
        path = folder / _DESCRIPTION
        if not path.exists():
            if (folder / "dict.txt").exists():
                return cls.from_gpt2_bpe(folder)
            raise VocabularyError(
                f"{folder}: no vocabulary here; expected {_DESCRIPTION}, or OFA's "
                f"{', '.join(ByteLevelBPE.file_names)}"
            )
        description = _read_description(path)
        known: tuple[type[TextTokenizer], ...] = (ByteLevelBPE, SentencePiece)
        kinds = {kind.kind: kind for kind in known}
        if description["format"] != _FORMAT or description["kind"] not in kinds:
            raise VocabularyError(
                f"{path}: format {description['format']!r}, kind {description['kind']!r} is "
                "unknown to this version; upgrade biomedgpt"
            )
        tokenizer = kinds[description["kind"]]
        files = read_files(folder, tokenizer.file_names)
        for name, content in files.items():
            if hashlib.sha256(content).hexdigest() != description["files"].get(name):
                raise VocabularyError(
                    f"{folder / name}: does not have the hash recorded in {_DESCRIPTION}; the file "
                    "was changed or damaged, restore it"
                )
        text = tokenizer(files, first_id=len(_SPECIALS), folder=folder)
        try:
            loaded = cls(text, num_codes=description["num_codes"], num_bins=description["num_bins"])
        except VocabularyError as error:
            raise VocabularyError(f"{path}: {error}; restore the file") from error
        recorded = (description["entries"], description["fingerprint"])
        if recorded != (len(loaded), loaded.fingerprint):
            raise VocabularyError(
                f"{path}: entries or fingerprint are not those of this vocabulary; the file was "
                "changed or damaged, restore it"
            )
        return loaded

    def save(self, folder: str | Path) -> None:
        """Write ``vocabulary.json`` and the tokenizer's files into ``folder`` (made if missing).

        Each file appears complete or not at all, the description last.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files().items():
            with atomic_path(folder / name) as temporary:
                temporary.write_bytes(content)

    def files(self) -> dict[str, bytes]:
        """Contents of the files that `save` writes, by name and in this order."""
        description = {
            "format": _FORMAT,
            "kind": self._text.kind,
            "num_codes": self.num_codes,
            "num_bins": self.num_bins,
            "entries": len(self),
            "fingerprint": self.fingerprint,
            "files": {
                name: hashlib.sha256(content).hexdigest()
                for name, content in self._text.files.items()
            },
        }
        text = json.dumps(description, indent=2) + "\n"
        return self._text.files | {_DESCRIPTION: text.encode()}

    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        digest.update(f"{_FORMAT} {self._text.kind} {self.num_codes} {self.num_bins}".encode())
        for name, content in sorted(self._text.files.items()):
            digest.update(f"\n{name} {hashlib.sha256(content).hexdigest()}".encode())
        return digest.hexdigest()

    def symbols(self) -> list[str]:
        """All entries in id order, as a fairseq dictionary writes them."""
        return [
            *_SPECIALS,
            *self._text.symbols,
            "<mask>",
            *(f"<code_{i}>" for i in range(self.num_codes)),
            *(f"<bin_{i}>" for i in range(self.num_bins)),
        ]

    # Text

    def encode_text(self, text: str) -> list[int]:
        """Ids of ``text`` as it stands: no space, ``<s>`` or ``</s>`` is added.

        Raises:
            DataError: the text holds a lone surrogate (it has no UTF-8 form).
        """
        return self._text.encode(text)

    def decode_text(self, ids: Iterable[int]) -> str:
        """Text of the text entries among ``ids``; all other entries are skipped."""
        # int(): membership of a NumPy or torch scalar in a range is a linear search.
        return self._text.decode(i for i in map(int, ids) if i in self.text_ids)

    # Image codes

    def require_codes(self, count: int, owner: str) -> None:
        """Make sure that there is an entry for each code of an image tokenizer.

        Args:
            count: codes of the tokenizer.
            owner: what brings them, for the message.

        Raises:
            VocabularyError: there are fewer entries.
        """
        if count > self.num_codes:
            raise VocabularyError(
                f"{owner}: {count} image codes, the vocabulary has {self.num_codes}; take an image "
                "tokenizer and a vocabulary that belong together"
            )

    def encode_codes(self, codes: Iterable[int]) -> list[int]:
        """Ids of image codes.

        Raises:
            DataError: a code outside ``0 .. num_codes - 1``.
        """
        ids = []
        for position, code in enumerate(map(int, codes)):
            if not 0 <= code < self.num_codes:
                raise DataError(
                    f"image code {code} at position {position} is outside 0..{self.num_codes - 1}; "
                    "the codes come from another VQ-GAN"
                )
            ids.append(self.codes.start + code)
        return ids

    def decode_codes(self, ids: Iterable[int]) -> list[int]:
        """Image codes of ``ids``.

        Raises:
            VocabularyError: an id that is not an image code.
        """
        return [i - self.codes.start for i in self._checked(ids, self.codes, "image code")]

    # Boxes

    def encode_box(self, box: Sequence[float], *, width: float, height: float) -> list[int]:
        """Ids of the four bins of a box ``(x0, y0, x1, y1)`` in pixels.

        A coordinate ``x`` falls into bin ``round(x / width * (num_bins - 1))``, as in the
        reference, so that `decode_box` is off by half a bin (``width / (num_bins - 1) / 2``) at
        most.

        Args:
            box: ``(x0, y0, x1, y1)``, ``0 <= x0 <= x1 <= width``, the same for y.
            width: width of the image in pixels.
            height: height of the image in pixels.

        Raises:
            DataError: a box that is inverted or not inside the image.
        """
        if len(box) != 4:
            raise DataError(f"box {tuple(box)} has {len(box)} numbers; give (x0, y0, x1, y1)")
        if not (width > 0 and height > 0):
            raise DataError(f"image of {width} x {height} pixels; both must be positive")
        fractions = [value / size for value, size in zip(box, (width, height) * 2, strict=True)]
        x0, y0, x1, y1 = fractions
        tolerance = 1e-6  # scaled coordinates may miss the border by a rounding error
        # Written so that NaN fails too.
        if not all(-tolerance <= value <= 1 + tolerance for value in fractions):
            raise DataError(
                f"box {tuple(box)} is not inside its image of {width} x {height} pixels"
            )
        if x1 < x0 or y1 < y0:
            raise DataError(f"box {tuple(box)} is inverted; give (x0, y0, x1, y1) with x0 <= x1")
        return [self.bins.start + round(value * (self.num_bins - 1)) for value in fractions]

    def decode_box(self, ids: Iterable[int], *, width: float, height: float) -> Box:
        """Box ``(x0, y0, x1, y1)`` in pixels of four bin ids; not checked for order.

        Raises:
            VocabularyError: not four ids, or one that is not a location bin.
        """
        bins = self._checked(ids, self.bins, "location bin")
        if len(bins) != 4:
            raise VocabularyError(f"a box is four location bins, found {len(bins)}")
        scale = [size / (self.num_bins - 1) for size in (width, height)]
        x0, y0, x1, y1 = (i - self.bins.start for i in bins)
        return (x0 * scale[0], y0 * scale[1], x1 * scale[0], y1 * scale[1])

    def _checked(self, ids: Iterable[int], allowed: range, what: str) -> list[int]:
        checked = []
        for position, i in enumerate(map(int, ids)):
            if i not in allowed:
                raise VocabularyError(
                    f"id {i} at position {position} is not a {what} "
                    f"(ids {allowed.start}..{allowed.stop - 1})"
                )
            checked.append(i)
        return checked

    # Mixed sequences

    def encode(self, segments: Iterable[Segment]) -> list[int]:
        """Ids of text, codes and boxes in the order given; no ``<s>`` or ``</s>`` is added."""
        ids: list[int] = []
        for segment in segments:
            match segment:
                case TextSegment(text):
                    ids += self.encode_text(text)
                case CodeSegment(codes):
                    ids += self.encode_codes(codes)
                case BoxSegment(box, width, height):
                    ids += self.encode_box(box, width=width, height=height)
        return ids

    def decode(
        self, ids: Iterable[int], *, width: float = 1.0, height: float = 1.0
    ) -> list[Segment]:
        """Segments of a mixed sequence; specials and ``<mask>`` are skipped.

        Neighbouring text entries become one text, neighbouring codes one code segment, and each
        four bins one box in pixels of an image of ``width`` x ``height``.

        Raises:
            VocabularyError: an id outside the vocabulary, or bins that do not make whole boxes.
        """
        segments: list[Segment] = []
        checked = self._checked(ids, range(len(self)), "vocabulary entry")
        kept = (i for i in checked if i >= len(_SPECIALS) and i != self.mask)
        # No special lies between the bounds, so comparing with two of them tells the kinds apart.
        for kind, run in groupby(kept, lambda i: (i >= self.codes.start) + (i >= self.bins.start)):
            members = list(run)
            if kind == 0:
                segments.append(TextSegment(self.decode_text(members)))
            elif kind == 1:
                segments.append(CodeSegment(tuple(self.decode_codes(members))))
            else:
                for start in range(0, len(members), 4):
                    box = self.decode_box(members[start : start + 4], width=width, height=height)
                    segments.append(BoxSegment(box, width, height))
        return segments


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description: dict[str, Any] = json.loads(path.read_bytes())
        types = {"format": int, "kind": str, "num_codes": int, "num_bins": int, "files": dict}
        types |= {"entries": int, "fingerprint": str}
        if not all(isinstance(description[key], kind) for key, kind in types.items()):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise VocabularyError(
            f"{path}: damaged; expected the description that Vocabulary.save writes"
        ) from None
    return description
