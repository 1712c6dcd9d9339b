"""DICOM images: what values become on the screen, kinds of pixels, and what is never told."""

import io
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from imaging_samples import PATIENT, dataset, dicom, dicom_bytes, dicom_compressed, ramp
from PIL import Image

from biomedgpt.data.imaging.images import decode_image, open_image, stored_image
from biomedgpt.errors import ConfigError, DataError

pydicom = pytest.importorskip("pydicom", minversion="3.0")


def shown(data: bytes | Path, frame: int | None = None) -> np.ndarray:
    """Return the shades of a greyscale image."""
    colours = np.asarray(open_image(data, where="x", frame=frame))
    assert (colours == colours[..., :1]).all()
    return colours[..., 0]


def window(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3, C.11.2.1.2.1, for an output from 0 to 255."""
    low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
    inside = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    return np.where(values <= low, 0, np.where(values > high, 255, np.rint(inside)))


def test_eight_bits_without_a_window_stay():
    pixels = ramp(10, 200)
    assert np.array_equal(shown(dicom(pixels)), pixels)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint32, np.int32])
def test_deeper_images_without_a_window_are_stretched(dtype):
    pixels = ramp(100, 4000, dtype=dtype) - (0 if np.dtype(dtype).kind == "u" else 2000)
    grey = shown(dicom(pixels.astype(dtype)))
    values = pixels.astype(float)
    assert np.array_equal(grey, np.rint((values - values.min()) * 255 / np.ptp(values)))


def test_window_is_in_measured_values():
    pixels = ramp(0, 3000, dtype=np.int16)
    data = dicom(pixels, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    assert np.array_equal(shown(data), window(pixels * 2.0 - 1024, 40, 400))


def test_the_first_of_several_windows_is_taken():
    pixels = ramp(0, 3000, dtype=np.uint16)
    data = dicom(pixels, WindowCenter=[700, 40], WindowWidth=[500, 10])
    assert np.array_equal(shown(data), window(pixels, 700, 500))


def test_other_window_functions():
    pixels = ramp(0, 255)
    exact = shown(dicom(pixels, WindowCenter=100, WindowWidth=50, VOILUTFunction="LINEAR_EXACT"))
    assert np.array_equal(exact, np.rint(((pixels - 100.0) / 50 + 0.5).clip(0, 1) * 255))
    curve = shown(dicom(pixels, WindowCenter=100, WindowWidth=50, VOILUTFunction="SIGMOID"))
    assert np.array_equal(curve, np.rint(255 / (1 + np.exp(-4 * (pixels - 100.0) / 50))))
    step = shown(dicom(pixels, WindowCenter=100, WindowWidth=1))
    assert np.array_equal(step, np.where(pixels > 99.5, 255, 0))


@pytest.mark.parametrize("width", [0, -5, 0.5, float("nan")])
def test_a_window_that_is_none_is_left_out(width):
    pixels = ramp(10, 200)
    assert np.array_equal(shown(dicom(pixels, WindowCenter=40, WindowWidth=width)), pixels)


def test_monochrome1_is_inverted_behind_the_window():
    pixels = ramp(0, 4095, dtype=np.uint16)
    data = dicom(
        pixels, PhotometricInterpretation="MONOCHROME1", WindowCenter=2000, WindowWidth=3000
    )
    assert np.array_equal(shown(data), 255 - window(pixels, 2000, 3000))
    eight = dicom(ramp(10, 200), PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(shown(eight), 255 - ramp(10, 200))


def test_padding_is_not_the_minimum():
    pixels = ramp(1000, 2000, dtype=np.int16)
    pixels[:4] = -2000
    grey = shown(dicom(pixels, PixelPaddingValue=-2000))
    image = pixels[4:].astype(float)
    assert np.array_equal(grey[4:], np.rint((image - image.min()) * 255 / np.ptp(image)))
    assert not grey[:4].any()


def lookup(first: int, entries: np.ndarray, bits: int):
    item = pydicom.Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTDescriptor"].VR = "US"
    item["LUTData"].VR = "OW"
    return [item]


def test_tables_of_values():
    pixels = ramp(0, 300, dtype=np.uint16)
    square = np.arange(200) ** 2
    shades = dicom(pixels, VOILUTSequence=lookup(50, square, 16), WindowCenter=9, WindowWidth=9)
    places = (pixels.astype(int) - 50).clip(0, 199)
    assert np.array_equal(shown(shades), np.rint(square[places] * 255 / 65535))
    measured = dicom(pixels, ModalityLUTSequence=lookup(0, square, 16))
    values = square[pixels.clip(0, 199)].astype(float)
    assert np.array_equal(shown(measured), np.rint(values * 255 / values.max()))


def test_bits_outside_the_stored_ones_do_not_count():
    values = ramp(-2048, 2047, dtype=np.int16)
    noisy = (values.astype(np.uint16) & 0x0FFF) | 0x3000
    data = dicom(
        noisy, BitsStored=12, HighBit=11, PixelRepresentation=1, WindowCenter=0, WindowWidth=1000
    )
    assert np.array_equal(shown(data), window(values, 0, 1000))
    high = dicom(
        (noisy << 4) | 7,
        BitsStored=12,
        HighBit=15,
        PixelRepresentation=1,
        WindowCenter=0,
        WindowWidth=1000,
    )
    assert np.array_equal(shown(high), window(values, 0, 1000))


@pytest.mark.parametrize(
    "syntax",
    ["ImplicitVRLittleEndian", "ExplicitVRBigEndian", "DeflatedExplicitVRLittleEndian"],
)
def test_uncompressed_transfer_syntaxes(syntax):
    pixels = ramp(0, 3000, dtype=np.int16)
    elements = {"WindowCenter": 900, "WindowWidth": 800, "VOILUTFunction": "LINEAR"}
    made = dataset(pixels, syntax=syntax, **elements)
    assert np.array_equal(shown(dicom_bytes(made)), window(pixels, 900, 800))


def test_tables_of_implicit_and_of_big_endian_files():
    pixels = ramp(0, 100, dtype=np.uint16)
    entries = np.arange(101) * 600
    expected = np.rint(entries[pixels] * 255 / 65535)
    made = dataset(pixels, syntax="ImplicitVRLittleEndian")
    made.VOILUTSequence = lookup(0, entries, 16)
    assert np.array_equal(shown(dicom_bytes(made)), expected)
    made = dataset(pixels, syntax="ExplicitVRBigEndian")
    made.VOILUTSequence = lookup(0, entries, 16)
    made.VOILUTSequence[0].LUTData = entries.astype(">u2").tobytes()
    assert np.array_equal(shown(dicom_bytes(made)), expected)


def test_colour_in_either_configuration():
    colours = np.stack([ramp(), ramp(255, 0), ramp(30, 60)], axis=-1)
    data = dicom(colours, SamplesPerPixel=3)
    assert np.array_equal(open_image(data), colours)
    planes = np.ascontiguousarray(np.moveaxis(colours, -1, 0)).tobytes()
    data = dicom(colours, SamplesPerPixel=3, PlanarConfiguration=1, PixelData=planes)
    assert np.array_equal(open_image(data), colours)
    deep = dicom(colours.astype(np.uint16) * 16, SamplesPerPixel=3, BitsStored=12, HighBit=11)
    assert np.array_equal(open_image(deep), np.rint(colours * (16 * 255 / 4095)))


def test_ybr_becomes_rgb():
    colours = np.stack([ramp(40, 220), ramp(200, 60), ramp(90, 110)], axis=-1)
    ybr = np.asarray(Image.fromarray(colours).convert("YCbCr"))
    data = dicom(ybr, SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL")
    assert np.abs(np.asarray(open_image(data)).astype(int) - colours).max() <= 3
    pairs = np.concatenate([ybr[:, ::2, :1], ybr[:, 1::2, :1], ybr[:, ::2, 1:]], axis=-1)
    data = dicom(
        ybr,
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL_422",
        PixelData=pairs.tobytes(),
    )
    assert np.abs(np.asarray(open_image(data)).astype(int) - colours).max() <= 6


def palette(bits: int, dtype: str) -> dict:
    shades = {"Red": np.arange(64) * 4, "Green": 252 - np.arange(64) * 4, "Blue": np.full(64, 9)}
    elements = {}
    for colour, entries in shades.items():
        prefix = f"{colour}PaletteColorLookupTable"
        elements[f"{prefix}Descriptor"] = [64, 10, bits]
        elements[f"{prefix}Data"] = (entries * (257 if bits == 16 else 1)).astype(dtype).tobytes()
    return elements


@pytest.mark.parametrize(("bits", "dtype"), [(16, "<u2"), (8, "u1"), (8, "<u2")])
def test_palettes(bits, dtype):
    numbers = ramp(0, 100)
    data = dicom(numbers, PhotometricInterpretation="PALETTE COLOR", **palette(bits, dtype))
    places = (numbers.astype(int) - 10).clip(0, 63) * 4
    expected = np.stack([places, 252 - places, np.full_like(places, 9)], axis=-1)
    assert np.array_equal(open_image(data), expected)


def test_a_palette_that_is_missing_is_an_error():
    data = dicom(ramp(), PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(DataError, match=r"^x: damaged DICOM file .a palette that is missing"):
        open_image(data, where="x")


def test_one_bit():
    bits = np.random.default_rng(0).integers(0, 2, (3, 5, 7), dtype=np.uint8)
    packed = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    elements = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    data = dicom(bits, PixelData=packed + b"\0" * (len(packed) % 2), **elements)
    for frame in range(3):
        assert np.array_equal(shown(data, frame), bits[frame] * 255)


def test_floating_point_pixels():
    values = np.linspace(-1, 3, 320).astype(np.float32).reshape(16, 20)
    made = dataset(values)
    del made.PixelData, made.HighBit, made.BitsStored, made.PixelRepresentation
    made.FloatPixelData = values.tobytes()
    expected = np.rint((values.astype(float) + 1) * 255 / 4)
    assert np.abs(shown(dicom_bytes(made)) - expected).max() <= 1


def test_frames_by_index():
    frames = np.stack([ramp(0, 100), ramp(100, 200), ramp(5, 7)])
    data = dicom(frames)
    assert np.array_equal(shown(data), frames[0])
    assert np.array_equal(shown(data, 2), frames[2])
    for frame in (3, -1):
        with pytest.raises(
            DataError, match=f"^x: no frame {frame}; the image has 3 frames .0 to 2"
        ):
            open_image(data, where="x", frame=frame)


def test_values_of_a_frame_come_from_the_functional_groups():
    frames = np.stack([ramp(0, 3000, dtype=np.uint16)] * 2)
    made = dataset(frames, WindowCenter=1, WindowWidth=2)
    made.SharedFunctionalGroupsSequence = [pydicom.Dataset()]
    rescale = pydicom.Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = 2, -100
    made.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [rescale]
    made.PerFrameFunctionalGroupsSequence = []
    for center in (500, 900):
        group, voi = pydicom.Dataset(), pydicom.Dataset()
        voi.WindowCenter, voi.WindowWidth = center, 700
        group.FrameVOILUTSequence = [voi]
        made.PerFrameFunctionalGroupsSequence.append(group)
    data = dicom_bytes(made)
    assert np.array_equal(shown(data, 1), window(frames[1] * 2.0 - 100, 900, 700))
    assert np.array_equal(shown(data, 0), window(frames[0] * 2.0 - 100, 500, 700))


def encoded(pixels: np.ndarray, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def test_jpeg():
    frames = [np.kron(ramp(0, 200), np.ones((4, 4), np.uint8)), np.full((64, 80), 77, np.uint8)]
    codes = [encoded(frame, "JPEG", quality=95) for frame in frames]
    data = dicom_compressed(dataset(np.stack(frames)), "JPEGBaseline8Bit", codes)
    for number in (0, 1):
        assert np.abs(shown(data, number).astype(int) - frames[number]).max() < 12


def test_jpeg_in_colour():
    colours = np.zeros((64, 64, 3), np.uint8)
    colours[:32, :, 0] = 230
    colours[32:, :, 2] = 200
    made = dataset(colours, SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422")
    data = dicom_compressed(made, "JPEGBaseline8Bit", [encoded(colours, "JPEG", quality=98)])
    assert np.abs(np.asarray(open_image(data)).astype(int) - colours)[4:28].max() < 12
    assert np.abs(np.asarray(open_image(data)).astype(int) - colours)[36:].max() < 12


@pytest.mark.parametrize("syntax", ["JPEG2000Lossless", "RLELossless"])
def test_lossless_compression(syntax):
    if syntax == "JPEG2000Lossless":
        pytest.importorskip("openjpeg")
    pixels = ramp(0, 4095, (64, 64), dtype=np.uint16)
    made = dataset(pixels, BitsStored=12, HighBit=11, WindowCenter=2000, WindowWidth=1500)
    made.compress(getattr(pydicom.uid, syntax))
    assert np.array_equal(shown(dicom_bytes(made)), window(pixels, 2000, 1500))


def run_lengths(*segments: bytes) -> bytes:
    """A frame of PS3.5, annex G."""
    starts = np.cumsum([64, *map(len, segments)])[:-1].tolist()
    head = np.array([len(segments), *starts, *[0] * (15 - len(segments))], "<u4")
    return head.tobytes() + b"".join(segments)


def test_run_lengths_in_colour_and_signed():
    colours = np.random.default_rng(0).integers(0, 4, (9, 7, 3), dtype=np.uint8) * 80
    made = dataset(colours, SamplesPerPixel=3)
    made.compress(pydicom.uid.RLELossless)
    assert np.array_equal(open_image(dicom_bytes(made)), colours)
    signed = ramp(-900, 900, dtype=np.int16)
    made = dataset(signed, WindowCenter=0, WindowWidth=1500)
    made.compress(pydicom.uid.RLELossless)
    assert np.array_equal(shown(dicom_bytes(made)), window(signed, 0, 1500))
    code = run_lengths(b"\x02\x01\x02\x03" + b"\x80" + b"\x00\x09" + b"\xfe\x05")
    data = dicom_compressed(dataset(np.zeros((1, 7), np.uint8)), "RLELossless", [code])
    assert shown(data).tolist() == [[1, 2, 3, 9, 5, 5, 5]]


@pytest.mark.parametrize(
    "code",
    [
        b"\0\0",
        run_lengths(b"\x02\x01\x02"),
        run_lengths(b"\xfe\x05", b"\xfe\x05"),
        b"\xff" * 90,
        run_lengths(b"\x02\x01\x02\x03")[:64],
    ],
)
def test_damaged_run_lengths(code):
    data = dicom_compressed(dataset(np.zeros((1, 7), np.uint8)), "RLELossless", [code])
    with pytest.raises(DataError, match=r"^x: (damaged|truncated) DICOM file"):
        open_image(data, where="x")


@pytest.mark.parametrize(
    ("syntax", "message"),
    [
        ("JPEGLosslessSV1", r"JPEG Lossless.*1\.2\.840\.10008\.1\.2\.4\.70\) needs a codec.*gdcm"),
        ("JPEGLSLossless", r"JPEG-LS.*needs a codec; install python-gdcm, or pylibjpeg"),
        ("MPEG2MPML", r"MPEG2.*is not read; export the image uncompressed"),
    ],
)
def test_a_codec_that_is_missing_is_named(syntax, message, monkeypatch):
    from pydicom.pixels.decoders.base import Decoder

    monkeypatch.setattr(Decoder, "is_available", property(lambda self: False))
    data = dicom_compressed(dataset(ramp()), syntax, [b"\xff\xd8\xff\xf7 coded"])
    with pytest.raises(DataError, match=rf"^x: DICOM in the transfer syntax {message}") as caught:
        open_image(data, where="x")
    assert "\n" not in str(caught.value)


def test_without_pydicom_the_package_is_named(monkeypatch):
    data = dicom(ramp())
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ConfigError, match="DICOM files need pydicom; run: pip install pydicom"):
        open_image(data)


def test_known_by_content_not_by_name(tmp_path):
    pixels = ramp(10, 200)
    (tmp_path / "IM000001").write_bytes(dicom(pixels))
    (tmp_path / "photo.dcm").write_bytes(encoded(pixels, "PNG"))
    bare = dicom(pixels, syntax="ImplicitVRLittleEndian")
    bare = bare[bare.index(b"\x08\x00\x16\x00\x1a") :]  # without preamble and meta information
    (tmp_path / "bare").write_bytes(bare)
    for name in ("IM000001", "photo.dcm", "bare"):
        assert np.array_equal(shown(tmp_path / name), pixels), name


def test_stored_as_png_and_shown_alike(tmp_path):
    path = tmp_path / "a.dcm"
    made = dataset(ramp(0, 3000, dtype=np.uint16), WindowCenter=900, WindowWidth=800)
    path.write_bytes(dicom_bytes(made))
    stored = stored_image(path, where="x")
    image = Image.open(io.BytesIO(stored))
    assert (image.format, image.mode, image.info) == ("PNG", "L", {})
    assert np.array_equal(decode_image(stored, where="x"), open_image(path))
    assert stored_image(path.read_bytes(), where="x") == stored
    colours = np.stack([ramp(), ramp(255, 0), ramp(30, 60)], axis=-1)
    colour = dicom(colours, SamplesPerPixel=3)
    assert Image.open(io.BytesIO(stored_image(colour, where="x"))).mode == "RGB"


def cut_behind(data: bytes, count: int) -> bytes:
    return data[:-count]


BAD = {
    "report": (lambda: dicom(ramp(), PixelData=None), "a DICOM object without pixels"),
    "no size": (lambda: dicom(ramp(), Rows=None), "a DICOM object without pixels"),
    "truncated": (lambda: cut_behind(dicom(ramp()), 30), "truncated DICOM file .pixels of 320"),
    "truncated header": (lambda: dicom(ramp())[:500], "DICOM"),
    "only a preamble": (lambda: bytes(128) + b"DICM", "a DICOM object without pixels"),
    "0 frames": (lambda: dicom(ramp(), NumberOfFrames=0), "a DICOM image of 0 frames"),
    "0 rows": (lambda: dicom(ramp(), Rows=0), "image of 20 x 0 has no pixels"),
    "absurd size": (
        lambda: dicom(ramp(), Rows=65535, Columns=65535),
        "image of 65535 x 65535 has more than 100,000,000 pixels",
    ),
    "many frames": (lambda: dicom(ramp(), NumberOfFrames=2**31 - 1), "truncated DICOM file"),
    "few pixels": (lambda: dicom(ramp(), Rows=9000, Columns=9000), "truncated DICOM file"),
    "bits": (lambda: dicom(ramp(), BitsAllocated=12), "damaged DICOM file .8 of 12 bits"),
    "more bits than there are": (lambda: dicom(ramp(), BitsStored=9), "damaged DICOM file .9 of 8"),
    "samples": (
        lambda: dicom(ramp(), SamplesPerPixel=2),
        "a DICOM image with 2 samples per pixel and a photometric interpretation other",
    ),
    "interpretation": (
        lambda: dicom(ramp(), PhotometricInterpretation="HSV"),
        "photometric interpretation other than MONOCHROME1, MONOCHROME2, PALETTE COLOR; export",
    ),
    "slope": (lambda: dicom(ramp(), RescaleSlope=0), "damaged DICOM file .RescaleSlope"),
    "compressed, damaged": (
        lambda: dicom_compressed(dataset(ramp()), "JPEGBaseline8Bit", [b"\xff\xd8 no image"]),
        "damaged DICOM file",
    ),
    "compressed, larger than said": (
        lambda: dicom_compressed(
            dataset(ramp()), "JPEGBaseline8Bit", [encoded(ramp(shape=(400, 500)), "JPEG")]
        ),
        "compressed image of 500 x 400 with 1 samples, the header says 20 x 16 with 1",
    ),
    "compressed, cut": (
        lambda: cut_behind(
            dicom_compressed(dataset(ramp()), "JPEGBaseline8Bit", [encoded(ramp(), "JPEG")]), 60
        ),
        "truncated DICOM file",
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", ["bytes", "file"])
def test_bad_files_are_one_line(name, kind, tmp_path):
    make, message = BAD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom remarks on what we write
        data = make()
    if kind == "file":
        (tmp_path / "a.dcm").write_bytes(data)
        data = tmp_path / "a.dcm"
    with pytest.raises(DataError, match=rf"^row 7.*: .*{message}") as caught:
        decode_image(data, where="row 7")
    assert "\n" not in str(caught.value)


def test_nothing_of_a_patient_is_told(caplog, recwarn, capfd):
    """Names are not even in values that are of the wrong kind, which libraries quote."""
    caplog.set_level(logging.DEBUG)
    made = dataset(ramp(), PixelData=ramp().tobytes() + bytes(7))
    whole = dicom_bytes(made)
    hidden = whole.replace(b"MONOCHROME2 ", PATIENT.encode()[:12])
    window = dicom(ramp(), WindowCenter=1, WindowWidth=2, RescaleSlope=1234567890123)
    named = window.replace(b"1234567890123", PATIENT.encode()[:13])
    assert PATIENT.encode()[:12] in hidden
    assert PATIENT.encode()[:13] in named.partition(b"DS")[2]
    recwarn.clear()
    caplog.clear()
    open_image(whole)
    for data in (hidden, named, whole[:700], whole[:-100]):
        with pytest.raises(DataError) as caught:
            open_image(data)
        assert "Doe" not in str(caught.value)
        assert caught.value.__cause__ is None
    assert "Doe" not in caplog.text + "".join(capfd.readouterr())
    assert not len(recwarn)


def test_pydicom_logs_again_afterwards():
    log = logging.getLogger("pydicom")
    level = log.level
    with pytest.raises(DataError):
        open_image(dicom(ramp())[:300])
    assert log.level == level


def by_pydicom(path: Path) -> np.ndarray:
    """The first frame in shades or colours from 0 to 255, by pydicom's functions alone."""
    processing = pydicom.pixels.processing
    header = pydicom.Dataset()
    pixels = pydicom.pixels.pixel_array(path, ds_out=header, index=0)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        colours = processing.apply_color_lut(pixels, header)
        return colours * (255 / np.iinfo(colours.dtype).max)
    if header.SamplesPerPixel == 3:
        return pixels * (255 / (2**header.BitsStored - 1))
    values = processing.apply_modality_lut(pixels, header)
    shades = processing.apply_voi_lut(values, header).astype(float)
    if "VOILUTSequence" in header:
        low, high = 0, 2 ** header.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif "WindowWidth" in header:
        low, high = processing.apply_voi_lut(np.array([-1e9, 1e9]), header)
    elif values.dtype == np.uint8 and header.BitsStored == 8:
        low, high = 0, 255
    else:
        low, high = shades.min(), shades.max()
    shades = (shades - low) * (255 / max(high - low, 1))
    if header.PhotometricInterpretation == "MONOCHROME1":
        shades = 255 - shades
    return np.repeat(shades[..., None], 3, axis=2)


NOT_AS_PYDICOM = {
    "OBXXXX1A_expb.dcm": "it takes palettes of big-endian files for little-endian",
    "OBXXXX1A_expb_2frame.dcm": "likewise",
    "eCT_Supplemental.dcm": "it does not look for windows of frames",
    "OT-PAL-8-face.dcm": "it wants a transfer syntax",
    "SC_rgb_jpeg.dcm": "it reads no compressed pixels in implicit encoding",
    "image_dfl.dcm": "it looks for pixels in deflated data",
}


@pytest.mark.parametrize(
    ("package", "folder"),
    [("pydicom", "data/test_files"), ("data_store", "data")],
    ids=["pydicom", "pydicom-data"],
)
def test_shown_as_by_pydicom(package, folder):
    """Shapes, kinds of pixels and transfer syntaxes as they are found in hospitals."""
    reason = "pydicom-data, with more of its examples, is not installed"
    found = Path(pytest.importorskip(package, reason=reason).__path__[0]) / folder
    same = 0
    for path in sorted(found.glob("*.dcm")):
        if path.name in NOT_AS_PYDICOM or path.stat().st_size > 1 << 20:
            continue
        try:
            image = open_image(path)
        except DataError:
            continue  # no image, or no codec for it
        assert np.abs(np.asarray(image) - by_pydicom(path)).max() < 0.501, path.name
        same += 1
    if not same:
        pytest.skip("pydicom came without its examples")
    assert same > 30
