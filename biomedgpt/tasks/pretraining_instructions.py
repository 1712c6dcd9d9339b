"""Instructions of what is asked of a pretrained model beside the tasks with datasets.

Those of the reference (OFA, BiomedGPT: ``data/pretrain_data``; image generation: OFA). All of them
are encoded with a leading space.
"""

from typing import NamedTuple


class Wording(NamedTuple):
    """Words before and after a text."""

    before: str
    after: str = ""

    def around(self, text: str) -> str:
        """Return the instruction with ``text`` in it."""
        return f"{self.before} {text}{self.after}"


GROUNDING = Wording('which region does the text "', ' " describe?')
REGION_CAPTIONING = Wording("what does the region describe? region:")
"""The four bins of the box follow."""
IMAGE_MATCHING = Wording('does the image describe "', ' "?')
ANSWER_MATCHING = Wording('what is the answer to question " {question} ". is "', ' "?')
DETECTION = Wording("what are the objects in the image?")
MASKED_LANGUAGE = Wording('what is the complete text of "', ' "?')
INFILLING = Wording("what is the image in the middle part?")
IMAGE_GENERATION = Wording("what is the complete image? caption:")
