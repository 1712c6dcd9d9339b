"""The cases with the published code of OFA or BiomedGPT, from a checkout that the user has.

Nothing of it is here: its modules are imported from the checkout, in a process of its own. They
were written for older versions of what they need, so names that are gone are put back first
(`_adapt`), and packages' initialisation is skipped, which would import what no case uses. fairseq
is the installed one; the checkout's own does not import on today's Python.
"""

import argparse
import importlib
import shutil
import sys
import tempfile
import types
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import inputs
from bench.cases import ADAM, CANDIDATES, CLIP_NORM, IMAGE_CODES, VOCABULARY
from bench.ours import VQGAN, Prepared, Run

Options = Mapping[str, Any]

_PACKAGES = (
    *("criterions", "data", "data.mm_data", "models", "models.ofa"),
    *("models.taming", "models.taming.models", "tasks", "utils"),
)
_ARCHITECTURES = {"xlarge": "huge"}
_CHUNK = 20
"""Candidates in one pass: ``--valid-batch-size`` of the published recipes."""


def _adapt(folder: Path) -> None:
    """Make the checkout's modules importable."""
    for name, kind in {"float": float, "int": int, "bool": bool, "object": object}.items():
        if name not in vars(np):
            setattr(np, name, kind)
    for name in ("requests", "pytorch_lightning"):
        try:
            importlib.import_module(name)
        except Exception:  # absent, or for other versions of its own needs
            sys.modules[name] = types.ModuleType(name)
    lightning: Any = sys.modules["pytorch_lightning"]
    lightning.LightningModule = nn.Module
    for name in _PACKAGES:
        package = types.ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[name] = package
    sys.path.insert(0, str(folder))


class _Symbols:
    """What the published code asks of a dictionary, without texts."""

    def __len__(self) -> int:
        return VOCABULARY

    def bos(self) -> int:
        """Begin of sequence."""
        return 0

    def pad(self) -> int:
        """Padding."""
        return 1

    def eos(self) -> int:
        """End of sequence."""
        return 2

    def unk(self) -> int:
        """Unknown word."""
        return 3

    def __contains__(self, symbol: str) -> bool:
        return True


class Upstream:
    """Prepares cases for one size; methods as in `bench.ours.Ours`.

    Args:
        size: name of the size, ours.
        device: to compute on.
        dtype: of weights and activations.
        folder: the checkout.
    """

    def __init__(
        self, size: str, device: torch.device, dtype: torch.dtype, *, folder: Path
    ) -> None:
        if "models.ofa" not in sys.modules:
            _adapt(folder)
        self.size = size
        self.device = device
        self.dtype = dtype
        self.checkout = folder
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        symbols = _Symbols()
        self.task = types.SimpleNamespace(
            source_dictionary=symbols, target_dictionary=symbols, tgt_dict=symbols
        )

    def close(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @cached_property
    def model(self) -> Any:
        """The published model, with the weights that ours has."""
        ofa = importlib.import_module("models.ofa.ofa")
        name = _ARCHITECTURES.get(self.size, self.size)
        # As all published recipes have it.
        flags = ("scale_attn", "scale_fc", "scale_heads", "disable_entangle")
        args = argparse.Namespace(patch_image_size=256, **dict.fromkeys(flags, True))
        vars(ofa)[f"ofa_{name}_architecture"](args)
        model = ofa.OFAModel.build_model(args, self.task)
        state = model.state_dict()
        inputs.fill(state, self._weights(state))
        return model.to(self.device, self.dtype)

    def _weights(self, state: Mapping[str, Tensor]) -> list[str]:
        """Return the keys that both models have; the others must be computed buffers."""
        from biomedgpt.model import BiomedGPT, preset

        with torch.device("meta"):
            keys = set(BiomedGPT(preset(self.size, vocab_size=VOCABULARY)).state_dict())
        if missing := keys - state.keys():
            raise RuntimeError(f"the published model has no {sorted(missing)[0]}")
        tied = {"decoder.embed_tokens.weight", "decoder.output_projection.weight"}
        return sorted(keys - tied)

    def _source(self, options: Options) -> dict[str, Tensor]:
        found = {name: value.to(self.device) for name, value in inputs.source(options).items()}
        lengths = torch.full((options["batch"],), options["source"], device=self.device)
        images = found["patch_images"].to(self.dtype)
        return found | {"patch_images": images, "src_lengths": lengths}

    @cached_property
    def _trie(self) -> Any:
        trie = importlib.import_module("utils.trie").Trie(2)
        for answer in inputs.candidates(CANDIDATES):
            trie.insert([0, *answer, 2])
        return trie

    def _masks(self, answer: list[int]) -> Tensor:
        """Return which entries may follow each part of an answer, (T, V)."""
        mask = torch.zeros(len(answer) + 1, VOCABULARY, dtype=torch.bool)
        for index in range(len(answer) + 1):
            mask[index, self._trie.get_next_layer([0, *answer[:index]])] = True
        return mask

    def train(self, options: Options) -> tuple[Run, list[Any]]:
        """An update from plain targets."""
        given, wanted = (value.to(self.device) for value in inputs.target(options))
        sample = {
            "net_input": self._source(options) | {"prev_output_tokens": given},
            "target": wanted,
            "ntokens": wanted.numel(),
            "nsentences": len(wanted),
        }
        return self._step(sample, options), []

    def train_vqa(self, options: Options) -> tuple[Run, list[Any]]:
        """The same for short answers after their question, among the candidates."""
        source = self._source(options)
        prompt = source["src_tokens"][:, :-1].cpu()
        answers = inputs.candidates(CANDIDATES)[: options["batch"]]
        hidden = prompt.shape[1] - 1
        blank = torch.zeros(hidden, VOCABULARY, dtype=torch.bool)
        rows = [torch.cat([row, torch.tensor(a)]) for row, a in zip(prompt, answers, strict=True)]
        labels = [torch.tensor([1] * hidden + answer + [2]) for answer in answers]
        masks = [torch.cat([blank, self._masks(answer)]) for answer in answers]
        target = self._collate(labels)
        sample = {
            "net_input": source | {"prev_output_tokens": self._collate(rows)},
            "target": target,
            "constraint_masks": self._collate(masks),
            "ntokens": int(target.ne(1).sum()),
            "nsentences": len(target),
        }
        return self._step(sample, options), []

    def _step(self, sample: dict[str, Any], options: Options) -> Run:
        """As its trainer has it: loss, gradients, mean over the targets, clipping, update."""
        from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig

        module = importlib.import_module("criterions.label_smoothed_cross_entropy")
        criterion = module.AdjustLabelSmoothedCrossEntropyCriterion(self.task, False, 0.1)
        model = self.model.train()
        config = FairseqAdamConfig(
            adam_betas=str(ADAM["betas"]),
            adam_eps=ADAM["eps"],
            weight_decay=ADAM["weight_decay"],
            lr=[ADAM["lr"]],
            tpu=False,
        )
        optimizer = FairseqAdam(config, list(model.parameters()))

        def run() -> list[float]:
            optimizer.zero_grad()
            loss, _, _ = criterion(model, sample)
            loss.backward()
            if options["update"]:
                optimizer.multiply_grads(1 / sample["ntokens"])
                optimizer.clip_grad_norm(CLIP_NORM)
                optimizer.step()
            return [float(loss.detach())]

        return run

    def encoder(self, options: Options) -> tuple[Run, list[Any]]:
        """A forward pass of the encoder."""
        model, source = self.model.eval(), self._source(options)

        @torch.no_grad()
        def run() -> list[float]:
            return [float(model.encoder(**source)["encoder_out"][0].float().abs().mean())]

        return run, []

    def generate(self, options: Options) -> tuple[Run, list[Any]]:
        """Greedy or beam search to a fixed length."""
        length = options["length"]
        search = self._generator(beam_size=options["beam"], max_len_b=length, min_len=length)
        sample = {"net_input": self._source(options)}

        def run() -> list[float]:
            best = search.generate([self.model], sample)[0][0]
            return [*map(float, best["tokens"].tolist()), float(best["score"])]

        return run, []

    def _generator(self, **options: Any) -> Any:
        module = importlib.import_module("models.sequence_generator")
        return module.SequenceGenerator([self.model.eval()], self.task.tgt_dict, **options)

    def all_candidates(self, options: Options) -> tuple[Run, list[Any]]:
        """Scores of all candidates, as its VQA task computes them in chunks."""
        model, source = self.model.eval(), self._source(options)
        prompts = source["src_tokens"][:, :-1].cpu()
        hidden = prompts.shape[1] - 1
        answers = [torch.tensor(answer) for answer in inputs.candidates(CANDIDATES)]
        masks = [self._masks(answer.tolist()) for answer in answers]
        blank = torch.zeros(hidden, VOCABULARY, dtype=torch.bool)

        def chunk(encoded: dict[str, Any], start: int) -> Tensor:
            chosen = answers[start : start + _CHUNK]
            count = len(chosen)
            targets = [torch.cat([p[1:], a, a.new_tensor([2])]) for p in prompts for a in chosen]
            given = [torch.cat([p, a]) for p in prompts for a in chosen]
            rows = [torch.cat([blank, m]) for _ in prompts for m in masks[start : start + _CHUNK]]
            wanted, allowed = self._collate(targets), self._collate(rows)
            repeated = {
                "encoder_out": [encoded["encoder_out"][0].repeat_interleave(count, dim=1)],
                **{
                    key: [encoded[key][0].repeat_interleave(count, dim=0)]
                    for key in ("encoder_padding_mask", "position_embeddings")
                },
            }
            output = model.decoder(self._collate(given), encoder_out=repeated)
            output[0].masked_fill_(~allowed, float("-inf"))
            scores = model.get_normalized_probs(output, log_probs=True)
            scores = scores.gather(-1, wanted[..., None])[..., 0]
            scores = scores.masked_fill(wanted.eq(1) | ~allowed.any(2), 0.0)
            return scores.sum(1).view(-1, count)

        @torch.no_grad()
        def run() -> list[float]:
            encoded = model.encoder(**source)
            parts = [chunk(encoded, start) for start in range(0, len(answers), _CHUNK)]
            return [float(score) for score in torch.cat(parts, dim=1)[0]]

        return run, []

    def trie_beam(self, options: Options) -> tuple[Run, list[Any]]:
        """Beam search along the candidates."""
        search = self._generator(
            beam_size=options["beam"],
            max_len_b=40 + options["source"],
            normalize_scores=False,
            constraint_trie=self._trie,
        )
        source = self._source(options)
        sample = {"net_input": source}
        prefix = source["src_tokens"][:, 1:-1]

        def run() -> list[float]:
            found = search.generate([self.model], sample, prefix_tokens=prefix)
            return [float(token) for token in found[0][0]["tokens"][prefix.shape[1] :]]

        return run, []

    @cached_property
    def vqgan(self) -> Any:
        """The published VQ-GAN, with the weights that ours has."""
        module = importlib.import_module("models.taming.models.vqgan")
        nothing = {"target": "torch.nn.Identity"}
        network = module.GumbelVQ(
            VQGAN, nothing, IMAGE_CODES, VQGAN["z_channels"], temperature_scheduler_config=nothing
        )
        state = network.state_dict()
        inputs.fill(state, sorted(state))
        return network.eval().to(self.device)

    def vqgan_encode(self, options: Options) -> tuple[Run, list[Any]]:
        """Codes of images, the most probable ones."""
        pixels = inputs.source({**options, "source": 2})["patch_images"]
        pixels, network = pixels.clamp(-1, 1).to(self.device), self.vqgan

        @torch.no_grad()
        def run() -> list[float]:
            codes = network.quantize.proj(network.encode_to_prequant(pixels)).argmax(1)
            return [float(code) for code in codes[0].flatten()[::16]]

        return run, []

    def vqgan_decode(self, options: Options) -> tuple[Run, list[Any]]:
        """Images of codes."""
        side, batch = options["image"] // 8, options["batch"]
        codes = torch.arange(batch * side**2).view(batch, side, side) * 7 % IMAGE_CODES
        codes, network = codes.to(self.device), self.vqgan

        @torch.no_grad()
        def run() -> list[float]:
            return [float(network.decode_code(codes).clamp(-1, 1).abs().mean())]

        return run, []

    def load(self, options: Options) -> Prepared:
        """An epoch of VQA rows, from the table to batches."""
        from fairseq.data import Dictionary
        from fairseq.data.encoders.gpt2_bpe import GPT2BPE, GPT2BPEConfig
        from torch.utils.data import DataLoader

        table, files = self.folder / "rows.tsv", self.checkout / "utils" / "BPE"
        inputs.write_table(table, options)
        symbols = Dictionary.load(str(files / "dict.txt"))
        for name, count in (("code", IMAGE_CODES), ("bin", 1000)):
            for index in range(count):
                symbols.add_symbol(f"<{name}_{index}>")
        bpe = GPT2BPE(
            GPT2BPEConfig(
                gpt2_encoder_json=str(files / "encoder.json"),
                gpt2_vocab_bpe=str(files / "vocab.bpe"),
            )
        )
        rows = importlib.import_module("data.file_dataset")
        questions = importlib.import_module("data.mm_data.vqa_gen_dataset")
        count, size = options["images"] * options["questions"], options["batch"]
        batches = [list(range(count))[i : i + size] for i in range(0, count, size)]
        reader = rows.FileDataset(str(table), "0,5,2,3,4")
        dataset = questions.VqaGenDataset(
            "train",
            reader,
            bpe,
            symbols,
            symbols,
            patch_image_size=options["image"],
            prompt_type="prev_output",
        )

        def run() -> list[float]:
            reader._seek()
            loader: Any = DataLoader(
                dataset,
                batch_sampler=batches,
                collate_fn=dataset.collater,
                num_workers=options["workers"],
            )
            total = 0.0
            for batch in loader:
                total += float(batch["net_input"]["patch_images"][:, 0, 0, 0].sum())
            return [total]

        return run, []

    def _collate(self, rows: list[Tensor]) -> Tensor:
        collate = importlib.import_module("data.data_utils").collate_tokens
        padded: Tensor = collate(rows, pad_idx=1)
        return padded.to(self.device)
