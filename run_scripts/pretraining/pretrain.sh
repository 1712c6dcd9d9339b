#!/usr/bin/env bash
# Purpose:        pretrain on corpora of one's own, mixed by weight: captioning, VQA, matching,
#                 grounding, masked text, masked images and detection, whichever there are.
# Prerequisites:  prepared datasets (biomedgpt corpus, biomedgpt data prepare), codes of the images
#                 for masked images (biomedgpt vqgan encode), and a configuration that names them;
#                 `biomedgpt data prepare phantoms-pretraining --out DIR` writes an example of all.
# Command:        bash run_scripts/pretraining/pretrain.sh --config FILE --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] \
#                     [--vocabulary DIR] [--devices N] [--smoke] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again, with the examples
#                 that would have come next. With --smoke and no --config the phantoms are drawn,
#                 a small VQ-GAN is trained, and two processes on the CPU run all streams.
# Expected score: the loss of every stream falls, see train.log; with --smoke by at least 30 %, or
#                 the exit status is 1 (ten minutes on two CPU cores).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" pretrain "$@"
