"""METEOR and the Treebank's words, which Java programs make."""

import shutil
import subprocess
import sys

import pytest
from caption_cases import CASES, records
from measuring import measured_captions, remarks_on_captions

from biomedgpt.metrics.captioning import PTB_TOKENIZER, find_java, tokenize
from biomedgpt.tasks import Captioning

pytest.importorskip("pycocoevalcap", reason="needs pycocoevalcap")
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor import meteor as meteor_module
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

needs_java = pytest.mark.skipif(find_java() is None, reason="needs Java")


@needs_java
def test_all_scores_equal_pycocoevalcap_and_java_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Recorded(meteor_module.Meteor):
        def __init__(self) -> None:
            super().__init__()
            started.append(self.meteor_p)

    monkeypatch.setattr(meteor_module, "Meteor", Recorded)
    score = measured_captions(records(CASES), java=find_java(), resamples=20)
    assert [process.poll() is not None for process in started] == [True]

    as_items = PTBTokenizer().tokenize
    references = as_items({n: [{"caption": t} for t in r] for n, (_, r) in enumerate(CASES)})
    predictions = as_items({n: [{"caption": p}] for n, (p, _) in enumerate(CASES)})
    bleu, _ = Bleu(4).compute_score(references, predictions, verbose=0)
    assert score["bleu_1"].model.value == pytest.approx(bleu[0], rel=1e-12)
    assert score["bleu_4"].model.value == pytest.approx(bleu[3], rel=1e-12)
    assert score["cider_d"].model.value == pytest.approx(
        Cider().compute_score(references, predictions)[0]
    )
    assert score["rouge_l"].model.value == pytest.approx(
        Rouge().compute_score(references, predictions)[0]
    )
    monkeypatch.undo()
    original = meteor_module.Meteor()
    assert score["meteor"].model.value == original.compute_score(references, predictions)[0]
    assert Captioning.normalised() == PTB_TOKENIZER
    assert remarks_on_captions(records(CASES), java=find_java()) == []


@needs_java
def test_treebank_words_keep_one_line_per_caption(capfd: pytest.CaptureFixture[str]) -> None:
    texts = ["Two\nlines\u2028here", "", ".", "A (small) mass -- 3.5 cm!", "\x85", "µm ☃"]
    expected = ["two lines here", "", "", "a -lrb- small -rrb- mass 3.5 cm", "", "µm ☃"]
    assert tokenize(texts, java=find_java()) == expected
    assert capfd.readouterr() == ("", "")


def test_java_that_is_missing_or_does_not_run_is_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert find_java() is None
    # Python does not know the option, as a placeholder for Java would not.
    monkeypatch.setattr(shutil, "which", lambda _: sys.executable)
    assert find_java() is None


def test_meteor_that_fails_is_stated_and_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.Popen
    monkeypatch.setattr(
        meteor_module.subprocess,
        "Popen",
        lambda _, **options: real([sys.executable, "-c", ""], **options),
    )
    monkeypatch.setattr(
        "biomedgpt.metrics.captioning.tokenize", lambda texts, *, java: tokenize(texts, java=None)
    )
    score = measured_captions(records(CASES), java="java", resamples=5)
    assert score["meteor"].model.value is None
    (note,) = remarks_on_captions(records(CASES), java="java")
    assert note.startswith("METEOR was not computed: its Java program failed")
