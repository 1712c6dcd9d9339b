"""One fairseq task for all tasks: the prepared dataset says which one it holds."""

# ruff: noqa: UP045, RUF009 (fairseq builds its parser from Optional and does not know `X | None`)

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import torch
from fairseq.data import FairseqDataset
from fairseq.dataclass import ChoiceEnum
from fairseq.tasks import register_task
from omegaconf import MISSING
from torch import Tensor

from biomedgpt.checkpoints.description import CheckpointInfo, Preprocessing, options_of
from biomedgpt.checkpoints.option_names import TASK_OPTIONS
from biomedgpt.data.prepared.dataset import PreparedDataset, PreparedSplit
from biomedgpt.data.prepared.folds import JoinedSplits, open_split
from biomedgpt.data.prepared.summary import majority_answers
from biomedgpt.decoding import GenerationConfig, describe
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.examples.answer_codes import AnswerCodes
from biomedgpt.examples.augmentation import Augmentation
from biomedgpt.examples.example_encoder import Candidates, ExampleEncoder
from biomedgpt.examples.mixing import SEED, Balance, mixed_folders, modalities, open_mixed
from biomedgpt.examples.segments import IMAGES, ImageCodes, codes_of, decode_parts, marked_text
from biomedgpt.scoring.predictions import write_predictions
from biomedgpt.tasks import Instruction, RunInfo, Task, get_task
from biomedgpt.vqgan.generation import FROM_TEXT
from fairseq_ext import checkpoints
from fairseq_ext.base_task import VocabularyTask, VocabularyTaskConfig
from fairseq_ext.error_lines import MOST_NAMED, LossNotFiniteError
from fairseq_ext.fairseq_dataset import PreparedFairseqDataset
from fairseq_ext.generator import Generator, generation_config
from fairseq_ext.option_fields import option

logger = logging.getLogger(__name__)

PROMPT_TYPES = ChoiceEnum(["none", "prev_output", "src"])
AUGMENTATIONS = ChoiceEnum(["none", "light", "strong"])
BALANCES = ChoiceEnum(["none", "modality"])
INFERENCE_TYPES = ChoiceEnum(["beam", "allcand"])


@dataclass
class BiomedGPTTaskConfig(VocabularyTaskConfig):
    """Options of the task.

    Options that default to nothing take the checkpoint's value in fairseq-generate, so that a
    model is asked the way it was trained, and else the task's default.
    """

    data: str = option(MISSING, "prepared dataset (a folder)")
    vocabulary: Optional[str] = option(None, "folder of the vocabulary (default: DATA/vocabulary)")
    patch_image_size: Optional[int] = option(
        None, "pixels along one side of the image (default: 256)"
    )
    max_src_length: Optional[int] = option(None, "words of the source text that are kept")
    max_tgt_length: Optional[int] = option(None, "tokens of the target that are kept")
    add_object: Optional[bool] = option(None, "append the row's organ or location to the question")
    prompt_type: Optional[PROMPT_TYPES] = option(
        None, "what the decoder is given before the answer"
    )
    unconstrained: Optional[bool] = option(
        None, "free text instead of the dataset's candidate answers"
    )
    imagenet_default_mean_and_std: Optional[bool] = option(
        None, "normalise images by ImageNet's mean and deviation instead of 0.5"
    )
    augment: AUGMENTATIONS = option(
        "none", "light: crop and flip training images at random; strong: change more"
    )
    fold: Optional[int] = option(None, "cross-validation: number of the fold to test on")
    mix: Optional[str] = option(
        None,
        "instructions: prepared datasets of any task whose training rows are added, "
        "separated by colons",
    )
    balance: BALANCES = option(
        "none",
        "instructions: modality: no modality has more rows in an epoch than the median "
        "one (datasets of --mix count as one each)",
    )
    noise_ratio: float = option(
        0.0, "share of the decoder's input tokens replaced at random in training"
    )
    strict_data: bool = option(False, "refuse rows that are too long instead of cutting them")
    blank_images: bool = option(False, "replace all images by grey, to see if the model looks")
    inference: INFERENCE_TYPES = option("beam", "search for answers, or score all candidates")
    sampling_seed: int = option(0, "fairseq-generate: of the random numbers of --sampling")
    predictions: Optional[str] = option(
        None, "file for the predictions of fairseq-generate (JSON lines)"
    )
    eval_accuracy: bool = option(False, "generate in validation and report the task's score")
    eval_beam: Optional[int] = option(None, "beam in validation (default: the task's)")
    ema_eval: bool = option(False, "fairseq-generate: use the averaged weights of --path")


_INPUT_OPTIONS = (
    *TASK_OPTIONS,
    *("patch_image_size", "imagenet_default_mean_and_std", "unconstrained"),
)


@register_task("biomedgpt", dataclass=BiomedGPTTaskConfig)
class BiomedGPTTask(VocabularyTask):
    """Reads prepared datasets, generates in validation, writes predictions."""

    def __init__(self, cfg: BiomedGPTTaskConfig) -> None:
        self.prepared = PreparedDataset(cfg.data)
        super().__init__(cfg, cfg.vocabulary or Path(cfg.data) / "vocabulary")
        self.images: ImageCodes | None = None
        self.most_positions: int | None = None
        self.records: dict[int, dict[str, Any]] = {}
        self.expected = 0
        self.split = ""
        self.decoding: dict[str, Any] = {}
        checkpoints.context.ema = cfg.ema_eval

    @cached_property
    def definition(self) -> Task:
        """The task that the dataset names, with this run's options."""
        cfg = self.cfg
        options = {ours: getattr(cfg, theirs) for theirs, ours in TASK_OPTIONS.items()}
        options["prompt_type"] = None if cfg.prompt_type is None else str(cfg.prompt_type)
        options["add_object"] = cfg.add_object or None
        options["constrained"] = False if cfg.unconstrained else None
        task = get_task(self.prepared.card.task).with_(**options)
        if self.images is not None and isinstance(task, Instruction):
            task = task.with_(**self.images.options())
        return task

    @cached_property
    def _sources(self) -> list[str]:
        """Names of all datasets with training rows."""
        mixed = [PreparedDataset(folder) for folder in mixed_folders(self.cfg.mix or "")]
        return [one.card.name for one in (self.prepared, *mixed)]

    @cached_property
    def candidates(self) -> Candidates | None:
        """Candidate answers of the dataset, or None for free text."""
        if not self.definition.constrained:
            return None
        return Candidates.encode(self.vocabulary, self.definition, self.prepared.card.answers)

    def build_criterion(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        if self.cfg.ema_eval:
            raise ConfigError("--ema-eval is for fairseq-generate; in training use --uses-ema")
        return super().build_criterion(cfg, from_checkpoint)

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        model = super().build_model(cfg, from_checkpoint)
        self.most_positions = model.config.max_positions
        return model

    # Data

    def load_dataset(
        self, split: str, combine: bool = False, task_cfg: Any = None, **_: Any
    ) -> None:
        """Open a split.

        Args:
            split: its name.
            combine: not used; a split is one file.
            task_cfg: options the checkpoint was trained with; they fill in those not given.
        """
        if task_cfg is not None:
            self._adopt(task_cfg)
        training = split == "train"
        rows: PreparedSplit | JoinedSplits
        if training and self.cfg.mix:
            rows = open_mixed(self.prepared, mixed_folders(self.cfg.mix))
        else:
            rows = open_split(self.prepared, split, fold=self.cfg.fold)
        codes = self._open_codes(rows, needed=task_cfg is None)
        pixels = self.preprocessing()
        size, normalization = pixels.image_size, pixels.normalization
        encoder = ExampleEncoder(
            self.vocabulary,
            self.definition,
            image_size=size,
            candidates=self.candidates,
            max_source_tokens=self.most_positions or ExampleEncoder.max_source_tokens,
            normalization=normalization,
            augmentation=None
            if self.cfg.augment == "none"
            else Augmentation(size, normalization, strength=self.cfg.augment),
            blank_images=self.cfg.blank_images,
        )
        balance = None
        if training and str(self.cfg.balance) == "modality":
            balance = Balance(modalities(rows), seed=SEED)
            logger.info("rows in an epoch: %s", balance.describe())
        dataset = self.datasets[split] = PreparedFairseqDataset(
            rows,
            encoder,
            shuffle=training,
            strict=self.cfg.strict_data,
            closed=training,
            noise_ratio=self.cfg.noise_ratio if training else 0.0,
            balance=balance,
            codes=codes,
        )
        if codes is not None:
            self._check_lengths(dataset)

    def _open_codes(
        self, rows: PreparedSplit | JoinedSplits, *, needed: bool
    ) -> AnswerCodes | None:
        """Return the codes of the images that answers show, None where none does.

        To generate, they are not needed; what the model writes is in its checkpoint.
        """
        if rows.task != Instruction.name:
            return None
        try:
            codes = AnswerCodes(rows)
        except DataError as error:
            if needed:
                raise
            logger.warning("%s; they are not needed to generate", error)
            return None
        if codes.info is None:
            return None
        if needed and self.images not in (None, codes.info):
            raise ConfigError(
                f"{rows.folder}: the splits have codes of different image tokenizers or grids; "
                "encode all of them alike (biomedgpt vqgan encode)"
            )
        self.vocabulary.require_codes(codes.info.image_codes, str(rows.folder))
        if needed:
            self._use_images(codes.info)
        return codes

    def _use_images(self, images: ImageCodes | None) -> None:
        self.images = images
        self.__dict__.pop("definition", None)

    def _check_lengths(self, dataset: PreparedFairseqDataset) -> None:
        """Raise a ConfigError where a target is longer than the model's positions."""
        longest = int(dataset.sizes[:, 1].max())
        if self.most_positions is not None and longest > self.most_positions:
            assert self.images is not None
            raise ConfigError(
                f"{dataset.split.locate(int(dataset.sizes[:, 1].argmax()))}: a target of {longest} "
                f"tokens, {self.images.image_grid**2} of them codes, and the model has "
                f"{self.most_positions} positions; encode the images with a smaller --whole-size, "
                f"or give --max-positions {longest}"
            )

    def _adopt(self, trained: Any) -> None:
        for name in _INPUT_OPTIONS:
            if self.cfg[name] is None and trained.get(name) is not None:
                self.cfg[name] = trained[name]
        self.__dict__.pop("definition", None)
        self.__dict__.pop("candidates", None)

    def get_batch_iterator(self, dataset: FairseqDataset, *args: Any, **options: Any) -> Any:
        iterator = super().get_batch_iterator(dataset, *args, **options)
        if self.cfg.predictions is not None:
            if options.get("num_shards", 1) > 1:
                raise ConfigError("--predictions needs a single process; generate on one device")
            self.expected = sum(len(batch) for batch in iterator.frozen_batches)
            self.split = dataset.split.name
        return iterator

    # What travels with a checkpoint

    def preprocessing(self) -> Preprocessing:
        """See `VocabularyTask`."""
        return Preprocessing.trained_with(
            self.cfg.patch_image_size, imagenet=bool(self.cfg.imagenet_default_mean_and_std)
        )

    def info(self) -> CheckpointInfo:
        """See `VocabularyTask`."""
        card, task = self.prepared.card, self.definition
        return CheckpointInfo(
            task=card.task,
            task_options=options_of(task),
            decoding=task.decoding,
            answers=tuple(card.answers) if task.constrained else (),
            dataset=card.name,
            dataset_hash=self.prepared.hash,
            source=f"trained with biomedgpt on {', '.join(self._sources)}",
        )

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict() | {"dataset_hash": self.prepared.hash}
        return state if self.images is None else state | {IMAGES: self.images.options()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if IMAGES in state_dict:
            self._use_images(ImageCodes.parse(state_dict[IMAGES], where="the checkpoint"))

    # Training and validation

    def loss_not_finite(
        self, loss: Tensor, part: dict[str, Any], log: dict[str, Any], update: int
    ) -> LossNotFiniteError:
        rows = [example["id"] for example in part["examples"]]
        shown = ", ".join(rows[:MOST_NAMED]) + (" ..." if len(rows) > MOST_NAMED else "")
        return LossNotFiniteError(
            f"the loss of update {update} is {float(loss)}, with rows {shown}; the last "
            "checkpoint is as it was. Lower --lr or --clip-norm, or look at these rows, and give "
            "the command again"
        )

    def valid_step(
        self, sample: dict[str, Any], model: Any, criterion: Any, ema_model: Any = None
    ) -> tuple[Tensor, int, dict[str, Any]]:
        loss, sample_size, log = super().valid_step(sample, model, criterion, ema_model)
        if self.cfg.eval_accuracy:
            asked = model if ema_model is None else ema_model
            hypotheses = self.validation_generator.generate([asked], sample)
            records = [
                self._record(example, found[0], self.run_info("valid"))
                for example, found in zip(sample["examples"], hypotheses, strict=True)
            ]
            for name, (total, count) in self.definition.sums(records).items():
                log[f"{name}_sum"], log[f"{name}_count"] = total, count
        return loss, sample_size, log

    # Generation

    @cached_property
    def validation_generator(self) -> Generator:
        """Generates with the task's own decoding settings."""
        config = self.definition.decoding
        if self.cfg.eval_beam is not None:
            config = replace(config, beam=self.cfg.eval_beam)
        return self._generator(config)

    def build_generator(self, models: Sequence[Any], args: Any, **_: Any) -> Generator:
        config = generation_config(args, seed=self.cfg.sampling_seed)
        generator = self._generator(config, length_ratio=args.max_len_a, best=args.nbest)
        self.decoding = {"mode": str(self.cfg.inference), **describe(generator.config)}
        if generator.image is not None:
            self.decoding["image"] = {
                name: getattr(generator.image.config, name)
                for name in ("max_len", "sampling", "top_k", "top_p", "temperature", "seed")
            }
        return generator

    def _generator(self, config: GenerationConfig, **options: Any) -> Generator:
        if self.candidates is not None:  # all of them can be reached, or a search finds none
            longest = max(map(len, self.candidates.sequences))
            config = replace(config, max_len=max(config.max_len, longest))
        images = ImageCodes.of(self.definition)
        return Generator(
            self.vocabulary,
            config,
            candidates=self.candidates,
            exhaustive=str(self.cfg.inference) == "allcand",
            image=None if images is None else FROM_TEXT.within(images),
            **options,
        )

    def inference_step(
        self,
        generator: Generator,
        models: Sequence[Any],
        sample: dict[str, Any],
        prefix_tokens: Tensor | None = None,
        constraints: Tensor | None = None,
    ) -> list[list[dict[str, Any]]]:
        with torch.no_grad():
            hypotheses = generator.generate(models, sample)
        if self.cfg.predictions is not None:
            run = self.run_info(self.split)
            for row, example, found in zip(
                sample["id"].tolist(), sample["examples"], hypotheses, strict=True
            ):
                self.records[row] = self._record(example, found[0], run)
            if len(self.records) == self.expected:
                write_predictions(
                    self.cfg.predictions, [self.records[row] for row in sorted(self.records)]
                )
                logger.info("wrote %d predictions to %s", self.expected, self.cfg.predictions)
        return hypotheses

    def _record(
        self, example: dict[str, str], hypothesis: dict[str, Any], run: RunInfo
    ) -> dict[str, Any]:
        ids = hypothesis["tokens"].tolist()
        text, codes = self.vocabulary.decode_text(ids), []
        if self.images is not None:
            parts = decode_parts(self.vocabulary, ids)
            text, codes = marked_text(parts), codes_of(parts)
        score = float(hypothesis["score"])
        scores = hypothesis["candidate_scores"]
        if scores is not None:
            assert self.candidates is not None
            scores = dict(zip(self.candidates.answers, scores.tolist(), strict=True))
        record = self.definition.prediction_record(
            example, text=text, score=score, run=run, candidate_scores=scores
        )
        return record | {"codes": codes} if codes else record

    @cached_property
    def majority(self) -> dict[str, str]:
        """Commonest training answer by question type; of the fold's own training rows."""
        card = self.prepared.card
        if self.cfg.fold is None or "answer" not in card.fields:
            return card.majority_answers
        train = open_split(self.prepared, "train", fold=self.cfg.fold)
        return majority_answers({"train": train})[1]

    def run_info(self, split: str) -> RunInfo:
        """Return what all predictions for ``split`` (a split file's name) share."""
        card = self.prepared.card
        decoding = self.decoding | {
            "constrained": self.candidates is not None,
            "ema": self.cfg.ema_eval,
            "blank_image": self.cfg.blank_images,
        }
        if self.cfg.fold is not None:
            decoding["fold"] = self.cfg.fold
        if self.candidates is not None:
            answers = json.dumps(card.answers, ensure_ascii=False).encode()
            decoding["candidates"] = len(card.answers)
            decoding["candidates_hash"] = hashlib.sha256(answers).hexdigest()[:16]
            if split in card.answer_coverage:
                decoding["candidates_cover"] = card.answer_coverage[split]["covered"]
        return RunInfo(
            dataset=card.name,
            dataset_hash=self.prepared.hash,
            split=split,
            decoding=decoding,
            majority=self.majority,
        )
