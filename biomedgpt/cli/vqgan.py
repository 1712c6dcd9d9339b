"""`biomedgpt vqgan`: images as codes, and images from the model's decoder."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomedgpt.cli import option
from biomedgpt.cli.entry import add_commands, resumable
from biomedgpt.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import, which `biomedgpt --help` should not
    import torch

    from biomedgpt.model import BiomedGPT
    from biomedgpt.vocabulary import Vocabulary
    from biomedgpt.vqgan.generation import Drawing
    from biomedgpt.vqgan.tokenizer import ImageTokenizer


def add_parser(subparsers: Any) -> None:
    """Add ``vqgan`` and its subcommands."""
    parser = subparsers.add_parser(
        "vqgan",
        help="images to codes and back; generate and fill in images",
        description="Images as short sequences of codes: train a small VQ-GAN or use a published "
        "one, encode datasets for masked image modelling, decode codes, and let the model draw.",
        epilog="example: biomedgpt vqgan train --data phantoms --out tokenizer; biomedgpt vqgan "
        "encode phantoms --tokenizer tokenizer",
    )
    commands = add_commands(parser)
    for add in (_add_train, _add_encode, _add_decode, _add_report, _add_generate, _add_infill):
        add(commands)


def _add_train(commands: Any) -> None:
    parser = commands.add_parser(
        "train",
        help="train a small VQ-GAN on the images of a dataset",
        description="Train a small image tokenizer (a few minutes on two CPU cores). A call that "
        "was interrupted goes on when it is given again.",
    )
    option.path(parser, "--data", "DIR", "prepared dataset", required=True)
    option.path(parser, "--out", "DIR", "folder of the tokenizer", required=True)
    parser.add_argument("--size", default="small", help="shape of the network (default: small)")
    option.integer(parser, "--updates", "N", "(default: 1500)", default=1500)
    _add_batch_size(parser, 16)
    option.number(parser, "--learning-rate", "RATE", "peak (default: 0.002)", default=2e-3)
    option.seed(parser)
    option.device(parser)
    parser.set_defaults(func=run_train)


def _add_encode(commands: Any) -> None:
    parser = commands.add_parser(
        "encode",
        help="write the codes of a dataset's images beside it",
        description="Write SPLIT.codes.h5 beside SPLIT.h5: the codes of each image's centre half, "
        "for masked image modelling, and of the whole image, for image generation. A call that was "
        "interrupted goes on when it is given again; codes that are up to date are left alone.",
    )
    option.path(parser, "dataset", "DATASET", "prepared dataset")
    _add_tokenizer(parser)
    option.text(parser, "--split", "NAME", "split to encode (default: all)", action="append")
    what = (
        "side of the square an image is resized to before its centre half is encoded "
        "(default: what the tokenizer was trained at)"
    )
    option.integer(parser, "--image-size", "PIXELS", what)
    what = "side of the square that is encoded as a whole; 0 for none (default: --image-size)"
    option.integer(parser, "--whole-size", "PIXELS", what)
    _add_batch_size(parser)
    option.device(parser)
    parser.set_defaults(func=run_encode)


def _add_decode(commands: Any) -> None:
    parser = commands.add_parser(
        "decode",
        help="make PNG files of codes",
        description='Make PNG files of codes: JSON lines such as {"id": "name", "codes": [1, 2, 3, '
        "4]}, or a file SPLIT.codes.h5 that `encode` wrote.",
    )
    option.path(parser, "codes", "CODES", ".jsonl or .codes.h5")
    _add_tokenizer(parser)
    option.path(parser, "--out", "DIR", "folder of the PNGs", required=True)
    what = "of .codes.h5 (default: whole)"
    option.choice(parser, "--part", ("whole", "middle"), what, default="whole")
    option.integer(parser, "--limit", "N", "the first N images only")
    _add_batch_size(parser)
    option.device(parser)
    parser.set_defaults(func=run_decode)


def _add_report(commands: Any) -> None:
    parser = commands.add_parser(
        "report",
        help="show originals beside what comes back, with PSNR",
        description="Encode and decode all images of a split; write a page with the PSNR and "
        "originals beside what comes back. With --checkpoint and --vocabulary of a pretrained "
        "model also hidden middles that the model filled in.",
    )
    option.path(parser, "dataset", "DATASET", "prepared dataset")
    _add_tokenizer(parser)
    parser.add_argument("--split", default="test", help="(default: test)")
    option.path(parser, "--out", "FILE", "page to write (.html)", required=True)
    _add_model(parser, required=False)
    _add_input_size(parser)
    _add_batch_size(parser)
    option.device(parser)
    parser.set_defaults(func=run_report)


def _add_generate(commands: Any) -> None:
    parser = commands.add_parser(
        "generate",
        help="draw what a text describes",
        description="Let the model write image codes for a text, and make a PNG file of them. It "
        "must have been trained to do so.",
    )
    _add_model(parser, required=True)
    _add_tokenizer(parser)
    parser.add_argument("--text", required=True, help="what the image shows")
    what = "side of the image (default: what the model was trained to write)"
    option.integer(parser, "--image-size", "PIXELS", what)
    _add_drawing(parser, "draw codes from the 50 most probable")
    option.device(parser)
    parser.set_defaults(func=run_generate)


def _add_infill(commands: Any) -> None:
    parser = commands.add_parser(
        "infill",
        help="let the model fill in the middle of an image",
        description="Hide the centre half of an image, let the model write the codes of what was "
        "there, and make a PNG file of the result.",
    )
    _add_model(parser, required=True)
    _add_tokenizer(parser)
    option.path(parser, "--image", "FILE", "image file", required=True)
    _add_input_size(parser)
    what = "also write original, hidden middle and result side by side (.png)"
    option.path(parser, "--compare", "FILE", what)
    _add_drawing(parser, "the most probable code at each step")
    option.device(parser)
    parser.set_defaults(func=run_infill)


def _add_tokenizer(parser: option.Container) -> None:
    what = (
        "VQ-GAN: a folder that `train` wrote, or a published one (vqgan_gumbel_f8_8192, "
        "vqgan_imagenet_f16_1024, ...: configs/model.yaml with checkpoints/last.ckpt)"
    )
    option.path(parser, "--tokenizer", "DIR", what, required=True)


def _add_model(parser: option.Container, *, required: bool) -> None:
    what = "checkpoint of a run, such as RUN/checkpoint_best.pt"
    option.path(parser, "--checkpoint", "FILE", what, required=required)
    option.path(parser, "--vocabulary", "DIR", "the model's vocabulary", required=required)


def _add_input_size(parser: option.Container) -> None:
    what = "side of the model's input in training (default: as large as its codes fit)"
    option.integer(parser, "--image-size", "PIXELS", what)


def _add_batch_size(parser: option.Container, default: int = 32) -> None:
    option.integer(parser, "--batch-size", "N", f"(default: {default})", default=default)


def _add_drawing(parser: argparse.ArgumentParser, default: str) -> None:
    option.path(parser, "--out", "FILE", "image to write (.png)", required=True)
    option.integer(parser, "--samples", "N", "images; numbered from the second on", default=1)
    add_code_options(parser, default)


def add_code_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the options that say how image codes are chosen."""
    choice = parser.add_mutually_exclusive_group()
    option.flag(choice, "--greedy", "most probable code at each step")
    option.integer(choice, "--top-k", "K", f"draw from the K most probable (default: {default})")
    option.number(parser, "--top-p", "P", "draw from codes of this total probability")
    option.number(parser, "--temperature", "T", "(default: 1)", default=1.0)
    option.seed(parser, default=0)


def run_train(args: argparse.Namespace) -> None:
    """Train a tokenizer and print its quality."""
    from biomedgpt.vqgan.train import TrainOptions, train

    options = option.call(TrainOptions, args)
    quality = train(args.data, args.out, options, device=_device(args))
    print(f"PSNR on {quality.images:,} images: {quality.psnr:.2f} dB")
    print(f"codes used: {quality.codes_used:,}")
    print(f"tokenizer: {args.out}")


def run_encode(args: argparse.Namespace) -> None:
    """Encode splits and say where the codes are."""
    from biomedgpt.data.prepared.codes import codes_path
    from biomedgpt.data.prepared.dataset import PreparedDataset
    from biomedgpt.vqgan.encode import describe, encode_split

    dataset = PreparedDataset(args.dataset)
    splits = [dataset.split(name) for name in args.split or dataset.splits]
    tokenizer = _tokenizer(args)
    info = describe(tokenizer, image_size=args.image_size, whole_size=args.whole_size)
    _check_batch_size(args.batch_size)
    for split in splits:
        if not split.num_images:
            print(f"{split.path}: no images")
            continue
        with resumable():
            path = encode_split(split, tokenizer, info, batch_size=args.batch_size)
        grids = f"{info.middle_grid}x{info.middle_grid} codes of the middle"
        if info.whole_size:
            grids += f", {info.whole_grid}x{info.whole_grid} of the whole"
        state = "up to date" if path is None else "written"
        print(f"{codes_path(split)}: {state}, {split.num_images:,} images, {grids}")


def run_decode(args: argparse.Namespace) -> None:
    """Decode a file of codes."""
    from biomedgpt.vqgan.decode import decode_file

    _check_batch_size(args.batch_size)
    count = option.call(decode_file, args, path=args.codes, tokenizer=_tokenizer(args))
    print(f"{count:,} images: {args.out}")


def run_report(args: argparse.Namespace) -> None:
    """Write the page and print the PSNR."""
    from statistics import fmean

    from biomedgpt.data.prepared.dataset import PreparedDataset
    from biomedgpt.vqgan.quality import write_report

    if (args.checkpoint is None) != (args.vocabulary is None):
        raise ConfigError("--checkpoint and --vocabulary belong together; give both or neither")
    _check_batch_size(args.batch_size)
    split = PreparedDataset(args.dataset).split(args.split)
    tokenizer = _tokenizer(args)
    model, vocabulary = (None, None) if args.checkpoint is None else _model(args)
    scores = write_report(
        args.out,
        split,
        tokenizer,
        model=model,
        vocabulary=vocabulary,
        image_size=args.image_size,
        batch_size=args.batch_size,
    )
    print(
        f"PSNR on {len(scores.reconstructed):,} images: {fmean(scores.reconstructed):.2f} dB; "
        f"{scores.codes_used:,} codes used"
    )
    if scores.infilled:
        print(
            f"PSNR of {len(scores.infilled):,} filled-in middles: {fmean(scores.infilled):.2f} dB "
            f"(from their own codes: {fmean(scores.middle):.2f} dB)"
        )
    print(f"report: {args.out}")


def run_generate(args: argparse.Namespace) -> None:
    """Draw images of a text."""
    from biomedgpt.vqgan.generation import code_image_size, generate_image

    drawing = drawing_of(args, top_k=50)
    tokenizer = _tokenizer(args)
    size = None
    if args.image_size is not None:
        size = code_image_size(tokenizer.grid(args.image_size))
    model, vocabulary = _model(args, code_image_size=size)
    images = generate_image(model, vocabulary, tokenizer, args.text, drawing=drawing)
    _save(images, args.out)


def run_infill(args: argparse.Namespace) -> None:
    """Fill in the middle of an image."""
    import torch

    from biomedgpt.data.imaging.images import decode_image
    from biomedgpt.vqgan.generation import infill

    drawing = drawing_of(args, top_k=0)
    image = decode_image(args.image, where="")
    tokenizer = _tokenizer(args)
    model, vocabulary = _model(args)
    result = infill(
        model, vocabulary, tokenizer, image, image_size=args.image_size, drawing=drawing
    )
    _save(result.filled, args.out)
    if args.compare is not None:
        beside = torch.cat([result.original, result.masked, result.filled[0]], dim=2)
        _save(beside[None], args.compare)


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ConfigError(f"--batch-size must be at least 1, got {batch_size}")


def _device(args: argparse.Namespace) -> "torch.device":
    from biomedgpt.devices import choose_device

    return choose_device(args.device)


def _tokenizer(args: argparse.Namespace) -> "ImageTokenizer":
    from biomedgpt.vqgan.tokenizer import ImageTokenizer

    return ImageTokenizer.load(args.tokenizer).to(_device(args))


def _model(
    args: argparse.Namespace, code_image_size: int | None = None
) -> tuple["BiomedGPT", "Vocabulary"]:
    from biomedgpt.checkpoints.runs import load_run
    from biomedgpt.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(args.vocabulary)
    model = load_run(args.checkpoint, code_image_size=code_image_size)
    return model.to(_device(args)), vocabulary


def drawing_of(args: argparse.Namespace, *, top_k: int) -> "Drawing":
    """Return how codes are chosen; ``top_k`` is what happens without any option."""
    from biomedgpt.vqgan.generation import Drawing

    chosen = args.top_k is not None or args.top_p is not None or args.samples > 1
    if args.greedy and chosen:
        raise ConfigError("--greedy gives one image and no draws; leave it or the others out")
    sampling = not args.greedy and (chosen or top_k > 0)
    default = 0 if args.top_p is not None else top_k
    drawing = Drawing(
        samples=args.samples,
        sampling=sampling,
        top_k=(default if args.top_k is None else args.top_k) if sampling else 0,
        top_p=1.0 if args.top_p is None else args.top_p,
        temperature=args.temperature,
        seed=args.seed,
    )
    drawing.config(1)  # refuses numbers that make no sense before anything is loaded
    return drawing


def _save(images: "torch.Tensor", out: Path) -> None:
    """Write (N, 3, H, W) as ``out``, and ``out`` with a number for the second and later ones."""
    from biomedgpt.files import atomic_path
    from biomedgpt.vqgan.pixels import to_image

    for number, pixels in enumerate(images, 1):
        path = out if number == 1 else out.with_name(f"{out.stem}-{number}{out.suffix}")
        with atomic_path(path) as temporary:
            to_image(pixels).save(temporary, "PNG")
        print(path)
