"""Settings of the recipes: one entry per dataset, shared by its training and evaluation script.

Fine-tuning settings are those of the reference's scripts, where it published some. Two things are
ours, because the reference always starts from a pretrained checkpoint on several GPUs:

* From scratch (no ``--checkpoint``) the learning rate is ``scratch_lr``, nothing is frozen and
  batches are not accumulated; at the reference's 5e-5 a fresh model hardly moves.
* The decay of the weight average is shortened where a run is short: 0.9999 looks back over 10,000
  updates, and would still be the initial weights after the few hundred updates of VQA-RAD.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SIZES = ("nano", "tiny", "medium", "base", "large", "xlarge")

COMMON = (
    *("--criterion", "adjust_label_smoothed_cross_entropy"),
    *("--optimizer", "adam", "--adam-betas", "(0.9,0.999)", "--adam-eps", "1e-08"),
    *("--weight-decay", "0.01", "--clip-norm", "1.0", "--lr-scheduler", "polynomial_decay"),
    *("--dropout", "0.1", "--attention-dropout", "0.0", "--resnet-drop-path-rate", "0.0"),
    *("--encoder-drop-path-rate", "0.1", "--decoder-drop-path-rate", "0.1"),
    *("--required-batch-size-multiple", "1", "--fixed-validation-seed", "7", "--seed", "7"),
    *("--no-epoch-checkpoints", "--log-interval", "10"),
)
"""Options of fairseq-train that all recipes share."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What differs between datasets."""

    dataset: str
    """Name in ``biomedgpt data list``."""
    lr: float
    """Peak learning rate from a checkpoint."""
    scratch_lr: float
    epochs: int
    warmup_ratio: float
    batch_size: Mapping[str, int]
    """Examples per device and step, by model size."""
    update_freq: int
    """Steps accumulated per update, from a checkpoint."""
    image_size: Mapping[str, int]
    """Pixels along one side, by model size."""
    metric: str
    """Validation score that picks the best checkpoint."""
    train: tuple[str, ...] = ()
    """Further options of fairseq-train."""
    generate: tuple[str, ...] = ()
    """Options of fairseq-generate for the test split."""
    validate_every: int = 1
    """Epochs between validations."""
    default_size: str = "tiny"


RECIPES: dict[str, Recipe] = {
    recipe.dataset: recipe
    for recipe in (
        # taokz/BiomedGPT, scripts/vqa/train_vqa_rad_beam_scale.sh and its evaluation script.
        Recipe(
            dataset="vqa-rad",
            lr=5e-5,
            scratch_lr=5e-4,
            epochs=100,
            warmup_ratio=0.04,
            batch_size={"nano": 64, "tiny": 64, "medium": 32, "base": 16, "large": 8, "xlarge": 4},
            update_freq=4,
            image_size={"nano": 256, "tiny": 256, "medium": 256}
            | dict.fromkeys(("base", "large", "xlarge"), 384),
            metric="vqa_score",
            train=(
                *("--label-smoothing", "0.1", "--add-object", "--prompt-type", "prev_output"),
                *("--max-src-length", "80", "--max-tgt-length", "40"),
            ),
            generate=("--beam", "5", "--unnormalized", "--max-len-b", "40"),
            validate_every=5,
        ),
        Recipe(
            dataset="phantoms",
            lr=5e-4,
            scratch_lr=5e-4,
            epochs=3,
            warmup_ratio=0.08,
            batch_size=dict.fromkeys(SIZES, 32),
            update_freq=1,
            image_size=dict.fromkeys(SIZES, 96),
            metric="vqa_score",
            # Endless data of its own needs no regularisation.
            train=(
                *("--prompt-type", "prev_output", "--dropout", "0.0"),
                *("--encoder-drop-path-rate", "0.0", "--decoder-drop-path-rate", "0.0"),
            ),
            generate=("--beam", "5", "--unnormalized", "--max-len-b", "40"),
        ),
    )
}
