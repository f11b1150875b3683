"""Reads a Delta table by deltalake and by DuckDB's extensions, and prints what each saw.

delta_read.py FOLDER                  the table in a folder
delta_read.py ENDPOINT TOKEN C.S.T    the table of a Unity Catalog"""

import importlib
import json
import sys
from pathlib import Path

import deltalake
import duckdb


def connect(*extensions):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name in extensions:
        module = importlib.import_module(f"duckdb_extension_{name}")
        [file] = Path(module.__file__).parent.glob("extensions/*/*.duckdb_extension")
        connection.load_extension(str(file))
    return connection


def rows(result):
    return sorted(result.to_arrow_table().to_pylist(), key=lambda row: row["id"])


if len(sys.argv) == 2:
    table = deltalake.DeltaTable(sys.argv[1])
    seen = {
        "version": table.version(),
        "types": [str(field.type) for field in table.to_pyarrow_table().schema],
        "deltalake": sorted(table.to_pyarrow_table().to_pylist(), key=lambda row: row["id"]),
        "duckdb": rows(connect("delta").execute("SELECT * FROM delta_scan($1)", [sys.argv[1]])),
    }
else:
    endpoint, token, name = sys.argv[1:]
    catalog, schema, table = name.split(".")
    connection = connect("httpfs", "delta", "unity_catalog")
    connection.execute(f"CREATE SECRET (TYPE unity_catalog, TOKEN '{token}', ENDPOINT '{endpoint}', AWS_REGION 'us-east-1')")
    connection.execute(f"ATTACH '{catalog}' AS uc (TYPE unity_catalog)")
    seen = {
        "tables": connection.execute("SELECT schema, name FROM (SHOW ALL TABLES) WHERE database = 'uc'").fetchall(),
        "columns": connection.execute(f"SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = 'uc' AND table_name = '{table}'").fetchall(),
        "rows": rows(connection.execute(f"SELECT * FROM uc.{schema}.{table}")),
    }
print(json.dumps(seen, default=lambda value: value.isoformat()))
