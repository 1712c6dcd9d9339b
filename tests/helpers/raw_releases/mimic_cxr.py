"""MIMIC-CXR reports and MIMIC-CXR-JPG."""

import csv
import gzip

from raw_releases.captions import write_image

SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
METADATA = "mimic-cxr-2.0.0-metadata.csv.gz"
REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough  // ?pneumonia

 COMPARISON:  None.

 FINDINGS:

 There is no focal consolidation, case {0}.
 The heart is of
 normal size.

 IMPRESSION:

 No acute cardiopulmonary process in case {0}.
"""


def write_release(folder, studies, *, report=REPORT, views=("PA", "LATERAL")):
    """``studies`` is a list of (patient, study, split); images have the given views."""
    folder.mkdir(parents=True, exist_ok=True)
    split_rows, metadata_rows = [], []
    for number, (patient, study, split) in enumerate(studies):
        place = folder / "files" / f"p{patient[:2]}" / f"p{patient}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"s{study}.txt").write_text(report.format(number))
        for position, view in enumerate(views):
            dicom = f"{number:04x}{position:04x}-0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d"
            split_rows.append([dicom, study, patient, split])
            metadata_rows.append([dicom, patient, study, "CHEST (PA AND LAT)", view, 24, 32])
            write_image(place / f"s{study}" / f"{dicom}.jpg", 10 * number + position, grey=True)
    columns = ["dicom_id", "study_id", "subject_id", "split"]
    _write_table(folder / SPLIT, [columns, *split_rows])
    columns = ["dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription"]
    columns += ["ViewPosition", "Rows", "Columns"]
    _write_table(folder / METADATA, [columns, *metadata_rows])
    return folder


def _write_table(path, rows):
    with gzip.open(path, "wt", newline="") as file:
        csv.writer(file).writerows(rows)


def some_studies():
    """Patients with one or two studies each."""
    splits = ["train"] * 12 + ["validate"] * 4 + ["test"] * 6
    return [(f"{10000032 + n // 2}", f"{50414267 + n}", split) for n, split in enumerate(splits)]


def _build(folder):
    write_release(folder, some_studies())


BUILDERS = {"mimic-cxr-summary": _build, "mimic-cxr-caption": _build}
