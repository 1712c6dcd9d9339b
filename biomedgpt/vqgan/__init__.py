"""Images as sequences of codes: VQ-GAN tokenizers, code files, generation and infilling."""
