"""Chest X-rays of Shenzhen and Montgomery County."""

from pathlib import Path

from raw_releases.drawing import picture


def _images(folder: Path, prefix: str, *, normal: range, tuberculosis: range) -> None:
    folder.mkdir(parents=True)
    for label, numbers in ((0, normal), (1, tuberculosis)):
        for number in numbers:
            # The files of Shenzhen are palette or colour images of grey, those of Montgomery grey.
            image = picture(number, grey=True)
            if prefix == "CHNCXR":
                image = image.convert("P" if number % 3 else "RGB")
            image.save(folder / f"{prefix}_{number:04}_{label}.png")
    (folder / "Thumbs.db").write_bytes(b"left there by a file manager")


def _build_shenzhen(folder: Path) -> None:
    release = folder / "ChinaSet_AllFiles"
    _images(release / "CXR_png", "CHNCXR", normal=range(1, 13), tuberculosis=range(327, 339))
    readings = release / "ClinicalReadings"
    readings.mkdir()
    (readings / "CHNCXR_0001_0.txt").write_text("male 45yrs\nnormal")
    (readings / "CHNCXR_0327_1.txt").write_text("female, 28yrs  \t\nright PTB")
    (release / "NLM-ChinaCXRSet-ReadMe.docx").write_bytes(b"PK")


def _build_montgomery(folder: Path) -> None:
    release = folder / "MontgomerySet"
    _images(release / "CXR_png", "MCUCXR", normal=range(1, 13), tuberculosis=range(160, 172))
    readings = release / "ClinicalReadings"
    readings.mkdir()
    (readings / "MCUCXR_0166_1.txt").write_text(
        "Patient's Sex: M\nPatient's Age: 049Y\nNO REPORT (same pt as MCUCXR_0162_1)"
    )
    for side in ("leftMask", "rightMask"):
        masks = release / "ManualMask" / side
        masks.mkdir(parents=True)
        picture(1, grey=True).convert("1").save(masks / "MCUCXR_0001_0.png")


BUILDERS = {"sz-cxr": _build_shenzhen, "mc-cxr": _build_montgomery}
