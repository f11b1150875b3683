"""Delta tables with partitions: delta_partitions.py make FOLDER writes one, delta_partitions.py read FOLDER prints the rows of all as
deltalake and DuckDB have them."""

import datetime
import json
import os
import sys
from pathlib import Path

import deltalake
import duckdb
import duckdb_extension_delta
import pyarrow as pa

step, folder = sys.argv[1], Path(sys.argv[2])
PARTITIONS = ["text", "day", "count", "small", "flag", "price"]
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("text", pa.string()),
        ("day", pa.date32()),
        ("count", pa.int64()),
        ("small", pa.int16()),
        ("flag", pa.bool_()),
        ("price", pa.decimal128(7, 2)),
    ]
)
if step == "make":
    import decimal

    day = datetime.date(2024, 2, 29)
    rows = [
        {"id": 0, "text": "a b/%2F=", "day": day, "count": 5, "small": -3, "flag": True, "price": decimal.Decimal("1.50")},
        {"id": 1, "text": None, "day": None, "count": None, "small": None, "flag": None, "price": None},
    ]
    deltalake.write_deltalake(folder / "theirs", pa.Table.from_pylist(rows, schema=SCHEMA), partition_by=PARTITIONS)
    # Threads of the libraries may abort the process while the interpreter ends.
    os._exit(0)

duck = duckdb.connect()
duck.execute("set timezone = 'UTC'")
[extension] = Path(duckdb_extension_delta.__file__).parent.glob("extensions/*/delta.duckdb_extension")
duck.load_extension(str(extension))


def plain(row: dict) -> dict:
    return {name: str(v) if isinstance(v, (datetime.date, datetime.datetime)) or hasattr(v, "as_tuple") else v for name, v in row.items()}


def ordered(rows: list) -> list:
    return sorted(map(plain, rows), key=lambda row: row["id"])


found = {}
for name in ("ours", "theirs", "plain"):
    table = deltalake.DeltaTable(folder / name)
    found[f"deltalake {name}"] = ordered(table.to_pyarrow_table().to_pylist())
    found[f"duckdb {name}"] = ordered(duck.sql(f"select * from delta_scan('{folder / name}')").to_arrow_table().to_pylist())
    found[f"partitions {name}"] = table.metadata().partition_columns
print(json.dumps(found), flush=True)
os._exit(0)
