"""The reference's criterion under its name; the loss itself is `biomedgpt.loss`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fairseq import utils
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from omegaconf import II
from torch import Tensor

from biomedgpt.loss import LossConfig, SequenceLoss
from fairseq_ext.option_fields import option


@dataclass
class AdjustLabelSmoothedCrossEntropyConfig(FairseqDataclass):
    """Options of the loss, named as in the reference."""

    label_smoothing: float = option(0.0, "mass given to other tokens")
    report_accuracy: bool = option(False, "report token accuracy")
    use_rdrop: bool = option(False, "run twice, R-Drop regularisation")
    reg_alpha: float = option(1.0, "weight of R-Drop")
    drop_worst_ratio: float = option(
        0.0, "share of target tokens with the highest loss to leave out"
    )
    drop_worst_after: int = option(0, "updates before --drop-worst-ratio takes effect")
    sample_patch_num: int = option(0, "image patches drawn per training image (0: all)")
    sentence_avg: bool = II("optimization.sentence_avg")


@register_criterion(
    "adjust_label_smoothed_cross_entropy", dataclass=AdjustLabelSmoothedCrossEntropyConfig
)
class AdjustLabelSmoothedCrossEntropy(FairseqCriterion):
    """Sums and logs `SequenceLoss` the way fairseq's trainer wants it."""

    def __init__(self, cfg: AdjustLabelSmoothedCrossEntropyConfig, task: Any) -> None:
        super().__init__(task)
        self.cfg = cfg
        config = LossConfig(
            label_smoothing=cfg.label_smoothing,
            rdrop=cfg.use_rdrop,
            rdrop_weight=cfg.reg_alpha,
            drop_worst_ratio=cfg.drop_worst_ratio,
            drop_worst_after=cfg.drop_worst_after,
            sample_patch_num=cfg.sample_patch_num,
        )
        trie = None if task.candidates is None else task.candidates.trie
        self.loss = SequenceLoss(config, trie=trie, pad=task.vocabulary.pad)

    @classmethod
    def build_criterion(cls, cfg: Any, task: Any) -> "AdjustLabelSmoothedCrossEntropy":
        return cls(cfg, task)

    def forward(
        self, model: Any, sample: dict[str, Any], update_num: int = 0
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Return the summed loss, what to divide its gradient by, and the logged sums."""
        output = self.loss(model, sample, update=update_num)
        passes = 2 if self.loss.config.rdrop else 1
        sample_size = sample["nsentences"] * passes if self.cfg.sentence_avg else output.tokens
        log = {
            "loss": output.loss.detach(),
            "nll_loss": output.nll,
            "ntokens": sample["ntokens"],
            "loss_tokens": output.tokens,
            "nsentences": sample["nsentences"],
            "sample_size": sample_size,
        }
        if self.cfg.report_accuracy:
            log["n_correct"] = output.correct
        # Losses by stream, in pretraining. All streams are always there: fairseq adds up the same
        # keys over all processes.
        for name, rows in sample.get("groups", {}).items():
            log[f"loss_{name}_sum"] = output.example_nll[rows].sum()
            log[f"loss_{name}_count"] = sample["target"][rows].ne(self.loss.pad).sum()
        return output.loss, sample_size, log

    @classmethod
    def reduce_metrics(cls, logging_outputs: Sequence[dict[str, Any]]) -> None:
        def total(name: str) -> Any:
            return utils.item(sum(log.get(name, 0) for log in logging_outputs))

        size, tokens = total("sample_size"), total("loss_tokens")
        # Natural logarithms, as in the reference (fairseq's own criteria log base 2).
        metrics.log_scalar("loss", total("loss") / max(size, 1), size, round=4)
        metrics.log_scalar("nll_loss", total("nll_loss") / max(tokens, 1), tokens, round=4)
        metrics.log_derived(
            "ppl", lambda meters: utils.get_perplexity(meters["nll_loss"].avg, base=math.e)
        )
        if any("n_correct" in log for log in logging_outputs):
            metrics.log_scalar(
                "token_accuracy", total("n_correct") / max(tokens, 1), tokens, round=4
            )

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True
