"""Instructions of what is asked of a pretrained model beside the tasks with datasets.

Those of the reference (OFA, BiomedGPT: ``data/pretrain_data``; image generation: OFA). All of them
are encoded with a leading space.
"""

from typing import NamedTuple


class Instruction(NamedTuple):
    """Words before and after a text."""

    before: str
    after: str = ""

    def around(self, text: str) -> str:
        """Return the instruction with ``text`` in it."""
        return f"{self.before} {text}{self.after}"


GROUNDING = Instruction('which region does the text "', ' " describe?')
REGION_CAPTIONING = Instruction("what does the region describe? region:")
"""The four bins of the box follow."""
IMAGE_MATCHING = Instruction('does the image describe "', ' "?')
ANSWER_MATCHING = Instruction('what is the answer to question " {question} ". is "', ' "?')
DETECTION = Instruction("what are the objects in the image?")
MASKED_LANGUAGE = Instruction('what is the complete text of "', ' "?')
INFILLING = Instruction("what is the image in the middle part?")
IMAGE_GENERATION = Instruction("what is the complete image? caption:")
