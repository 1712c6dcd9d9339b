"""VQA-RAD."""

from data_samples import rad_record, write_rad_release

TEST = {"phrase_type": "test_freeform"}


def _build(folder):
    records = [rad_record(number) for number in range(12)]
    records += [rad_record(number, **TEST) for number in range(12, 16)]
    write_rad_release(folder, records)


BUILDERS = {"vqa-rad": _build}
