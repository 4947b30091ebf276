"""Does a notebook run, and are its outputs those that it is published with?

Executes a copy:  execute.py [--update] NOTEBOOK    --update keeps the outputs of this run in the notebook.

A cell with the tag "live" traces this machine, so its output may differ. All others must print what they printed
before.
"""

import os
import re
import sys

import nbclient
import nbformat

# Building a crate takes minutes on a slow machine.
LIMIT = 1800

# How many pictures there are at least, and texts that must be in the output. The numbers are those of the recordings.
EXPECTED = {
    "tcp_lab_python.ipynb": ("image/png", 1, ["23", "120 system calls", "0 of 6 segments were retransmitted"]),
    "tcp_lab_rust.ipynb": ("image/svg+xml", 2, ["23 TCP segments", "120 system calls", "12 changes of state"]),
}

# Where a machine's own paths begin.
PRIVATE = re.compile(r"/(?:home|root|tmp|work|Users|usr/local|var)/[\w./-]*")


def fail(reason):
    sys.exit(f"notebooks: {reason}")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_live(cell):
    return "live" in cell.metadata.get("tags", [])


def text_of(cell):
    """Returns what the cell has printed, and the kinds of its other outputs."""
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream":
            parts.append(output.text)
        else:
            data = output.get("data", {})
            # A picture's text is its address in memory.
            pictures = sorted(kind for kind in data if kind.startswith("image/"))
            parts += pictures or [data.get("text/plain", "")]
    return "".join(parts)


def pictures_of(cells, kind):
    return sum(kind in output.get("data", {}) for cell in cells for output in cell.outputs)


def executed(file):
    notebook = nbformat.read(file, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    client = nbclient.NotebookClient(
        notebook,
        timeout=LIMIT,
        startup_timeout=120,
        record_timing=False,
        resources={"metadata": {"path": os.path.dirname(file)}},
    )
    try:
        client.execute()
    except nbclient.exceptions.CellExecutionError as error:
        fail(f"a cell of {file} fails:\n{error}")
    return notebook


def check_results(name, cells):
    kind, least, texts = EXPECTED[name]
    fixed = [cell for cell in cells if not is_live(cell)]
    printed = "\n".join(text_of(cell) for cell in fixed)
    for text in texts:
        if not re.search(rf"(?m)^{text}\b", printed):
            fail(f"{name} does not print {text!r}:\n{printed}")
    if pictures_of(fixed, kind) < least:
        fail(f"{name} has {pictures_of(fixed, kind)} pictures from recordings instead of {least}")


def check_live(name, cells):
    """Returns how many segments were traced."""
    live = [cell for cell in cells if is_live(cell)]
    if not live:
        return None
    printed = "\n".join(text_of(cell) for cell in live)
    table = re.search(r"(?m)^(\d+) TCP segments", printed)
    traced = int(table[1]) if table else 0
    # The handshake, the data and the close are more.
    if traced > 8 and "nothing lost" in printed and pictures_of(live, EXPECTED[name][0]) == 2:
        return traced
    if os.environ.get("DTRACE_CONSUMER_REQUIRE_LIVE") == "1":
        fail(f"the live cells of {name} have not traced:\n{printed}")
    print(f"notebooks: NOT RUN: the live cells of {name} cannot trace here")
    return 0


def compare(file, before, after):
    for old, new in zip(code_cells(before), code_cells(after), strict=True):
        if not is_live(old) and text_of(old) != text_of(new):
            fail(
                f"a cell of {file} prints something else than before (--update keeps it):\n"
                f"{old.source}\n-- before\n{text_of(old)}\n-- now\n{text_of(new)}"
            )


def check_privacy(file):
    with open(file) as text:
        for number, line in enumerate(text, 1):
            if path := PRIVATE.search(line):
                fail(f"line {number} of {file} names a path of a machine: {path[0]}")


def main():
    *options, file = sys.argv[1:]
    if options not in ([], ["--update"]):
        fail("the only option is --update")
    name = os.path.basename(file)
    before = nbformat.read(file, as_version=4)
    after = executed(file)
    cells = code_cells(after)
    check_results(name, cells)
    traced = check_live(name, cells)
    if options:
        # Kernels write their own versions here.
        after.metadata = before.metadata
        nbformat.write(after, file)
    else:
        compare(file, before, after)
    check_privacy(file)
    live = "" if traced is None else f", {traced} segments traced live"
    print(f"notebooks: {name}: {len(cells)} cells{live}")


if __name__ == "__main__":
    main()
