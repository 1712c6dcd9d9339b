"""Rows of instruction data: dialogues about an image or without one, an example per answer.

A row holds the last thing asked (``instruction``), what was said before it (``history``), and the
``answer``. Where a text speaks of its image by the mark `IMAGE_MARK`, the mark is taken out, as the
model sees the image beside the text; an answer that shows an image keeps it.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from biomedgpt.data.raw.table_images import name_within
from biomedgpt.data.raw.tables import Record, check_text, read_objects, require_first
from biomedgpt.data.rows import Row, Skipped, clean_text, good_rows
from biomedgpt.data.spec import RawDataset, Release
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.tasks.dialogue import IMAGE_MARK, IN_ANSWER, format_history

INSTRUCTION_FIELDS = (
    *("id", "instruction", "history", "answer", "modality", "image_in"),
    *("dialogue", "image_name"),
)
MISSING_FILE = "missing_images.txt"

_MARKS = re.compile(r"<image(?:-placeholder)?>")
HUMAN = ("human", "user")
ASSISTANT = ("gpt", "assistant", "bot", "chatgpt")
SYSTEM = "system"
CONVERSATION_KEYS = ("conversations", "conversatons", "conversation", "messages")
"""The second is a misspelling found in released files."""

MODALITIES = {
    "cxr": "chest x-ray",
    "chest_xray": "chest x-ray",
    "chest x ray": "chest x-ray",
    "ct": "ct",
    "ct_scan": "ct",
    "computed tomography": "ct",
    "mri": "mri",
    "magnetic resonance imaging": "mri",
    "histology": "histology",
    "histopathology": "histology",
    "gross": "gross pathology",
}
"""What releases call the kinds of images -> our name; other names are kept in lower case."""
UNKNOWN_MODALITY = "unknown"
TEXT_ONLY = "text only"


@dataclass(frozen=True)
class Turn:
    """Something asked and what was answered, as released, image marks included."""

    human: str
    answer: str


@dataclass(frozen=True)
class Dialogue:
    """A dialogue on its way to rows.

    Attributes:
        id: as released; need not be unique.
        turns: at least one.
        images: names of the images, in the order of their marks.
        modality: see `modality_name`.
        where: file and row.
    """

    id: str
    turns: tuple[Turn, ...]
    images: tuple[str, ...]
    modality: str
    where: str

    @property
    def group(self) -> str:
        """What must not be in two splits: the images, or the dialogue where it has none."""
        return "\n".join(self.images) or self.id


@dataclass
class Tally:
    """What became of the dialogues of a release.

    Attributes:
        left_out: rows that were left out, by reason.
        modalities: rows by modality.
        missing: names of images that are not there, in order of appearance.
    """

    left_out: Counter[str] = field(default_factory=Counter)
    modalities: Counter[str] = field(default_factory=Counter)
    missing: dict[str, None] = field(default_factory=dict)


def modality_name(value: Any) -> str:
    """Return the modality that a release states, "" where it states none.

    It may be a name, a list of names, or an object of booleans by name; several are joined by
    " + ".
    """
    names: Iterable[Any] = ()
    if isinstance(value, str):
        names = [value]
    elif isinstance(value, Mapping):
        names = [name for name, there in value.items() if there is True or there == 1]
    elif isinstance(value, Sequence):
        names = value
    texts = {clean_text(name).lower() for name in names if isinstance(name, str)} - {""}
    return " + ".join(sorted({MODALITIES.get(text, text) for text in texts}))


def parse_turns(record: Record) -> tuple[Turn, ...]:
    """Return the turns of a record in LLaVA's format.

    The list is under one of `CONVERSATION_KEYS`; its items have ``from`` and ``value``, or ``role``
    and ``content``. What a system says is left out, and so is a last question without an answer.

    Raises:
        DataError: no such list, nothing answered in it, speakers that do not take turns, or an
            empty text.
    """
    key = next((name for name in CONVERSATION_KEYS if name in record.values), "")
    items = record.values.get(key)
    if not isinstance(items, list) or not items:
        raise DataError(f"{record.where}: no list of turns (key conversations)")
    said: list[tuple[str, str]] = []
    for number, item in enumerate(items, start=1):
        where = f"{record.where}: turn {number}"
        values = item if isinstance(item, Mapping) else {}
        speaker = values.get("from", values.get("role"))
        text = values.get("value", values.get("content"))
        if not isinstance(speaker, str) or not isinstance(text, str):
            raise DataError(f"{where}: not an object with from and value")
        check_text(text, where=where)
        speaker = speaker.strip().lower()
        if speaker == SYSTEM:
            continue
        if speaker not in HUMAN + ASSISTANT:
            raise DataError(f"{where}: from is {speaker!r}, must be human or gpt")
        if (speaker in ASSISTANT) != (len(said) % 2 == 1):
            raise DataError(f"{where}: {speaker} speaks twice, or first; turns must alternate")
        said.append((where, text))
    turns = []
    for (asked_at, human), (_, answer) in zip(said[::2], said[1::2], strict=False):
        turns.append(Turn(human, answer))
        if not clean_text(_MARKS.sub(" ", human)):
            raise DataError(f"{asked_at}: nothing is asked")
        if not clean_text(answer):
            raise DataError(f"{asked_at}: the answer is empty")
    if not turns:
        raise DataError(f"{record.where}: nothing is answered")
    return tuple(turns)


def image_names(value: Any, *, where: str) -> tuple[str, ...]:
    """Return the names of a record's images: a name, a list of names, or nothing.

    Raises:
        DataError: something else.
    """
    names = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where}: image is neither a name nor a list of names")
    return tuple(name.strip() for name in names if name.strip())


def find_image(raw: Path, name: str, *, where: str) -> Path | None:
    """Return the file of an image by the name that a release has for it, None if it is not there.

    It is looked for below the raw folder, below its ``images/``, and there without its folders
    (releases advise to unpack all archives into one).

    Raises:
        DataError: the name leads out of the folder.
    """
    path = name_within(name)
    if path is None or "\0" in name:
        raise DataError(f"{where}: image {name!r} leads out of {raw}")
    try:
        candidates = (raw / "images" / path, raw / path, raw / "images" / path.name)
        return next((candidate for candidate in candidates if candidate.is_file()), None)
    except OSError as error:  # a name that is too long
        raise DataError(f"{where}: image {name[:40]!r} ({error.strerror})") from error


ReadDialogues = Callable[[Skipped], Iterator[Dialogue]]
"""Reads all dialogues of a release, from the start at each call; takes note of bad ones."""


def dialogues_of(
    path: Path, parse: Callable[[Record], Dialogue], keys: Sequence[Iterable[str]], *, error: str
) -> ReadDialogues:
    """Return what reads a file, after a look at its first object; see `require_first`."""
    require_first(read_objects(path, Skipped(allowed=True)), keys, f"{path}: {error}")
    return lambda skipped: good_rows(read_objects(path, skipped), parse, skipped)


def split_dialogues(
    release: Release,
    read: ReadDialogues,
    *,
    cleaning: Sequence[str] = (),
    answers_may_show: bool = False,
    official: Mapping[str, ReadDialogues] | None = None,
) -> RawDataset:
    """Return the rows of a release, with images drawn for validation and for testing.

    A share of the groups (see `Dialogue.group`) is held out for each of the two, by a hash of seed
    and group. The release is read once for that and once per split; only the hashes are in memory.

    Args:
        release: the share is its option ``valid_fraction``; with 0 there are no such splits.
        read: reads the release.
        cleaning: further sentences on what was changed.
        answers_may_show: keep rows whose answer shows an image.
        official: splits that the release brings besides the one that `read` reads; "valid" takes
            the place of the one that would be drawn.

    Raises:
        ConfigError: too few images to hold some out.
        DataError: nothing in the release can be used.
    """
    raw, options = release.folder, release.options
    fraction = options.valid_fraction or 0.0
    if not 0.0 <= fraction < 0.5:
        raise ConfigError(
            f"--valid-fraction {fraction}: must be at least 0 and below 0.5, as validation and "
            "test take as much each"
        )
    official = official or {}
    tally = Tally()
    limits: dict[str, int] = {}  # up to which draw a dialogue is held out, by split

    def draw(dialogue: Dialogue) -> int:
        digest = hashlib.sha256(f"{options.seed}\n{dialogue.group}".encode(errors="replace"))
        return int.from_bytes(digest.digest()[:8], "little")

    def split_of(dialogue: Dialogue) -> str:
        value = draw(dialogue)
        return next((name for name, limit in limits.items() if value <= limit), "train")

    def read_rows(
        reader: ReadDialogues, skipped: Skipped, tally: Tally, *, only: str = ""
    ) -> Iterator[tuple[Dialogue, list[Row]]]:
        for number, dialogue in enumerate(reader(skipped), start=1):
            if not only or split_of(dialogue) == only:
                with skipped.catching():
                    rows = dialogue_rows(
                        dialogue, number, raw=raw, tally=tally, answers_may_show=answers_may_show
                    )
                    yield dialogue, list(rows)

    def rows_of(split: str) -> Iterator[Row]:
        if split in official:
            found = read_rows(official[split], release.skipped, tally)
        elif split == "train":  # meanwhile, what is bad or missing anywhere is noted, once
            everything = read_rows(read, release.skipped, tally)
            found = (one for one in everything if split_of(one[0]) == split)
        else:
            found = read_rows(read, Skipped(allowed=True), Tally(), only=split)
        for _, rows in found:
            yield from rows

    survey = Tally()
    bad = Skipped(allowed=True)
    drawn = {draw(dialogue) for dialogue, rows in read_rows(read, bad, survey) if rows}
    if not drawn:
        reasons = [f"{count:,} {what}" for what, count in survey.left_out.items()]
        if survey.missing:
            first = next(iter(survey.missing))
            reasons.append(f"first missing image {first!r}; images belong into {raw / 'images'}")
        raise DataError(f"{raw}: no usable row ({'; '.join([*reasons, *bad.reasons[:1]])})")
    held = [name for name in ("valid", "test") if name not in official] if fraction else []
    count = max(1, math.ceil(fraction * len(drawn)))
    if len(drawn) <= count * len(held):
        raise ConfigError(
            f"{len(drawn)} images are too few to hold {count} out for {' and '.join(held)}; give "
            "another --valid-fraction (0 for none)"
        )
    hashes = np.sort(np.fromiter(drawn, np.uint64, len(drawn)))
    limits |= {name: int(hashes[count * n - 1]) for n, name in enumerate(held, start=1)}
    splits = [name for name in ("train", "valid", "test") if name in ("train", *held, *official)]
    return RawDataset(
        splits={name: rows_of(name) for name in splits},
        cleaning=(
            "an example per answer of a dialogue, with what was said before it",
            "marks of images taken out of the text, except where an answer shows one",
            "white space collapsed to one space and stripped",
            *cleaning,
        ),
        preparation={} if options.part is None else {"part": options.part},
        counts={"rows by modality": tally.modalities, "left out": tally.left_out},
        lists={MISSING_FILE: tally.missing},
    )


def dialogue_rows(
    dialogue: Dialogue,
    number: int,
    *,
    raw: Path,
    tally: Tally,
    answers_may_show: bool = False,
) -> Iterator[Row]:
    """Yield a row for every answer of a dialogue; what is left out is counted.

    A row shows one image. Left out, and counted, are rows that would need another one: those whose
    image is not there, that show several, or that show one and answer with one.

    Args:
        dialogue: the dialogue.
        number: of the dialogue in its release, which its rows are named by.
        raw: raw folder.
        tally: what to count in.
        answers_may_show: keep rows whose answer shows an image.

    Raises:
        DataError: an image's name leads out of the folder.
    """
    history: list[tuple[str, str]] = []
    shown: list[str] = []
    for turn_number, (turn, (asked, answered)) in enumerate(
        zip(dialogue.turns, place_images(dialogue), strict=True), start=1
    ):
        shown = list(dict.fromkeys([*shown, *asked]))
        instruction = clean_text(_MARKS.sub(" ", turn.human))
        answer = clean_text(_MARKS.sub(f" {IMAGE_MARK} " if answered else " ", turn.answer))
        before, history = history, [*history, (instruction, clean_text(_MARKS.sub(" ", answer)))]
        wanted = shown + answered
        file: Path | None = None
        reason = ""
        if "" in wanted:
            reason = "rows whose image is not named"
        elif len(shown) > 1 or len(answered) > 1:
            reason = "rows with several images"
        elif len(wanted) > 1:
            reason = "rows that show an image and answer with one"
        elif answered and not answers_may_show:
            reason = "rows that answer with an image"
        elif wanted:
            file = find_image(raw, wanted[0], where=dialogue.where)
            if file is None:
                tally.missing[wanted[0]] = None
                reason = "rows whose image is missing"
        shown = list(dict.fromkeys(wanted))  # later questions may be about what was drawn
        if reason:
            tally.left_out[reason] += 1
            continue
        modality = dialogue.modality or (UNKNOWN_MODALITY if wanted else TEXT_ONLY)
        tally.modalities[modality] += 1
        fields = {
            "id": f"{number}-{turn_number}",
            "instruction": instruction,
            "history": format_history(before),
            "answer": answer,
            "modality": modality,
            "image_in": IN_ANSWER if answered else "",
            "dialogue": dialogue.id,
            "image_name": wanted[0] if wanted else "",
        }
        yield Row(fields, file, f"{dialogue.where}: answer {turn_number}")


def place_images(dialogue: Dialogue) -> list[tuple[list[str], list[str]]]:
    """Return, for each turn, the images shown with the question and those within the answer.

    Images stand where they are marked, in order. Without any mark they are shown from the start;
    one mark for several images stands for all of them, and of one image any number. A mark without
    an image has the name "".
    """
    counts = [
        (len(_MARKS.findall(turn.human)), len(_MARKS.findall(turn.answer)))
        for turn in dialogue.turns
    ]
    total = sum(map(sum, counts))
    names = list(dialogue.images)
    if not total:
        return [(names, []), *(([], []) for _ in counts[1:])]
    if len(names) == 1:
        names *= total
    names += [""] * (total - len(names))
    more = len(names) - total  # images than marks: all belong to the first mark
    places: list[tuple[list[str], list[str]]] = []
    for asked, answered in counts:
        place: tuple[list[str], list[str]] = ([], [])
        for images, marks in zip(place, (asked, answered), strict=True):
            take = marks + more if marks else 0
            more = 0 if marks else more
            images += names[:take]
            names = names[take:]
        places.append(place)
    return places
