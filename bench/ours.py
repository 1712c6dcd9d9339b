"""The cases with this repository's code."""

import argparse
import copy
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import inputs, work
from bench.cases import ADAM, CANDIDATES, CLIP_NORM, IMAGE_CODES, ROWS, VOCABULARY

Options = Mapping[str, Any]
Run = Callable[[], list[float]]
"""One repeat; returns numbers that the other side must agree with."""
Floor = work.Parts | Callable[[], float]
"""What a case costs at least: its work, or a function that measures seconds."""
Prepared = tuple[Run, Floor]

VQGAN = {
    "double_z": False,
    "z_channels": 256,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": (1, 1, 2, 4),
    "num_res_blocks": 2,
    "attn_resolutions": [32],
    "dropout": 0.0,
}
"""Shape of the published ``vqgan_gumbel_f8_8192``."""


class Ours:
    """Prepares cases for one size; each method returns one repeat and its work.

    Args:
        size: name of the size.
        device: to compute on.
        dtype: of weights and activations.
        config: fields of the model's configuration that are not those of the size.
    """

    def __init__(self, size: str, device: torch.device, dtype: torch.dtype, **config: Any) -> None:
        from biomedgpt.model import preset

        self.size = size
        self.device = device
        self.dtype = dtype
        self.config = preset(size, vocab_size=VOCABULARY, **config)
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))

    def close(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @cached_property
    def model(self) -> Any:
        """The model, with the weights of `inputs.fill`."""
        from biomedgpt.model import BiomedGPT

        with torch.device("meta"):
            model = BiomedGPT(self.config)
        model = model.to_empty(device=self.device)
        model.tie_embeddings()
        state = model.state_dict()
        tied = {"decoder.embed_tokens.weight", "decoder.output_projection.weight"}
        inputs.fill(state, sorted(state.keys() - tied))
        for key, value in state.items():
            if key.endswith("num_batches_tracked"):
                value.zero_()
        return model.to(self.dtype)

    def _source(self, options: Options) -> dict[str, Tensor]:
        found = {name: value.to(self.device) for name, value in inputs.source(options).items()}
        return found | {"patch_images": found["patch_images"].to(self.dtype)}

    def _trie(self, options: Options) -> Any:
        from biomedgpt.generation import AnswerTrie

        return AnswerTrie(inputs.candidates(options.get("candidates", CANDIDATES)))

    def train(self, options: Options) -> Prepared:
        """An update from plain targets, all of them counted."""
        from biomedgpt.loss import LossConfig, SequenceLoss

        given, wanted = (value.to(self.device) for value in inputs.target(options))
        batch = {
            "net_input": self._source(options) | {"prev_output_tokens": given},
            "target": wanted,
            "constraint_nodes": torch.full_like(wanted, -1),
            "conf": None,
        }
        step, update = self._step(SequenceLoss(LossConfig(label_smoothing=0.1)), batch, options)
        target = options["target"]
        return step, work.training(self.config, options, target=target, kept=target) + update

    def train_vqa(self, options: Options) -> Prepared:
        """The same for short answers after their question, among the candidates."""
        from biomedgpt.loss import LossConfig, SequenceLoss

        trie = self._trie(options)
        source = self._source(options)
        prompt = source["src_tokens"][:, :-1].cpu()
        answers = inputs.candidates(CANDIDATES)[: options["batch"]]
        nodes = [torch.tensor(path) for path in trie.paths[: options["batch"]]]
        hidden = prompt.shape[1] - 1
        rows = [torch.cat([row, torch.tensor(a)]) for row, a in zip(prompt, answers, strict=True)]
        labels = [torch.tensor([1] * hidden + answer + [2]) for answer in answers]
        places = [torch.cat([torch.full((hidden,), -1), path]) for path in nodes]
        batch = {
            "net_input": source | {"prev_output_tokens": _padded(rows, 1).to(self.device)},
            "target": _padded(labels, 1).to(self.device),
            "constraint_nodes": _padded(places, -1).to(self.device),
            "conf": None,
        }
        criterion = SequenceLoss(LossConfig(label_smoothing=0.1), trie=trie)
        step, update = self._step(criterion, batch, options)
        length = batch["target"].shape[1]
        # The projection to the candidates' few hundred entries is left out.
        return step, work.training(self.config, options, target=length, kept=0) + update

    def _step(self, criterion: Any, batch: dict[str, Any], options: Options) -> Prepared:
        """Loss and gradients, and, if asked for, the update, as the plug-in for fairseq has it."""
        from biomedgpt.optimizer import Adam

        model = self.model.train()
        parameters = list(model.parameters())
        optimizer = Adam(parameters, **ADAM)
        counted = int(batch["target"].ne(1).sum())

        def run() -> list[float]:
            optimizer.zero_grad()
            output = criterion(model, batch)
            output.loss.backward()
            if options["update"]:
                optimizer.scale_gradients(1 / counted)
                optimizer.clip_gradients(CLIP_NORM)
                optimizer.step()
            return [float(output.loss.detach())]

        return run, work.update(parameters) if options["update"] else []

    def encoder(self, options: Options) -> Prepared:
        """A forward pass of the encoder."""
        model, source = self.model.eval(), self._source(options)

        @torch.no_grad()
        def run() -> list[float]:
            return [float(model.encoder(**source).hidden.float().abs().mean())]

        return run, work.encoding(self.config, options)

    def generate(self, options: Options) -> Prepared:
        """Greedy or beam search to a fixed length."""
        from biomedgpt.decoding import GenerationConfig
        from biomedgpt.generation import generate

        model, source = self.model.eval(), self._source(options)
        beam, length = options["beam"], options["length"]
        config = GenerationConfig(beam=beam, max_len=length, min_len=length)

        def run() -> list[float]:
            found = generate(model, source, config=config)
            return [*map(float, found[0][0].tokens.tolist()), found[0][0].score]

        rows = options["batch"] * beam
        parts = work.decoding(self.config, options, steps=length, rows=rows, ids=VOCABULARY)
        return run, parts

    def all_candidates(self, options: Options) -> Prepared:
        """Exact log-probabilities of all candidate answers, after the question as prompt."""
        from biomedgpt.generation import score_candidates

        model, source, trie = self.model.eval(), self._source(options), self._trie(options)
        prefix = source["src_tokens"][:, 1:-1]

        def run() -> list[float]:
            scores = score_candidates(model, source, trie, prefix_tokens=prefix)
            return [float(score) for score in scores[0]]

        nodes = trie.leaf + prefix.shape[1]
        edges = len(trie.edge_parent)
        return run, work.scoring(self.config, options, nodes=nodes, edges=edges)

    def trie_beam(self, options: Options) -> Prepared:
        """Beam search along the candidates."""
        from biomedgpt.decoding import GenerationConfig
        from biomedgpt.generation import generate

        model, source, trie = self.model.eval(), self._source(options), self._trie(options)
        config = GenerationConfig(beam=options["beam"], max_len=40, unnormalized=True)
        prefix = source["src_tokens"][:, 1:-1]

        def run() -> list[float]:
            found = generate(model, source, config=config, prefix_tokens=prefix, trie=trie)
            return [*map(float, found[0][0].tokens.tolist())]

        rows, ids = options["batch"] * options["beam"], len(trie.ids)
        steps = 1 + max(len(sequence) for sequence in inputs.candidates(CANDIDATES))
        return run, work.decoding(self.config, options, steps=steps, rows=rows, ids=ids)

    @cached_property
    def vqgan(self) -> Any:
        """The published VQ-GAN's network, with the weights of `inputs.fill`."""
        from biomedgpt.vqgan.taming import TamingVQ
        from biomedgpt.vqgan.tokenizer import ImageTokenizer

        network = TamingVQ(VQGAN, num_codes=IMAGE_CODES, embed_dim=256, gumbel=True)
        state = network.state_dict()
        inputs.fill(state, sorted(state))
        return ImageTokenizer(network, image_size=256).to(self.device)

    def vqgan_encode(self, options: Options) -> Prepared:
        """Codes of images."""
        pixels = self._pixels(options)
        tokenizer = self.vqgan

        def run() -> list[float]:
            return [float(code) for code in tokenizer.encode(pixels)[0, ::16]]

        return run, work.counted(run)

    def vqgan_decode(self, options: Options) -> Prepared:
        """Images of codes."""
        side = options["image"] // 8
        codes = torch.arange(options["batch"] * side**2).view(-1, side**2) * 7 % IMAGE_CODES
        tokenizer = self.vqgan

        def run() -> list[float]:
            return [float(tokenizer.decode(codes, (side, side)).abs().mean())]

        return run, work.counted(run)

    def _pixels(self, options: Options) -> Tensor:
        shape = inputs.source({**options, "source": 2})["patch_images"]
        return shape.clamp(-1, 1).to(self.device)

    def _table(self, options: Options) -> Path:
        table = self.folder / "rows.tsv"
        if not table.exists():
            inputs.write_table(table, options)
        return table

    def _prepared(self, options: Options, name: str) -> Path:
        from biomedgpt.data.tsv import import_tsv

        out = self.folder / name
        import_tsv(
            {"train": self._table(options)},
            out,
            name="bench",
            source="drawn",
            licence="none",
            overwrite=True,
        )
        return out

    def load(self, options: Options) -> Prepared:
        """A first epoch of VQA rows, from the prepared file to batches."""
        from torch.utils.data import DataLoader

        from biomedgpt.data.prepared.dataset import PreparedDataset
        from biomedgpt.examples.example_encoder import ExampleEncoder
        from biomedgpt.tasks import get_task
        from biomedgpt.vocabulary import Vocabulary
        from fairseq_ext.fairseq_dataset import PreparedFairseqDataset

        folder = self._prepared(options, "loaded")
        encoder = ExampleEncoder(
            Vocabulary.load(folder / "vocabulary"), get_task("vqa"), image_size=options["image"]
        )
        split = PreparedDataset(folder).split("train")
        dataset = PreparedFairseqDataset(split, encoder, shuffle=True)
        rows, size = len(dataset), options["batch"]
        batches = [list(range(rows))[i : i + size] for i in range(0, rows, size)]

        def run() -> list[float]:
            # A copy has no images in memory yet.
            loader: Any = DataLoader(
                copy.deepcopy(dataset),
                batch_sampler=batches,
                collate_fn=dataset.collater,
                num_workers=options["workers"],
            )
            total = 0.0
            for batch in loader:
                total += float(batch["net_input"]["patch_images"][:, 0, 0, 0].sum())
            return [total]

        return run, lambda: _decoding(split, options["image"]) / max(options["workers"], 1)

    def prepare(self, options: Options) -> Prepared:
        """A VQA table to a prepared dataset."""
        from biomedgpt.data.prepared.dataset import PreparedDataset

        split = PreparedDataset(self._prepared(options, "loaded")).split("train")

        def run() -> list[float]:
            self._prepared(options, "prepared")
            return []

        return run, lambda: _decoding(split, size=None)

    def _rows(self, options: Options) -> Path:
        """Write a dataset of short texts, with as many rows as asked for."""
        from biomedgpt.data.prepared.card import DatasetFacts
        from biomedgpt.data.prepared.writer import write_dataset
        from biomedgpt.data.rows import Row

        folder = self.folder / "rows"
        if not folder.exists():
            fields = ("id", "sentence1", "sentence2", "answer")
            facts = DatasetFacts(
                name="bench", task="entailment", source="drawn", licence="none", fields=fields
            )
            same = {"sentence2": "the patient is ill", "answer": "entailment"}
            rows = (
                Row({"id": str(n), "sentence1": f"patient {n} has a fever", **same}, None, where="")
                for n in range(options["rows"])
            )
            write_dataset(folder, facts, {"train": rows})
        return folder

    def open_rows(self, options: Options) -> Prepared:
        """A prepared dataset, opened to its first row."""
        from biomedgpt.data.prepared.dataset import PreparedDataset

        folder = self._rows(options)

        def run() -> list[float]:
            split = PreparedDataset(folder).split("train")
            return [float(len(split[0]))]

        return run, []

    def index_rows(self, options: Options) -> Prepared:
        """The lengths of all rows, and the batches of an epoch."""
        from biomedgpt.data.prepared.dataset import PreparedDataset
        from biomedgpt.examples.example_encoder import ExampleEncoder
        from biomedgpt.tasks import get_task
        from biomedgpt.vocabulary import Vocabulary
        from fairseq_ext.fairseq_dataset import PreparedFairseqDataset

        vocabulary = Vocabulary.load(self._prepared(ROWS, "loaded") / "vocabulary")
        encoder = ExampleEncoder(vocabulary, get_task("entailment"), image_size=256)
        split = PreparedDataset(self._rows(options)).split("train")

        def run() -> list[float]:
            dataset = PreparedFairseqDataset(split, encoder, shuffle=True)
            batches = dataset.batch_by_size(dataset.ordered_indices(), max_sentences=32)
            return [float(len(batches))]

        return run, []

    def first_answer(self, options: Options) -> Prepared:
        """A fresh process: start, load, answer one question about one image."""
        import numpy as np
        from PIL import Image

        import biomedgpt
        from bench import first_answer

        arguments = argparse.Namespace(
            size=self.size,
            image_size=options["image"],
            max_len=options["length"],
            beam=5,
            vocabulary=None,
        )
        checkpoint, image = self.folder / "c", self.folder / "x.png"
        first_answer.write_checkpoint(checkpoint, arguments)
        noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
        Image.fromarray(noise).save(image)
        model = biomedgpt.load(checkpoint, device="cpu")
        model.answer(image, first_answer.QUESTION)

        ending: list[subprocess.Popen[str]] = []

        def run() -> list[float]:
            for process in ending:
                process.communicate()  # it has ended long ago
            ending[:] = [first_answer.start(checkpoint, image)]
            if not ending[0].stdout.readline():
                raise RuntimeError("the process that was to answer failed")
            return []

        def floor() -> float:
            start = time.perf_counter()
            (checkpoint / "model.safetensors").read_bytes()
            model.answer(image, first_answer.QUESTION)
            return time.perf_counter() - start

        return run, floor


def _decoding(split: Any, size: int | None) -> float:
    """Return the seconds it takes to decode each distinct image once, and to resize it."""
    from biomedgpt.data.imaging.images import decode_image, preprocess

    start = time.perf_counter()
    for number in range(split.num_images):
        image = decode_image(split.image(number), where="")
        if size is not None:
            preprocess(image, size)
    return time.perf_counter() - start


def _padded(rows: list[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)
