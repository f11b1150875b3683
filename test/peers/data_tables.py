"""Opens what lowrank wrote, and writes tables for it to read: data_tables.py FOLDER. Prints one JSON object."""

import json
import os
import sys
from pathlib import Path

import deltalake
import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

folder = Path(sys.argv[1])
found = {}

found["pyarrow parquet"] = pq.read_table(folder / "rows.parquet").to_pylist()
found["pyarrow arrow"] = pa.feather.read_table(folder / "rows.arrow").to_pylist()
found["pyarrow csv rows"] = pa.csv.read_csv(
    folder / "rows.csv", parse_options=pa.csv.ParseOptions(newlines_in_values=True)
).num_rows


def query(sql: str) -> list:
    return duckdb.sql(sql).to_arrow_table().to_pylist()


found["duckdb parquet"] = query(f"select * from '{folder}/rows.parquet'")
found["duckdb jsonl rows"] = query(f"select count(*) as n from read_json_auto('{folder}/rows.jsonl')")[0]["n"]
found["duckdb csv rows"] = query(f"select count(*) as n from read_csv('{folder}/rows.csv', header = true)")[0]["n"]

ours = deltalake.DeltaTable(folder / "ours")
found["deltalake version"] = ours.version()
found["deltalake rows"] = ours.to_pyarrow_table().to_pylist()
deltalake.write_deltalake(folder / "ours", ours.to_pyarrow_table().slice(0, 1), mode="append")

message = pa.struct([("role", pa.string()), ("content", pa.string())])
schema = pa.schema([("id", pa.int64()), ("part", pa.string()), ("messages", pa.list_(message))])
rows = [{"id": i, "part": f"p {i % 3}", "messages": [{"role": "user", "content": f"c{i}"}]} for i in range(40)]
deltalake.write_deltalake(folder / "theirs", pa.Table.from_pylist(rows, schema=schema), partition_by=["part"])
theirs = deltalake.DeltaTable(folder / "theirs")
theirs.delete("id % 4 = 0")
theirs.create_checkpoint()
more = pa.Table.from_pylist([{"id": 99, "part": None, "messages": None}], schema=schema)
deltalake.write_deltalake(folder / "theirs", more, mode="append")
found["theirs"] = sorted(deltalake.DeltaTable(folder / "theirs").to_pyarrow_table().to_pylist(), key=lambda r: r["id"])
print(json.dumps(found), flush=True)
# Threads of the libraries may abort the process while the interpreter ends.
os._exit(0)
