"""The order of pretraining's examples, and how it is taken up again."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fairseq", reason="needs the train extra")

from omegaconf import OmegaConf
from pretraining_data import write_corpora


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpora(tmp_path_factory.mktemp("corpora") / "out", size=64)


def make_task(corpora: Path) -> Any:
    import fairseq_ext  # noqa: F401
    from fairseq_ext.pretraining import PretrainingTask, PretrainingTaskConfig

    config = PretrainingTaskConfig(data=str(corpora / "pretraining.toml"))
    return PretrainingTask.setup_task(OmegaConf.structured(config))


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_every_example_of_an_epoch_is_in_exactly_one_batch(corpora: Path, shards: int) -> None:
    task = make_task(corpora)
    task.load_dataset("train")
    dataset = task.dataset("train")
    epochs = []
    for epoch in (1, 2):
        seen = []
        for shard in range(shards):
            iterator = task.get_batch_iterator(
                dataset, max_sentences=7, num_shards=shards, shard_id=shard, epoch=epoch
            )
            for batch in iterator.ordered_batches(epoch, False, shuffle=True):
                seen += [dataset.examples.identity(int(i)) for i in batch]
        assert len(seen) == len(set(seen)) == len(dataset)
        epochs.append(seen)
    assert set(epochs[0]) != set(epochs[1])  # the next epoch goes on with other rows


def test_a_restored_position_goes_on_with_the_next_example(corpora: Path) -> None:
    def rows(state: dict[str, Any] | None, stop: int | None) -> tuple[list[str], dict[str, Any]]:
        task = make_task(corpora)
        task.load_dataset("train")
        position = task.get_batch_iterator(task.dataset("train"), max_sentences=8, epoch=2)
        if state is not None:
            position.load_state_dict(state)
        seen: list[str] = []
        batches = position.next_epoch_itr(shuffle=True)
        for number, batch in enumerate(batches, start=1):
            seen += [where for part in batch["parts"] for where in part["where"]]
            if number == stop:
                break
        return seen, position.state_dict()

    whole, _ = rows(None, None)
    first, state = rows(None, 5)
    rest, _ = rows(state, None)
    assert first + rest == whole
