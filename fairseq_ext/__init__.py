"""fairseq plug-in: ``fairseq-train DATA --user-dir fairseq_ext --task biomedgpt ...``.

Importing this package registers the models, the tasks and the criterion, makes fairseq read and
write checkpoints as `fairseq_ext.checkpoints` does, and makes errors a user can fix end in one
line.
Everything numerical is in `biomedgpt`; here it only meets fairseq's interfaces.
"""

try:
    import fairseq.trainer  # noqa: F401
except (ImportError, ValueError) as error:  # fairseq 0.12.2 fails with ValueError on Python 3.11
    raise ImportError(
        "training needs fairseq in the form of the ve-fairseq wheel "
        f"(this Python has none that imports: {error}); run: pip install 'biomedgpt[train]'"
    ) from error

import logging
import os

from fairseq_ext import (
    adam,
    checkpoints,
    data_order,
    distributed,
    ema,
    error_lines,
    precision,
    preemption,
    run_folder,
)

# Importing fairseq's models turns on everyone's debugging output.
logging.getLogger().setLevel(os.environ.get("LOGLEVEL", "INFO").upper())

checkpoints.install()
data_order.install()
distributed.install()
adam.install()
ema.install()
error_lines.install()
precision.install()
preemption.install()
run_folder.install()

from fairseq_ext import criterion, models, pretraining, task  # noqa: E402, F401  (registration)
