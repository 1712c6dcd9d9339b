"""What the launcher makes of its options, before anything starts."""

from pathlib import Path

import pytest

pytest.importorskip("fairseq", reason="needs the train extra")

from checkout import ROOT

from biomedgpt.data.phantoms import write_phantoms


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"BIOMEDGPT_NODES": "two"}, "BIOMEDGPT_NODES must be a number of nodes, got 'two'"),
        ({"BIOMEDGPT_NODES": "2"}, "BIOMEDGPT_NODES is 2; set BIOMEDGPT_RENDEZVOUS to HOST:PORT"),
    ],
)
def test_nodes_that_make_no_sense(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "run_scripts"))
    import processes

    from biomedgpt.errors import ConfigError

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        processes.count_nodes()


@pytest.mark.parametrize("given", [["--bf16"], ["--fp16"], ["--amp"], []])
def test_half_precision_and_memory_options_reach_fairseq(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str]
) -> None:
    """As far as that goes without a GPU: the command is read, not run."""
    monkeypatch.syspath_prepend(str(ROOT / "run_scripts"))
    import launch
    from commands import Devices, training_command
    from fairseq.options import get_training_parser
    from options import check_options

    dataset = tmp_path / "phantoms"
    write_phantoms(dataset, train=2, valid=2, test=2, size=48, seed=3, num_codes=16)
    arguments = ["train", "phantoms", "--data", str(dataset), "--save-dir", str(tmp_path), *given]
    args, options = launch.parse([*arguments, "--batch-norm", "sync", "--checkpoint-activations"])
    (run,) = launch.plan(args)
    command, _ = training_command(
        args, run, options, vocabulary=tmp_path, devices=Devices(8, gpu=True)
    )
    parsed = check_options(get_training_parser("biomedgpt"), command)
    expected = given[0].removeprefix("--") if given else "fp16"
    assert {name for name in ("bf16", "fp16", "amp") if getattr(parsed, name)} == {expected}
    assert (str(parsed.batch_norm), parsed.checkpoint_activations) == ("sync", True)
    assert parsed.distributed_world_size == 8
