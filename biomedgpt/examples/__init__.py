"""From rows of prepared datasets to tensors: sequences, batches, augmentation, mixtures."""
