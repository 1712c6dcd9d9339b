"""What a run shows: everything in a log file, the essential on screen."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from biomedgpt.errors import BiomedGPTError, user_message
from biomedgpt.tasks import TASKS

logger = logging.getLogger(__name__)

_STATISTICS = ("train_inner", "train", "valid")


class Screen(logging.Handler):
    """A progress bar on a terminal, else a line now and then; validation scores; warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.updates = 0  # of the whole run
        self.terminal = sys.stderr.isatty()
        self.bar: tqdm | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record if it matters to the person in front of the screen."""
        if record.name in _STATISTICS and record.getMessage().startswith("{"):
            self._statistics(record.name, json.loads(record.getMessage()))
        elif (length := getattr(record, "length", None)) is not None:  # of `fairseq_ext.schedule`
            self.updates = length.total
            resumes = f"resuming at update {length.done} of {length.total}"
            self._line(resumes if length.done else f"training {length.total} updates")
        elif record.levelno >= logging.WARNING:
            self._line(f"{record.levelname.lower()}: {record.getMessage()}")

    def _statistics(self, kind: str, stats: dict[str, str]) -> None:
        if kind == "valid":
            names = [one.logged for task in TASKS.values() for one in task.measures if one.logged]
            scores = [
                f"{name} {stats[f'valid_{name}']}"
                for name in dict.fromkeys([*names, "loss"])
                if f"valid_{name}" in stats
            ]
            self._line(f"epoch {stats['epoch']}: validation {', '.join(scores)}")
        elif kind == "train_inner":
            update = int(float(stats["num_updates"]))
            if self.terminal:
                if self.bar is None:
                    self.bar = tqdm(total=self.updates, unit=" updates", initial=update)
                self.bar.set_postfix(epoch=stats["epoch"], loss=stats["loss"], lr=stats["lr"])
                self.bar.update(update - self.bar.n)
            else:
                self._line(
                    f"epoch {stats['epoch']} | update {update}/{self.updates} | "
                    f"loss {stats['loss']} | lr {stats['lr']}{_speed(stats)}"
                )

    def _line(self, text: str) -> None:
        if self.bar is None:
            print(text, flush=True)
        else:
            tqdm.write(text)

    def close(self) -> None:
        """Leave the cursor below the bar."""
        if self.bar is not None:
            self.bar.close()
        super().close()


def _speed(stats: dict[str, str]) -> str:
    """Return speed, utilisation and memory as the end of a line, as far as they are known."""
    shown = (
        ("examples_per_s", "{} examples/s"),
        ("tokens_per_s", "{} tokens/s"),
        ("mfu", "{} % of peak"),
        ("peak_gb", "{} GB"),
    )
    return "".join(f" | {form.format(stats[name])}" for name, form in shown if name in stats)


class LogFile(logging.FileHandler):
    """A log that may end where the disk does: what is trained matters more, and says so itself."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say it once, in a line."""
        del record
        if self in logging.root.handlers:
            logging.root.removeHandler(self)
            print(f"warning: {self.baseFilename}: not written ({sys.exc_info()[1]})", flush=True)


def start_logging(path: Path, handler: logging.Handler | None) -> None:
    """Send everything to ``path`` (appended) and to ``handler``.

    fairseq's commands configure logging only where nobody has, so this must come before them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = LogFile(path, encoding="utf-8")
    form = "%(asctime)s | %(levelname)s | %(name)s | %(message)s"
    file.setFormatter(logging.Formatter(form, datefmt="%Y-%m-%d %H:%M:%S"))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for other in root.handlers[:]:  # fairseq's model files bring one
        root.removeHandler(other)
    root.addHandler(file)
    if handler is not None:
        root.addHandler(handler)
    logging.captureWarnings(capture=True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)


@contextmanager
def logged_failures(path: Path) -> Iterator[None]:
    """Keep the traceback of a failure in the log at ``path``: the screen gets one line.

    Raises:
        BiomedGPTError: in place of any failure that is none.
    """
    try:
        yield
    except Exception as error:
        logger.info("failed", exc_info=error)  # not as an error, which the screen would show
        if user_message(error) is not None:
            raise
        raise BiomedGPTError(f"{_reason(error)}; the traceback is in {path}") from error


def _reason(error: Exception) -> str:
    """Return what failed in one line, also where torch passes on a data worker's traceback."""
    lines = str(error).splitlines() or [""]
    reason = f"{type(error).__name__}: {lines[0]}"
    if lines[0].startswith("Caught ") and len(lines) > 1:
        reason = lines[-1]
    if "file </torch_" in reason:
        reason = (
            f"shared memory is full ({reason}); give --num-workers 0, or a container more of it"
        )
    return reason
