"""Runs queries in Spark and compares their rows: spark_sql.py FOLDER, which bench/spark-sql.mjs writes."""

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession

folder = Path(sys.argv[1])
plan = json.loads((folder / "plan.json").read_text())
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.ui.showConsoleProgress", "false")
    .config("spark.sql.shuffle.partitions", "1")
    .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
for name, path in plan["tables"].items():
    spark.read.json(path).createOrReplaceTempView(name)


def plain(value: object) -> object:
    # JSON has one kind of number.
    return int(value) if isinstance(value, float) and value.is_integer() else value


failures = 0
for ansi in ("true", "false"):
    spark.conf.set("spark.sql.ansi.enabled", ansi)
    for case in plan["cases"]:
        columns = case["columns"]

        def key(row: dict) -> str:
            return json.dumps([plain(row[name]) for name in columns])

        found = sorted(key(row.asDict(recursive=True)) for row in spark.sql(case["sql"]).collect())
        expected = sorted(key(row) for row in case["rows"])
        if found == expected and len(found) > 0:
            print(f"equal: {case['name']}, ANSI {ansi}: {len(found)} rows")
            continue
        failures += 1
        print(f"other: {case['name']}, ANSI {ansi}: {len(found)} rows, expected {len(expected)}")
        for one, other in list(zip(found, expected))[:3]:
            if one != other:
                print(f"  found    {one}\n  expected {other}")
print(f"Spark {spark.version}: {failures} of {2 * len(plan['cases'])} differ")
sys.exit(1 if failures else 0)
