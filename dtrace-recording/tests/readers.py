"""Do the programs that docs/ndjson.md names read lines of JSON as it says?

Runs the page's examples:  readers.py PAGE    in a directory with reads.ndjson
"""

import json
import re
import subprocess
import sys

IDS = [2**64 - 2, 2**64 - 3, 2**64 - 4]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def run_commands(block):
    """Each line `$ COMMAND` is followed by what it prints."""
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
        ran = subprocess.run(command, shell=True, check=True, capture_output=True, text=True)
        assert ran.stdout == expected, f"{command}\n{ran.stdout}"


def main():
    with open(sys.argv[1]) as file:
        page = file.read()
    commands, programs = blocks(page, "console"), blocks(page, "python")
    assert len(commands) == 1 and len(programs) == 3, "the examples are not found"
    for block in commands:
        run_commands(block)
    names = {}
    for program in programs:
        exec(program, names)
    with open("reads.ndjson") as lines:
        fired = [event for event in map(json.loads, lines) if event["event"] == "firing"]
    pandas, polars, duckdb = names["pandas"], names["polars"], names["duckdb"]

    # What the page says of jq.
    version = subprocess.run(["jq", "--version"], check=True, capture_output=True, text=True).stdout
    major, minor = re.match(r"jq-(\d+)\.(\d+)", version).groups()
    program = 'select(.event == "firing" and .statement == 1) | .values.id'
    copied = subprocess.run(["jq", "-c", program, "reads.ndjson"], check=True, capture_output=True, text=True)
    copied = [int(line) for line in copied.stdout.split()]
    assert (copied == IDS) == ((int(major), int(minor)) >= (1, 7)), f"{version}: {copied}"

    # Of pandas.
    entered = names["entered"]
    assert entered["id"].dtype == "uint64" and list(entered["id"]) == IDS, entered
    table = pandas.read_json("reads.ndjson", lines=True)
    assert table["cpu"].dtype == "float64", table.dtypes
    several = pandas.DataFrame([event["values"] for event in fired])
    assert several["id"].dtype == "float64", several.dtypes

    # Of polars.
    entries = names["entries"]
    assert str(entries.schema["id"]) == "Int128" and entries["id"].to_list() == IDS, entries
    assert entries["id"].cast(polars.UInt64).to_list() == IDS

    # Of DuckDB.
    assert names["counted"] == [("read", 3)], names["counted"]
    assert [row[0] for row in duckdb.sql("SELECT id FROM 'ids.parquet'").fetchall()] == IDS
    uncast = "SELECT values.id AS id FROM read_json_auto('reads.ndjson') WHERE statement = 1"
    duckdb.sql(uncast).write_parquet("rounded.parquet")
    rounded = duckdb.sql("SELECT id, typeof(id) FROM 'rounded.parquet'").fetchall()
    assert {kind for _, kind in rounded} == {"DOUBLE"}, rounded
    print(f"{version.strip()}, pandas {pandas.__version__}, polars {polars.__version__}, DuckDB {duckdb.__version__}")


if __name__ == "__main__":
    main()
