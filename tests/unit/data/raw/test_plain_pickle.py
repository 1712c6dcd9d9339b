"""Pickle files from strangers are read as data or not at all."""

import datetime
import os
import pickle
import pickletools

import pytest

from biomedgpt.data.raw.plain_pickle import read_plain_pickle
from biomedgpt.errors import DataError


def write(folder, data):
    path = folder / "file.pkl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_is_read_from_every_protocol(tmp_path, protocol):
    shared = ["the same", "list"]
    content = {
        "text": "naïve\n<é>",
        "numbers": [0, -1, 255, 65536, 2**31, -(2**70), 2**3000, 1.5, float("inf")],
        "others": (None, True, False, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "nested": [[], {}, {"a": {1: [2]}}],
        "shared": [shared, shared],
        "long": ["x" * 300, list(range(2000))],
    }
    if protocol >= 3:
        content["bytes"] = [b"", b"\xff" * 300]
    result = read_plain_pickle(write(tmp_path, pickle.dumps(content, protocol)))
    assert result == content
    assert result["shared"][0] is result["shared"][1]


def test_text_of_python_2_is_read(tmp_path):
    data = b"\x80\x02]q\x00(U\x05caf\xc3\xa9U\x01\xffT\x03\x00\x00\x00yese."
    assert read_plain_pickle(write(tmp_path, data)) == ["café", "\udcff", "yes"]


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_is_refused_and_not_run(tmp_path, protocol):
    data = pickle.dumps([{"question": Hostile(tmp_path / "pwned")}], protocol)
    path = write(tmp_path, data)
    with pytest.raises(
        DataError, match=r"file\.pkl: holds more than plain data \(.*GLOBAL"
    ) as error:
        read_plain_pickle(path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "pwned").exists()
    pickle.loads(data)  # it is as hostile as it looks
    assert (tmp_path / "pwned").exists()


def test_everything_that_names_or_calls_something_is_refused(tmp_path):
    for name in ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD", "PERSID", "BINPERSID",
                 "EXT1", "EXT2", "EXT4", "GLOBAL", "STACK_GLOBAL", "NEXT_BUFFER"):  # fmt: skip
        opcode = next(one for one in pickletools.opcodes if one.name == name)
        path = write(tmp_path, b"(]" + opcode.code.encode("latin-1") + b"a\nb\n\0\0.")
        with pytest.raises(DataError, match=f"plain data.*{name}"):
            read_plain_pickle(path)
    with pytest.raises(DataError, match="more than plain data"):
        read_plain_pickle(write(tmp_path, pickle.dumps([datetime.date(2000, 1, 1)])))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        pickle.dumps(["text"] * 9)[:-1],
        b"\x80\x04]a.",
        b"\x80\x04K\x01K\x02.",
        b"\x80\x04h\x05.",
        b"\x80\x04K\x01K\x02a.",
        b"\x80\x04}]K\x01s.",
        b"\x80\x04(K\x01d.",
        b"T\xff\xff\xff\x7fabc.",
        b"S'\xff'\n.",
        b"e.",
        b"\x80\x04K\x01\x86.",
        b"}" + b")" + b"2\x86" * 100 + b"K\x01s.",
        b"\x80\x04})q\x00" + b"".join(b"h\0h\0\x86q\0" for _ in range(99)) + b"h\0K\1s.",
        b"\x80\x04})q\x00"
        + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(99))
        + b"h\x63K\1s.",
        b"\x80\x04]]r\xff\xff\xff\xff.",
    ],
)
def test_damaged_files_are_one_error(tmp_path, data):
    with pytest.raises(
        DataError, match=r"file\.pkl: (not readable as a pickle|holds more)"
    ) as error:
        read_plain_pickle(write(tmp_path, data))
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="cannot be read"):
        read_plain_pickle(tmp_path / "nowhere.pkl")
