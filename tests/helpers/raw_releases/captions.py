"""ROCO, and IU X-ray and PEIR Gross as bioCaption lays them out."""

from raw_releases.drawing import encoded


def write_image(path, seed, *, grey=False):
    """A small image; JPEG or PNG by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "JPEG" if path.suffix == ".jpg" else "PNG"
    path.write_bytes(encoded(seed, format=kind, grey=grey))


def write_roco(root, sizes=(("train", 12), ("validation", 4), ("test", 6))):
    """The tree below ``data``; ids and captions as the repository has them."""
    number = 0
    for split, size in sizes:
        folder = root / split / "radiology"
        captions, licences = [], ["ROCO_ID,PMC_ID,CC"]
        for _ in range(size):
            number += 1
            name, article = f"ROCO_{number:05d}", f"PMC{4000000 + number}_fig-{number}-g01.jpg"
            captions.append(f'{name}\t  CT scan no. {number}, a "nodule" (arrow).')
            licences.append(f"{name},{article},CC BY-NC")
            # The first image of each split comes from an older download.
            image = article if len(captions) == 1 else f"{name}.jpg"
            write_image(folder / "images" / image, number)
        (folder / "captions.txt").write_text("\n".join(captions) + "\n")
        (folder / "licences.txt").write_text("\n".join(licences) + "\n")
        other = root / split / "non-radiology"
        other.mkdir()
        (other / "captions.txt").write_text("ROCO_99999\t A drawing.\n")


def write_lists(folder, name, lists, *, grey=False):
    """A bioCaption folder: images of ``lists`` (file -> [(image, caption), ...])."""
    seed = 0
    for file, rows in lists.items():
        for image, _ in rows:
            seed += 1
            write_image(folder / f"{name}_images" / image, seed, grey=grey)
        text = "".join(f"{image}\t{caption}\n" for image, caption in rows)
        (folder / file).write_text(text, encoding="utf-8")


def iu_rows(reports):
    """Two images per report, with one caption."""
    return [
        (f"CXR{n}_IM-{n:04d}-{view}001.png", f"No acute disease {n}. The heart is XXXX, size {n}.")
        for n in reports
        for view in (1, 2)
    ]


def _roco(folder):
    write_roco(folder / "data")


def _iu_xray(folder):
    lists = {"train_images.tsv": iu_rows(range(1, 9)), "test_images.tsv": iu_rows(range(9, 12))}
    write_lists(folder / "iu_xray", "iu_xray", lists, grey=True)


def _peir_gross(folder):
    rows = [(f"{n:08d}.jpg", f"KIDNEY: Cut surface, case {n} ") for n in range(21)]
    # One image has two captions.
    lists = {
        "train_images.tsv": [*rows[:15], (rows[2][0], "Another description")],
        "test_images.tsv": rows[15:],
    }
    write_lists(folder, "peir_gross", lists)


BUILDERS = {"roco": _roco, "iu-xray": _iu_xray, "peir-gross": _peir_gross}
