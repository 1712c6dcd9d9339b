from pathlib import Path

import pytest

from biomedgpt.errors import ConfigError
from biomedgpt.pretraining.run_file import DEFAULT_WEIGHTS, FAMILIES, KINDS, PretrainingConfig
from biomedgpt.pretraining.streams import STREAMS


def load(folder: Path, text: str) -> PretrainingConfig:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return PretrainingConfig.load(path)


def test_defaults_are_those_of_the_reference(tmp_path: Path) -> None:
    config = load(tmp_path, '[streams.mlm]\ndata = "pubmed"\n')
    assert (config.sampled_patches, config.max_source_tokens) == (196, 512)
    assert (config.mask_ratio, config.span_length) == (0.3, 3.0)
    assert [config.weights[name] for name in FAMILIES] == [8, 2, 1, 1]
    (stream,) = config.streams
    assert (stream.kind, stream.data, stream.weight) == ("mlm", (tmp_path / "pubmed",), None)


def test_everything_can_be_set(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "seed = 3\nimage_size = 96\nmask_ratio = 0.15\nexamples_per_epoch = 10\n"
        "[weights]\ntext = 4\n"
        '[streams.mlm]\ndata = ["a", "../b"]\nweight = 2\n'
        '[streams.vqa]\ndata = "c"\n',
    )
    assert (config.seed, config.image_size, config.mask_ratio) == (3, 96, 0.15)
    assert config.weights == DEFAULT_WEIGHTS | {"text": 4}
    assert config.examples_per_epoch == 10
    # Whatever the order in the file, streams are numbered alike.
    assert [stream.kind for stream in config.streams] == ["vqa", "mlm"]
    assert config.streams[1].data == (tmp_path / "a", tmp_path / ".." / "b")
    assert config.streams[1].weight == 2.0


MLM = '[streams.mlm]\ndata = "x"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = \n", r"not TOML \(.*line 1"),
        ("", r"no stream; add a table such as \[streams.captioning\]"),
        ("mask_rato = 0.1\n" + MLM, "unknown key mask_rato; did you mean mask_ratio?"),
        ("mask_ratio = 1.5\n" + MLM, "mask_ratio must be between 0.01 and 0.99, got 1.5"),
        ("image_size = 96.5\n" + MLM, "image_size must be a whole number, not 96.5"),
        ("seed = true\n" + MLM, "seed must be a whole number, not True"),
        ("span_length = nan\n" + MLM, "span_length must be a number, not nan"),
        ("[weights]\nimages = 1\n" + MLM, "unknown key weights.images; did you mean image?"),
        ("[weights]\ntext = -1\n" + MLM, "weights.text must be between 0 and"),
        ("[streams.mlmm]\ndata = 'x'\n", "unknown key streams.mlmm; did you mean mlm?"),
        ("[streams.mlm]\n", "streams.mlm.data must name a prepared dataset"),
        ("[streams.mlm]\ndata = [1]\n", "streams.mlm.data must name a prepared dataset"),
        ("[streams.mlm]\ndata = 'x'\nweigth = 1\n", "unknown key streams.mlm.weigth"),
        ("[streams.mlm]\ndata = 'x'\nweight = 'a'\n", "streams.mlm.weight must be a number"),
        ("streams = 3\n", "streams must be a table"),
    ],
)
def test_errors_are_one_line_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "run.toml"))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        PretrainingConfig.load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        PretrainingConfig.load(tmp_path / "bytes.toml")


def test_kinds_have_a_stream_each() -> None:
    assert list(STREAMS) == sorted(STREAMS, key=list(KINDS).index)
    assert STREAMS.keys() == KINDS.keys()
    assert set(KINDS.values()) == set(FAMILIES) == DEFAULT_WEIGHTS.keys()
