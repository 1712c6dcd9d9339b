"""What a pretrained model can be asked that has no benchmark, hence no rows and no measures."""

from dataclasses import dataclass

from biomedgpt.tasks.fields import TaskFields
from biomedgpt.tasks.page_entry import PageEntry, PageField


@dataclass(frozen=True, kw_only=True)
class Skill:
    """Something to ask: what it needs, and its entry on the page.

    Its instruction is in `biomedgpt.tasks.pretraining_instructions`.
    """

    name: str
    fields: TaskFields
    page: PageEntry


GROUNDING = "grounding"
REGION_CAPTIONING = "region_captioning"
IMAGE_GENERATION = "image_generation"

SKILLS: dict[str, Skill] = {
    skill.name: skill
    for skill in (
        Skill(
            name=GROUNDING,
            fields=TaskFields(source=("phrase",), target="", image=True),
            page=PageEntry(
                title="Find a region",
                fields={"phrase": PageField("What to find", "cyst in the upper left part")},
            ),
        ),
        Skill(
            name=REGION_CAPTIONING,
            fields=TaskFields(source=("box",), target="", image=True),
            page=PageEntry(title="Describe a region", box=True),
        ),
        Skill(
            name=IMAGE_GENERATION,
            fields=TaskFields(source=("text",), target=""),
            page=PageEntry(
                title="Draw an image",
                fields={"text": PageField("What to draw", "axial ct of the head without lesions")},
            ),
        ),
    )
}
"""By name."""
