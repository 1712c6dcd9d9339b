"""Images as sequences of codes: VQ-GAN tokenizers, code files, generation and infilling."""

from biomedgpt.data.prepared.codes import CodesFile
from biomedgpt.vqgan.tokenizer import ImageTokenizer

__all__ = ["CodesFile", "ImageTokenizer"]
