"""XML of strangers, read record by record in constant memory.

Files of NLM have a DOCTYPE line, which is fine: external DTDs are never fetched. Declarations of
entities, with which a small file can unfold into gigabytes, are refused before anything is parsed,
and so is a record that does not end.
"""

import zlib
from collections.abc import Collection, Iterator
from io import BufferedIOBase
from xml.etree import ElementTree
from xml.parsers import expat

from biomedgpt.errors import DataError, reason_of

MAX_RECORD = 1 << 26
"""Bytes of XML between the ends of two records; a long article has 2 million."""
_MAX_PROLOG = 1 << 20
_BLOCK = 1 << 16


class DamagedError(DataError):
    """A file that ends or breaks in its middle; the records before that place are whole."""


class _BoundedStream:
    """A stream whose prolog is looked at first, with a limit on the size of a record."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._head = b""
        self._since_mark = 0

    def read_prolog(self) -> str:
        """Return the name of the first element; DataError when entities are declared before it."""
        names: list[str] = []
        parser = expat.ParserCreate()
        parser.StartElementHandler = lambda name, _: names.append(name)
        parser.EntityDeclHandler = _refuse_entity
        while not names:
            block = self._stream.read1(_BLOCK)
            self._head += block
            parser.Parse(block, not block)
            if len(self._head) > _MAX_PROLOG:
                raise DataError("no element in its first MiB; not such a file")
        return names[0]

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, as a file does."""
        block, self._head = self._head, b""
        # read1 hands out what there is before a damaged place; read would lose it.
        block = block or self._stream.read1(size)
        self._since_mark += len(block)
        if self._since_mark > MAX_RECORD + _BLOCK:
            raise DamagedError(f"a record of more than {MAX_RECORD >> 20} MiB; refused")
        return block

    def mark(self) -> None:
        """Begin to count anew: a record has ended."""
        self._since_mark = 0


def _refuse_entity(*declaration: object) -> None:
    raise DataError(f"declares the entity {declaration[0]!r}; refused")


def iterate(
    stream: BufferedIOBase, tags: Collection[str], *, roots: Collection[str], where: str
) -> Iterator[ElementTree.Element]:
    """Yield every element with one of ``tags`` once it is complete; it is cleared afterwards.

    Args:
        stream: the file, decompressed.
        tags: names of elements.
        roots: names that the outermost element may have.
        where: the file, for messages.

    Raises:
        DamagedError: the file is cut or damaged; the message names the last whole record.
        DataError: the file is of another kind, or declares entities.
    """
    source = _BoundedStream(stream)
    number = 0
    try:
        root = source.read_prolog()
        if root not in roots:
            raise DataError(f"begins with <{root}>, not with <{'> or <'.join(roots)}>")
        outermost: ElementTree.Element | None = None
        for event, element in ElementTree.iterparse(source, events=("start", "end")):
            if outermost is None:
                outermost = element
            elif event == "end" and element.tag in tags:
                number += 1
                yield element
                outermost.clear()
                source.mark()
    except DataError as error:
        raise type(error)(f"{where}: {error}") from error
    except (
        *(OSError, EOFError, zlib.error),
        *(ElementTree.ParseError, expat.ExpatError, ValueError, LookupError),
    ) as error:
        reason = reason_of(error)
        raise DamagedError(f"{where}: cut or damaged after record {number} ({reason})") from error
