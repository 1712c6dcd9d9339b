"""What a task of one's own must say of itself, and that every list of tasks knows it then."""

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from readme_blocks import block

from biomedgpt.cli import data_import, predict
from biomedgpt.data.spec import DatasetSpec
from biomedgpt.errors import ConfigError
from biomedgpt.serve.menu import Menu
from biomedgpt.tasks import (
    TASKS,
    ClosedTask,
    Measure,
    PageEntry,
    PageField,
    Task,
    TaskFields,
    askable,
    get_group,
    get_task,
    group_of_task,
    groups,
    guess_group,
    register,
    registry,
    row_kinds,
)
from biomedgpt.tasks.base import plain

FILE = block("python", "class Triage", document="CONTRIBUTING.md")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the tasks that a test registers."""
    monkeypatch.setattr(registry._tasks, "_known", dict(registry._tasks._known))
    monkeypatch.setattr(registry._tasks, "_unread", False)


def exact() -> Measure:
    return Measure(
        key="exact",
        label="exact",
        definition="share of answers that are the reference",
        examples=lambda records: (
            np.array([r["prediction"] == r["reference"] for r in records]) * 1.0
        ),
        logged="exact",
    )


def triage(**changes: Any) -> type[Task]:
    """Return a closed task with other attributes than it should have."""

    def source_text(self: Task, example: dict[str, str]) -> str:
        return plain(example["referral"])

    attributes = {
        "name": "triage",
        "fields": TaskFields(source=("referral",), closed=True),
        "source_text": source_text,
    }
    return type("Triage", (ClosedTask,), attributes | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Triage!"}, "lower-case"),
        ({"name": "grounding"}, "taken"),
        ({"name": "vqa"}, "registered already"),
        ({"fields": ("referral", "answer")}, "TaskFields"),
        ({"fields": TaskFields(closed=True)}, "lack a source"),
        ({"fields": TaskFields(source=("referral",), target="", closed=True)}, "lack a target"),
        (
            {"fields": TaskFields(source=("referral", "referral"), closed=True)},
            "'referral' is named twice",
        ),
        (
            {"fields": TaskFields(source=("referral",), target="referral", closed=True)},
            "'referral' is named twice",
        ),
        ({"fields": TaskFields(source=("note",), closed=True)}, "reads 'referral', which is none"),
        (
            {"fields": TaskFields(source=("referral", "age"), closed=True)},
            "does not use the field 'age'",
        ),
        (
            {"fields": TaskFields(source=("referral", "split"), closed=True)},
            "'split' has a meaning",
        ),
        (
            {"fields": TaskFields(source=("referral",), closed=True, image=True)},
            "differs from entailment in image",
        ),
        (
            {"fields": TaskFields(source=("referral",), closed=True, image=True), "group": "u"},
            "rows show images, but those of understanding",
        ),
        ({"measures": (exact(), exact())}, "two measures have the key 'exact'"),
        (
            {"measures": (exact(), dataclasses.replace(exact(), key="other"))},
            "two measures have the label 'exact'",
        ),
        ({"measures": ()}, "measures nothing"),
        ({"measures": (exact(),), "group": "urgency"}, "primary is 'accuracy'"),
        (
            {"measures": (exact(),), "group": "urgency", "primary": "exact"},
            "headline names 'accuracy'",
        ),
        ({"measures": (exact(),), "primary": "exact", "headline": ("exact",)}, "in measures"),
        ({"recorded": ("age",)}, "recorded names 'age'"),
        ({"page": PageEntry(title="T", fields={"age": PageField("Age")})}, "page names 'age'"),
        ({"source_text": lambda self, example: 1 / 0}, "its instruction fails .ZeroDivisionError"),
        ({"source_text": lambda self, example: str(example)}, "shows the target 'answer'"),
        ({"name": 5}, "name must be a text, not 5"),
        ({"group": "my group!"}, "a group is lower-case"),
        ({"group": 3}, "group must be a text"),
        ({"recipes": "nonsense"}, "there are no recipes of nonsense; name a group of"),
        ({"decoding": {"beam": 3}}, "decoding must be GenerationConfig"),
        ({"decoding": None}, "decoding must be GenerationConfig"),
        ({"measures": ("accuracy",)}, "measures must be a tuple of Measure"),
        ({"measures": [exact()]}, "measures must be a tuple of Measure"),
        ({"default_answers": "abc"}, "default_answers must be a tuple"),
        ({"page": "T"}, "page must be a PageEntry"),
        ({"page": PageEntry(title="T")}, "page does not ask for 'referral'"),
        ({"page": PageEntry(title="T", fields={"referral": "R"})}, "referral must be a PageField"),
        (
            {"page": PageEntry(title="Find a region", fields={"referral": PageField("R")})},
            "another entry of the page has the title 'Find a region'",
        ),
        ({"fields": TaskFields(source=("references",), closed=True)}, "'references' has a meaning"),
    ],
)
def test_a_task_that_is_incomplete_or_contradicts_itself_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        register(triage(**changes))
    assert "\n" not in str(caught.value)
    assert "triage" not in TASKS
    assert get_task("vqa").name == "vqa"


def test_a_task_without_attributes_or_methods_is_refused() -> None:
    class Nothing(Task):
        pass

    with pytest.raises(ConfigError, match="'Nothing': says no name and no fields"):
        register(Nothing)

    class NoText(ClosedTask):
        name = "no_text"
        fields = TaskFields(source=("referral",), closed=True)

    with pytest.raises(ConfigError, match="has no source_text"):
        register(NoText)


@pytest.mark.parametrize(
    "changes",
    [
        {"key": ""},
        {"definition": " "},
        {"examples": None},
        {"corpus": lambda records: lambda chosen: 1.0},
        {"examples": None, "corpus": lambda records: lambda chosen: 1.0},  # but logged
    ],
)
def test_a_measure_that_is_incomplete_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="measure"):
        dataclasses.replace(exact(), **changes)


@pytest.mark.parametrize(
    "roles",
    [
        {"source": "note"},
        {"source": ("note",), "optional": "age"},
        {"source": ("note",), "closed": True, "free_text": True},
        {"source": ("note",), "boxes": "box"},
    ],
)
def test_roles_that_contradict_each_other_are_refused(roles: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TaskFields(**roles)


def test_an_object_in_place_of_a_class_is_refused() -> None:
    with pytest.raises(ConfigError, match="is no class of a task"):
        register(get_task("vqa"))  # type: ignore[type-var]


@pytest.mark.parametrize("annotated", [False, True])
def test_a_class_changes_options_without_being_decorated(annotated: bool) -> None:
    changes: dict[str, Any] = {"max_source_words": 3, "max_target_tokens": 2}
    if annotated:
        changes["__annotations__"] = {"max_source_words": int, "max_target_tokens": int}
    register(triage(**changes))
    task = get_task("triage")
    assert (task.max_source_words, task.max_target_tokens) == (3, 2)
    assert task.instruction({"id": "1", "referral": "a b c d"}) == "a b c"
    assert task.with_(max_source_words=1).max_source_words == 1


def test_files_of_one_name_do_not_replace_each_other(tmp_path: Any, monkeypatch: Any) -> None:
    paths = [tmp_path / folder / "triage.py" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(FILE)
    monkeypatch.setenv(registry.VARIABLE, os.pathsep.join(map(str, paths)))
    monkeypatch.setattr(registry._tasks, "_unread", True)
    with pytest.raises(ConfigError, match="'triage' is registered already"):
        get_task("vqa")


def test_predictions_that_may_be_of_several_kinds_are_not_guessed() -> None:
    register(
        triage(
            group="urgency",
            group_title="urgency",
            measures=(exact(),),
            primary="exact",
            headline=("exact",),
            baseline=None,
        )
    )
    line = {"id": "1", "prediction": "a", "reference": "b", "references": []}
    with pytest.raises(ConfigError, match="may be of captioning or urgency; name their dataset"):
        guess_group(line)
    assert guess_group(line | {"majority": "a"}).name == "classification"


def test_every_list_of_tasks_knows_a_task_of_ones_own() -> None:
    task = register(triage())
    assert list(TASKS)[-1] == "triage"
    assert row_kinds()["triage"] is askable()["triage"] is task.fields
    assert get_group("understanding").tasks[-1] == "triage"
    assert group_of_task("triage", where="data").name == "understanding"
    for add in (data_import.add_import_parsers, predict.add_parser):
        assert "triage" in choices_of_task(add)
    (entry,) = Menu.of("triage", draws=False).first
    assert (entry.name, entry.entry.title, list(entry.entry.fields)) == (
        "triage",
        "Triage",
        ["referral"],
    )
    assert "triage" not in {one.name for one in Menu.of("vqa", draws=False).others}


def choices_of_task(add: Any) -> list[str]:
    """Return what a command offers as its task."""
    import argparse

    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    found = []
    for action in parser._subparsers._group_actions[0].choices.values():  # type: ignore[union-attr]
        for one in action._actions:
            if "--task" in one.option_strings:
                found += list(one.choices or ())
    return found


def test_a_task_may_have_measures_and_a_kind_of_its_own() -> None:
    @register
    @dataclass(frozen=True, kw_only=True)
    class Urgency(ClosedTask):
        name = "urgency"
        group = "urgency"
        group_title = "urgency of referrals"
        fields = TaskFields(source=("referral",), closed=True)
        measures = (exact(),)
        primary = "exact"
        headline = ("exact",)

        def source_text(self, example: Any) -> str:
            return plain(example["referral"])

    assert get_task("urgency").recipes == "understanding"
    group = groups()["urgency"]
    assert (group.title, group.tasks, get_task("urgency").metric) == (
        "urgency of referrals",
        ("urgency",),
        "exact",
    )


def test_a_benchmark_of_a_task_of_ones_own_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    from biomedgpt.data import registry as datasets
    from biomedgpt.data.readers import meqsum

    spec = DatasetSpec(
        **{
            field.name: getattr(meqsum.SPEC, field.name)
            for field in dataclasses.fields(DatasetSpec)
        }
        | {"name": "referrals", "task": "triage"}
    )
    monkeypatch.setattr(meqsum, "SPECS", (meqsum.SPEC, spec), raising=False)
    before = dict(vars(datasets))  # others have imported these very tables
    try:
        assert list(importlib.reload(datasets).BENCHMARKS)[-1] == "referrals"
    finally:
        vars(datasets).update(before)


def test_the_environment_names_files_of_tasks(tmp_path: Any, monkeypatch: Any) -> None:
    path = tmp_path / "triage.py"
    path.write_text(FILE)
    monkeypatch.setenv(registry.VARIABLE, f"{path}{os.pathsep}")
    monkeypatch.setattr(registry._tasks, "_unread", True)
    assert "triage" in TASKS
    example = {"id": "1", "referral": "Chest Pain", "answer": "now"}
    assert get_task("triage").instruction(example) == 'how urgent is the referral " chest pain "?'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is no Python file"),
        ("import nowhere_to_be_found", r"triage\.py:1: ModuleNotFoundError"),
        ("x = 1\n1 / 0", r"triage\.py:2: ZeroDivisionError"),
        ("class", r"triage\.py:1: invalid syntax"),
        ("import sys\nsys.exit(0)", "it ends the program"),
        (FILE.replace('("referral",)', '("referral", "age")'), "does not use the field 'age'"),
    ],
)
def test_a_file_of_tasks_that_fails_is_one_line(
    text: str | None, message: str, tmp_path: Any, monkeypatch: Any
) -> None:
    path = tmp_path / "triage.py"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv(registry.VARIABLE, str(path))
    for _ in range(2):  # it stays an error
        monkeypatch.setattr(registry._tasks, "_unread", True)
        with pytest.raises(ConfigError, match=message) as caught:
            get_task("vqa")
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_rows_for_pretraining_have_no_score() -> None:
    for name in ("grounding", "detection", "text", "images"):
        with pytest.raises(ConfigError, match=f"data holds {name} for pretraining"):
            group_of_task(name, where="data")
    with pytest.raises(ConfigError, match="unknown task 'nothing'"):
        group_of_task("nothing", where="data")
