"""Codes of the images that answers show, as they lie beside splits of instructions."""

from biomedgpt.data.prepared.codes import CodesFile
from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.data.prepared.folds import JoinedSplits
from biomedgpt.errors import DataError
from biomedgpt.examples.segments import Codes, ImageCodes
from biomedgpt.tasks.dialogue import IN_ANSWER


class AnswerCodes:
    """Codes of the images that the answers of a split show.

    Args:
        rows: instructions, of one dataset or of several.

    Attributes:
        info: what all these images share; None when no answer shows one.

    Raises:
        DataError: codes are missing, without whole images, or of several tokenizers; or a row has
            no image.
    """

    def __init__(self, rows: PreparedSplit | JoinedSplits) -> None:
        self.info: ImageCodes | None = None
        self._rows = (
            rows if isinstance(rows, JoinedSplits) else JoinedSplits([rows], name=rows.name)
        )
        self._files = [self._open(part) for part in self._rows.parts]

    def _open(self, part: PreparedSplit) -> CodesFile | None:
        if "image_in" not in part.fields or IN_ANSWER not in part.column("image_in"):
            return None
        try:
            file = CodesFile(part)
        except DataError as error:
            raise DataError(f"answers show images: {error}") from error
        if not file.has_whole:
            raise DataError(
                f"{file.path}: answers show whole images, and these have no codes; encode again "
                "without --whole-size 0"
            )
        found = ImageCodes(file.info.whole_grid, file.info.num_codes, file.info.tokenizer)
        if self.info not in (None, found):
            raise DataError(
                f"{file.path}: codes of another image tokenizer or grid than those before it; "
                "encode all datasets alike (biomedgpt vqgan encode)"
            )
        self.info = found
        return file

    def of(self, row: int) -> Codes:
        """Return the codes of the image that a row's answer shows; of other rows none.

        Raises:
            DataError: the row has no image.
        """
        number, row = self._rows.find(row)
        part, file = self._rows.parts[number], self._files[number]
        if file is None or part.text("image_in", row) != IN_ANSWER:
            return ()
        image = part.image_number(row)
        if image < 0:
            raise DataError("the answer is to show an image, but has none; prepare it again")
        return file.whole(image)
