"""Reading pickle files that hold nothing but plain data.

A pickle is a small program, and Python's own reader runs it: a file from a stranger can do
anything. Here only the instructions that build lists, tuples, dictionaries, text, bytes, numbers,
booleans and None exist; any other one, above all those that name or call something, is an error.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from biomedgpt.errors import DataError, reason_of
from biomedgpt.files import open_bytes

_PLAIN = {
    *("INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("NONE", "NEWTRUE", "NEWFALSE", "EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT"),
    *("MARK", "LIST", "TUPLE", "DICT", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("APPEND", "APPENDS", "SETITEM", "SETITEMS"),
    *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
    *("PROTO", "FRAME", "STOP"),
}


class _PlainUnpickler(pickle._Unpickler):
    """Python's reader without the instructions that do more than build plain data.

    It is the one written in Python, which keeps its instructions in a table, and its memo in a
    dictionary: the one in C takes memory for as many entries as the file pleases to count up to.
    """

    stack: list[Any]
    metastack: list[list[Any]]
    pop_mark: Callable[[], list[Any]]

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self._fill(items)

    def load_setitem(self) -> None:
        self._fill([self.stack.pop(-2), self.stack.pop()])

    def load_setitems(self) -> None:
        self._fill(self.pop_mark())

    def _fill(self, items: list[Any]) -> None:
        """Fill a dictionary; keys may not be tuples, whose hash can be made to take for ever."""
        if any(isinstance(key, tuple) for key in items[::2]):
            raise ValueError("a tuple is a key")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{
            ord(opcode.code): pickle._Unpickler.dispatch[ord(opcode.code)]
            for opcode in pickletools.opcodes
            if opcode.name in _PLAIN
        },
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }


def read_plain_pickle(path: Path) -> Any:
    """Return the content of a pickle file without running anything of it.

    Raises:
        DataError: the file cannot be read, is damaged, or asks for anything but plain data.
    """
    with open_bytes(path) as file:
        data = file.read()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name not in _PLAIN:
                named = f" {argument!r}" if isinstance(argument, str) else ""
                raise DataError(
                    f"{path}: holds more than plain data ({opcode.name}{named}); it was not "
                    "opened: a pickle like this can run code; get the file again from where it was "
                    "published"
                )
        # Byte strings of Python 2 are text in some encoding.
        reader = _PlainUnpickler(io.BytesIO(data), encoding="utf-8", errors="surrogateescape")
        content = reader.load()
        if reader.stack or reader.metastack:
            raise ValueError("it holds more than one value")
    except DataError:
        raise
    except Exception as error:  # pickletools raises almost anything on damaged input.
        reason = reason_of(error)[:200]
        raise DataError(f"{path}: not readable as a pickle file ({reason})") from error
    return content
