"""Reading pickle files that hold nothing but plain data.

A pickle is a small program, and Python's own reader runs it: a file from a stranger can do
anything. Here only the instructions that build lists, tuples, dictionaries, text, bytes, numbers,
booleans and None exist; any other one, above all those that name or call something, is an error.
"""

import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from biomedgpt.errors import DataError

_VALUES: dict[str, Callable[[Any], Any]] = {
    **{
        name: lambda value: value
        for name in (
            *("INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4"),
            *("FLOAT", "BINFLOAT", "STRING"),
            *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
            *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        )
    },
    # Byte strings of Python 2; pickletools hands them over as Latin-1.
    **{
        name: lambda value: value.encode("latin-1").decode("utf-8", errors="surrogateescape")
        for name in ("BINSTRING", "SHORT_BINSTRING")
    },
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_DICT": lambda _: {},
}
"""Instructions that push one value, made from their argument."""
_FROM_MARK: dict[str, Callable[[list[Any]], Any]] = {
    "LIST": list,
    "TUPLE": tuple,
    "DICT": lambda values: dict(_pairs(values)),
}
"""Instructions that push one value, made from all since the mark."""
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_STORE = ("PUT", "BINPUT", "LONG_BINPUT")
_RECALL = ("GET", "BINGET", "LONG_BINGET")
_NOTHING = ("PROTO", "FRAME")


class _Forbidden(Exception):
    """An instruction that does more than build plain data."""


def read_plain_pickle(path: Path) -> Any:
    """Return the content of a pickle file without running anything of it.

    Raises:
        DataError: the file cannot be read, is damaged, or asks for anything but plain data.
    """
    try:
        return _build(path.read_bytes())
    except _Forbidden as error:
        raise DataError(
            f"{path}: holds more than plain data ({error}); it was not opened: a pickle like this "
            "can run code; get the file again from where it was published"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # pickletools raises almost anything on damaged input.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: not readable as a pickle file ({reason[:200]})") from error


def _build(data: bytes) -> Any:
    """Follow the instructions; see `pickletools` for what each does."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        values = stack[start:]
        del stack[start:]
        return values

    argument: Any
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name in _VALUES:
            stack.append(_VALUES[name](argument))
        elif name == "MARK":
            marks.append(len(stack))
        elif name in _FROM_MARK:
            stack.append(_FROM_MARK[name](since_mark()))
        elif name in _TUPLES:
            values = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(reversed(values)))
        elif name in _STORE:
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in _RECALL:
            stack.append(memo[argument])
        elif name in ("APPEND", "APPENDS"):
            added = since_mark() if name == "APPENDS" else [stack.pop()]
            _expect(stack[-1], list).extend(added)
        elif name in ("SETITEM", "SETITEMS"):
            items = since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _expect(stack[-1], dict).update(_pairs(items))
        elif name == "STOP":
            (result,) = stack
            return result
        elif name not in _NOTHING:
            raise _Forbidden(f"{name} {argument!r}" if isinstance(argument, str) else name)
    raise ValueError("it ends too early")


def _pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    """Return keys and values; keys may not be tuples, whose hash a file can make take for ever."""
    if any(isinstance(key, tuple) for key in values[::2]):
        raise ValueError("a tuple is a key")
    return list(zip(values[::2], values[1::2], strict=True))


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"a {kind.__name__} is filled that is none")
    return value
