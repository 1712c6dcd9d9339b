"""MeQSum."""

from openpyxl import Workbook

NAME = "MeQSum_ACL2019_BenAbacha_Demner-Fushman.xlsx"


def records(count=30):
    """Rows as in the release: a message with line ends, names with and without .xml."""
    return [
        [
            f"{10000 + number}{'.xml' * (number % 2)}.txt",
            f"SUBJECT: drug {number}\nMESSAGE: who makes drug {number}?  Mine ran out.",
            f"Who manufactures drug {number}?",
        ]
        for number in range(count)
    ]


def write_workbook(folder, rows, *, header=("File", "CHQ", "Summary")):
    """The workbook; like the real one it claims many more columns than it has."""
    folder.mkdir(parents=True, exist_ok=True)
    workbook = Workbook()
    sheet = workbook.active
    sheet.title = "QS"
    for row in [header, *rows]:
        sheet.append(list(row))
    sheet.cell(row=1, column=40).value = None
    workbook.save(folder / NAME)
    return folder


def _build(folder):
    write_workbook(folder, records())


BUILDERS = {"meqsum": _build}
