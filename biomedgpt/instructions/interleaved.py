"""Answers of texts and an image, as sequences of words and of the codes of our own VQ-GAN.

Releases such as MedMax bring image tokens of another model. The images are at hand, so that
``biomedgpt vqgan encode`` makes codes of ours for them, and these take the place of the mark.
"""

from biomedgpt.data.instruction_rows import IMAGE_MARK, IN_ANSWER
from biomedgpt.data.prepared import PreparedSplit
from biomedgpt.errors import DataError
from biomedgpt.vocabulary import CodeSegment, Segment, TextSegment
from biomedgpt.vqgan.codes import CodesFile


def answer_segments(split: PreparedSplit, row: int, codes: CodesFile) -> list[Segment]:
    """Return the answer of a row: text before the image, its codes, text after it.

    Args:
        split: a split of instructions.
        row: number of the row.
        codes: codes of the split's images, whole images among them.

    Returns:
        Segments for `Vocabulary.encode`; of an answer without an image one text. Texts begin with
        the space that they are encoded with.

    Raises:
        DataError: an answer that is to show an image has no mark or no image.
    """
    answer = split.text("answer", row)
    if split.text("image_in", row) != IN_ANSWER:
        return [TextSegment(f" {answer}")]
    before, mark, after = answer.partition(IMAGE_MARK)
    number = int(split.image_index[row])
    if not mark or number < 0:
        raise DataError(
            f"{split.locate(row)}: the answer is to show an image, but has no "
            f"{'image' if mark else IMAGE_MARK}; prepare the dataset again"
        )
    texts = [TextSegment(f" {text.strip()}") if text.strip() else None for text in (before, after)]
    parts = (texts[0], CodeSegment(tuple(codes.whole(number))), texts[1])
    return [part for part in parts if part is not None]
