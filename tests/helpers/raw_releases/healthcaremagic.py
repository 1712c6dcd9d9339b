"""HealthCareMagic (MedDialog)."""


def record(number, **changes):
    """One record; ``changes`` replace the description or the dialogue."""
    description = changes.get("description", f"Q. What does finding {number} mean?")
    dialogue = changes.get(
        "dialogue",
        f"Patient:\nHi doctor, I have finding {number}.\nIs it bad? \n\n"
        f"Doctor:\nHi.  Finding {number} is harmless.\n",
    )
    return (
        f"id={number}\nhttps://www.healthcaremagic.com/questions/q/{number}\n\n"
        f"Description\n{description}\n\nDialogue\n{dialogue}\n\n\n\n"
    )


def write_files(folder, *lists):
    """A file per list of records, the first with a byte-order mark and all with CRLF."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, records in enumerate(lists, start=1):
        text = "".join(records).replace("\n", "\r\n")
        encoding = "utf-8-sig" if number == 1 else "utf-8"
        path = folder / f"healthcaremagic_dialogue_{number}.txt"
        path.write_bytes(text.encode(encoding, errors="surrogateescape"))
    return folder


def _build(folder):
    # Numbers start again in the second file; a consultation of the other site is beside them.
    second = [record(n).replace("finding", "test") for n in range(1, 13)]
    write_files(folder, [record(n) for n in range(1, 19)], second)
    (folder / "icliniq_dialogue.txt").write_text(record(1, description="Q. Of another site?"))


BUILDERS = {"healthcaremagic": _build}
