"""Do the programs that docs/ndjson.md names read lines of JSON as it says?

Runs the page's examples:  readers.py PAGE    in a directory with reads.ndjson
"""

import json
import re
import subprocess
import sys

IDS = [2**64 - 2, 2**64 - 3, 2**64 - 4]
OTHER_ID = 2**64 - 9

# More than DuckDB samples.
MANY = 20_600


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def run_commands(block):
    """Each line `$ COMMAND` is followed by what it prints."""
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
        ran = subprocess.run(command, shell=True, check=True, capture_output=True, text=True)
        assert ran.stdout == expected, f"{command}\n{ran.stdout}"


def run_programs(page):
    names = {}
    for program in blocks(page, "python"):
        exec(program, names)
    names["duckdb"].sql("DROP TABLE events")
    assert names["entered"]["id"].dtype == "uint64"
    assert names["entries"].schema["id"] == names["polars"].UInt64
    read = [row[0] for row in names["duckdb"].sql("SELECT id FROM 'ids.parquet'").fetchall()]
    assert list(names["entered"]["id"]) == names["entries"]["id"].to_list() == read
    return names


def jq(filter):
    ran = subprocess.run(["jq", "-c", filter, "reads.ndjson"], check=True, capture_output=True, text=True)
    return ran.stdout.split()


def main():
    with open(sys.argv[1]) as file:
        page = file.read()
    commands = blocks(page, "console")
    assert len(commands) == 1 and len(blocks(page, "python")) == 3, "the examples are not found"
    run_commands(commands[0])
    names = run_programs(page)
    pandas, polars, duckdb = names["pandas"], names["polars"], names["duckdb"]
    assert list(names["entered"]["id"]) == IDS, names["entered"]
    assert names["counted"] == [("read", 3)], names["counted"]

    # What the page says about jq.
    version = subprocess.run(["jq", "--version"], check=True, capture_output=True, text=True).stdout
    major, minor = re.match(r"jq-(\d+)\.(\d+)", version).groups()
    copied = [int(line) for line in jq('select(.event == "firing" and .statement == 1) | .values.id')]
    assert (copied == IDS) == ((int(major), int(minor)) >= (1, 7)), f"{version}: {copied}"

    # About pandas.
    everything = pandas.read_json("reads.ndjson", lines=True)
    assert everything["cpu"].dtype == "float64", everything.dtypes
    fired = [event["values"] for event in names["events"] if event["event"] == "firing"]
    assert pandas.DataFrame(fired)["id"].dtype == "float64"

    # About DuckDB.
    uncast = "SELECT values.id AS id FROM read_json('reads.ndjson') WHERE statement = 1"
    duckdb.sql(uncast).write_parquet("rounded.parquet")
    rounded = duckdb.sql("SELECT id, typeof(id) FROM 'rounded.parquet'").fetchall()
    assert {kind for _, kind in rounded} == {"DOUBLE"}, rounded

    # A long session: what comes first at its end is read as well.
    with open("reads.ndjson") as file:
        start, *rest = file.readlines()
    first = json.loads(rest[0])
    first["values"]["id"] = OTHER_ID
    with open("reads.ndjson", "w") as file:
        file.writelines([start] + [json.dumps(first) + "\n"] * MANY + rest)
    names = run_programs(page)
    assert list(names["entered"]["id"]) == [OTHER_ID] * MANY + IDS
    assert names["counted"] == [("read", 3)], names["counted"]
    ended = names["table"].filter(polars.col("event") == "stop")
    assert ended["outcome"].struct.field("firings").to_list() == [6]
    few = polars.read_ndjson("reads.ndjson", infer_schema_length=100)
    assert "outcome" not in few.schema, few.schema

    print(f"{version.strip()}, pandas {pandas.__version__}, polars {polars.__version__}, DuckDB {duckdb.__version__}")


if __name__ == "__main__":
    main()
