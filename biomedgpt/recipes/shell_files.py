"""Writes the shell files of the recipes, ``run_scripts/<kind>/{train,evaluate}_<name>.sh``.

    python -m biomedgpt.recipes.shell_files

What they say is in the registry, the tasks and `biomedgpt.recipes.recipe`; a test compares them.
"""

import textwrap
from pathlib import Path

from biomedgpt.data.registry import DATASETS, INSTRUCTIONS
from biomedgpt.doctor import prepare_command
from biomedgpt.recipes.recipe import get_recipe, group_of_recipe, recipe_names, script_name
from biomedgpt.tasks import Group, Instruction, get_group

SCRIPTS = Path(__file__).resolve().parents[2] / "run_scripts"
TEXT = """#!/usr/bin/env bash
{header}
exec bash "$(dirname -- "${{BASH_SOURCE[0]}}")/../recipe.sh" {verb} {recipe} "$@"
"""


def stale_files() -> dict[Path, str]:
    """Return the files that are not as they should be, with what should be in them."""
    wanted = {path: text for name in recipe_names() for path, text in shell_files(name).items()}
    return {
        path: text
        for path, text in wanted.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }


def shell_files(recipe: str) -> dict[Path, str]:
    """Return the training and the evaluation script of a recipe."""
    name, group = script_name(recipe), group_of_recipe(recipe)
    kind, spec = get_group(group), DATASETS.get(recipe)
    data = f"data of your own ({kind.title})" if spec is None else spec.title
    also, blank = "", ""
    if kind.uses_image:
        also, blank = ", also with blank images", "predictions_blank.jsonl, "
    fold, models, model = "", "", ""
    if spec is not None and spec.folds:
        fold, models, model = "[--fold=N] ", f"/fold0 to fold{spec.folds - 1}", "foldN/"
    headers = {
        "train": (
            f"train on {data}.",
            prerequisites(recipe, kind),
            f"[--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] {fold}[--devices=N] [--help]",
            f"checkpoints, train.log and run.json in RUN{models}.",
            expected_score(recipe, kind),
        ),
        "evaluate": (
            f"answer the test split of {data.partition(': ')[0]}{also}, and score it.",
            f"a folder made by train_{name}.sh",
            f"{fold}[--help]",
            f"{model}predictions.jsonl, {blank}score.json in RUN.",
            f"see train_{name}.sh",
        ),
    }
    files = {}
    for verb, (purpose, prerequisite, options, output, expected) in headers.items():
        path = SCRIPTS / group / f"{verb}_{name}.sh"
        command = f"bash run_scripts/{group}/{path.name} --data DATA --save-dir RUN"
        lines = (
            f"# Purpose: {purpose}",
            f"# Prerequisites: {prerequisite}",
            f"# Command: {command} {options}",
            f"# Output: {output}",
            f"# Expected score: {expected}",
        )
        header = "\n".join(wrapped for line in lines for wrapped in _wrap(line))
        files[path] = TEXT.format(header=header, verb=verb, recipe=recipe)
    return files


def prerequisites(recipe: str, kind: Group) -> str:
    """Return the command that makes the prepared dataset."""
    if recipe in DATASETS:
        return f"{prepare_command(recipe, out='DATA')} (see datasets/{recipe}/)"
    images = "--images IMAGES " if kind.uses_image else ""
    names = f"biomedgpt data prepare {'|'.join(INSTRUCTIONS)}, or "
    return (
        f"{names if kind.task is Instruction else ''}biomedgpt data import --table TABLE {images}"
        f"--task {'|'.join(kind.tasks)} --columns ... --out DATA"
    )


def expected_score(recipe: str, kind: Group) -> str:
    """Return published results, and what the recipe says."""
    spec, note = DATASETS.get(recipe), get_recipe(recipe).note
    if spec is None:
        better = "the baseline" if kind.baseline is not None else "that with blank images"
        return f"above {better}, which is printed beside it."
    if not (spec.published or note):
        return "none is published that we know of."
    labels = {measure.key: measure.label for measure in kind.measures}
    by_source: dict[str, list[str]] = {}
    for one in spec.published:  # in the units of score files
        deviation = "" if one.deviation is None else f" ± {one.deviation:.3f}"
        words = f"{one.model} {labels[one.measure]} {one.value:.3f}{deviation}"
        by_source.setdefault(one.source, []).append(words)
    published = [f"{', '.join(words)} ({source})." for source, words in by_source.items()]
    return " ".join([*published, note]).strip()


def _wrap(comment: str) -> list[str]:
    return textwrap.wrap(comment, 100, subsequent_indent="#     ", break_on_hyphens=False)


if __name__ == "__main__":
    for path, text in stale_files().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
