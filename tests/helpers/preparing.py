"""Preparing raw releases in tests: as it should go, refused, and with one bad row."""

import pytest
from checkout import ROOT
from data_samples import nothing_left

from biomedgpt.data.prepare import prepare
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import DataError


def run(name, raw, out, **options):
    return prepare(name, raw=raw, out=out, options=PrepareOptions(vocabulary=False, **options))


def refused(name, raw, out, match):
    """Preparing fails with one line that names the raw folder, whether rows may be bad or not."""
    for skip_bad in (False, True):
        with pytest.raises(DataError, match=match) as caught:
            run(name, raw, out / "parent" / "out", skip_bad=skip_bad)
        assert "\n" not in str(caught.value)
        assert str(raw) in str(caught.value)
        assert nothing_left(out / "parent")


def one_bad_row(name, raw, out, match):
    """Preparing fails with one line about a row, or skips that row alone."""
    with pytest.raises(DataError, match=f"{match}.*--skip-bad") as caught:
        run(name, raw, out / "strict")
    assert "\n" not in str(caught.value)
    card = run(name, raw, out / "lenient", skip_bad=True)
    assert card.preparation["skipped"] == len(card.preparation["skipped_rows"]) == 1
    return card


def refuses_another_release(name, raw, folder):
    """Preparing what another builder wrote fails with one line and leaves nothing."""
    with pytest.raises(DataError) as caught:
        run(name, raw, folder / "parent" / "out")
    assert "\n" not in str(caught.value)
    assert str(raw) in str(caught.value)
    assert nothing_left(folder / "parent")


def check_card(name, spec):
    """The card has the headings and the facts that the registry knows."""
    card = (ROOT / "datasets" / spec.name / "README.md").read_text()
    assert f"biomedgpt data prepare {name} " in card
    assert spec.source in card
    for heading in ("## Prepare", "## Expected counts", "## Conventions"):
        assert heading in card
    for row in ("| Task |", "| Source |", "| Licence |", "| Access |", "| Metric |"):
        assert row in card
    for part in spec.parts:
        assert f"`{part}`" in card
    for count in spec.expected.values():
        assert f"{count:,}" in card
