"""The unified encoder-decoder."""

from torch import Tensor, nn

from biomedgpt.model.config import ModelConfig
from biomedgpt.model.cpu.autograd import TokenEmbedding
from biomedgpt.model.decoder import Decoder
from biomedgpt.model.encoder import Encoder


class BiomedGPT(nn.Module):
    """One sequence-to-sequence model for text, images and locations (OFA, BiomedGPT).

    Parameter names equal those of the published checkpoints. Input and output embeddings of
    encoder and decoder are one tensor.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        embed_tokens = TokenEmbedding(config.vocab_size, config.embed_dim, padding_idx=config.pad)
        self.encoder = Encoder(config, embed_tokens)
        self.decoder = Decoder(config, embed_tokens)
        self.apply(_initialise)
        # Last, since the output projection is a linear map and an embedding in one.
        _initialise(embed_tokens)

    def forward(
        self,
        src_tokens: Tensor,
        prev_output_tokens: Tensor,
        patch_images: Tensor | None = None,
        patch_masks: Tensor | None = None,
        code_masks: Tensor | None = None,
        sample_patch_num: int | None = None,
        features_only: bool = False,
    ) -> Tensor:
        """Encode the source and decode the target with teacher forcing.

        Args:
            src_tokens: (B, S) of int64.
            prev_output_tokens: (B, T) of int64, the target shifted right.
            patch_images: (B, 3, height, width), or None without images.
            patch_masks: (B), false where an example has no image.
            code_masks: (B), true where the target is image codes.
            sample_patch_num: see `Encoder.forward`.
            features_only: return features instead of logits.

        Returns:
            (B, T, V) logits, or (B, T, C) features.
        """
        source = self.encoder(src_tokens, patch_images, patch_masks, sample_patch_num)
        return self.decoder(prev_output_tokens, source, code_masks, features_only)

    def tie_embeddings(self) -> None:
        """Make the three embedding matrices one tensor again, after `to_empty` separated them."""
        embed_tokens = self.encoder.embed_tokens
        self.decoder.embed_tokens = embed_tokens
        self.decoder.output_projection.tie(embed_tokens)

    def num_parameters(self) -> int:
        """Count parameters; shared ones count once."""
        return sum(parameter.numel() for parameter in self.parameters())


def _initialise(module: nn.Module) -> None:
    """Initialise a model that is trained from scratch.

    Linear maps keep the variance of what passes through them (Xavier). The reference draws them
    with a deviation of 0.02 at any width, with which narrow models learn several times slower.
    Embeddings are as there: a deviation of 0.02, padding zero.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
        if module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx])
