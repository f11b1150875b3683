"""Writes the Parquet and Arrow files beside it, and what rows they hold: python test/golden/data/columnar.py (pyarrow 26.0.1).

The same 60 rows in every codec and form of pages that pyarrow writes. Pages are small, so that lists begin in one and end in the next.
"""

import datetime
import decimal
import json
import pathlib

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent
UTC = datetime.timezone.utc
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.int32())])
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("unsigned", pa.uint64()),
        ("small", pa.uint32()),
        ("text", pa.string()),
        ("messages", pa.list_(MESSAGE)),
        ("float", pa.float64()),
        ("single", pa.float32()),
        ("flag", pa.bool_()),
        ("day", pa.date32()),
        ("local", pa.timestamp("us")),
        ("instant", pa.timestamp("ms", tz="UTC")),
        ("clock", pa.time64("us")),
        ("price", pa.decimal128(10, 2)),
        ("huge", pa.decimal128(30, 3)),
        ("map", pa.map_(pa.string(), pa.int32())),
        ("nested", pa.struct([("deep", pa.struct([("lists", pa.list_(pa.list_(pa.int64())))])), ("name", pa.string())])),
        ("bytes", pa.binary()),
        ("numbers", pa.list_(pa.int32())),
    ]
)


def row(i: int) -> dict:
    messages = [
        {"role": "user", "content": f"question {i}"},
        None,
        {"role": "assistant", "content": f"answer {i} \U0001f600", "weight": i},
    ]
    return {
        "id": None if i % 11 == 0 else 2**53 + i if i % 7 == 0 else -i,
        "unsigned": 2**64 - 1 if i % 9 == 0 else i,
        "small": 2**32 - 1 - i,
        "text": f"\ufeffh\u00e9llo {i}" if i % 5 else None,
        "messages": None if i % 13 == 0 else messages[: i % 4],
        "float": i / 2 if i % 3 else None,
        "single": i / 4,
        "flag": i % 2 == 0 if i % 4 else None,
        "day": datetime.date(1969, 12, 20) + datetime.timedelta(days=i) if i % 6 else None,
        "local": datetime.datetime(1969, 12, 31, 23, 59, 59, 123456) + datetime.timedelta(seconds=i * 1000),
        "instant": datetime.datetime(2024, 1, 1, tzinfo=UTC) + datetime.timedelta(milliseconds=i),
        "clock": datetime.time(1, 2, 3, i * 1000),
        "price": decimal.Decimal(i - 30) / 100,
        "huge": decimal.Decimal("-12345678901234567890.123") + i,
        "map": [("a", i), ("b", None)] if i % 9 else None,
        "nested": {"deep": {"lists": [[i], [], None] if i % 3 else None}, "name": f"n{i}"} if i % 4 else None,
        "bytes": bytes([i, 255]),
        "numbers": list(range(i % 3)),
    }


def text(value: datetime.date | datetime.datetime | datetime.time, utc: bool = False) -> str:
    if not hasattr(value, "microsecond"):
        return value.isoformat()
    digits = "auto" if value.microsecond == 0 else "milliseconds" if value.microsecond % 1000 == 0 else "microseconds"
    plain = value.replace(tzinfo=None).isoformat(timespec=digits if digits != "auto" else "seconds")
    return plain + ("Z" if value.tzinfo else "")


def expected(value, kind: pa.DataType):
    """Tagged where JSON has no form: integers beyond 2^53, floats that are integers, bytes."""
    if value is None:
        return None
    if pa.types.is_list(kind):
        return [expected(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: expected(value[field.name], field.type) for field in kind}
    if pa.types.is_map(kind):
        return {key: item for key, item in value}
    if pa.types.is_integer(kind) and abs(value) > 2**53 - 1:
        return {"$integer": str(value)}
    if pa.types.is_floating(kind) and value.is_integer():
        return {"$float": int(value)}
    if isinstance(value, bytes):
        return {"$bytes": list(value)}
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (datetime.date, datetime.time)):
        return text(value)
    return value


table = pa.Table.from_pylist([row(i) for i in range(60)], schema=SCHEMA)
rows = [{field.name: expected(line[field.name], field.type) for field in SCHEMA} for line in table.to_pylist()]
(HERE / "rows.json").write_text("[\n" + ",\n".join(json.dumps(line) for line in rows) + "\n]\n")

for name, options in {
    "snappy": {},
    "zstd-v2": {"compression": "zstd", "data_page_version": "2.0", "data_page_size": 100, "write_batch_size": 5},
    "gzip": {"compression": "gzip", "data_page_size": 100, "write_batch_size": 7},
    "brotli-plain": {"compression": "brotli", "use_dictionary": False, "data_page_size": 100, "write_batch_size": 1},
    "lz4": {"compression": "lz4", "row_group_size": 17},
    "none-indexed": {"compression": "none", "write_page_index": True, "data_page_size": 50, "write_batch_size": 3},
    "deltas": {
        "compression": "snappy",
        "use_dictionary": False,
        "data_page_size": 400,
        "write_batch_size": 10,
        "column_encoding": {
            "id": "DELTA_BINARY_PACKED",
            "text": "DELTA_BYTE_ARRAY",
            "bytes": "DELTA_LENGTH_BYTE_ARRAY",
            "single": "BYTE_STREAM_SPLIT",
            "flag": "RLE",
            "messages.list.element.content": "DELTA_BYTE_ARRAY",
            "numbers.list.element": "DELTA_BINARY_PACKED",
        },
    },
    "old": {"compression": "snappy", "version": "1.0", "use_compliant_nested_type": False, "use_dictionary": False},
}.items():
    pq.write_table(table, HERE / f"{name}.parquet", **options)

# Fields that one message has are null in the others.
calls = pa.list_(pa.struct([("name", pa.string())]))
message = pa.struct([("role", pa.string()), ("content", pa.string()), ("tool_calls", calls)])
chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
forms = pa.schema([("messages", pa.list_(message)), ("tools", pa.string())])
pq.write_table(pa.Table.from_pylist([{"messages": chat}], schema=forms), HERE / "forms.parquet")

for codec in (None, "zstd", "lz4"):
    options = ipc.IpcWriteOptions(compression=codec)
    with ipc.new_file(HERE / f"{codec or 'none'}.arrow", SCHEMA, options=options) as writer:
        writer.write_table(table, max_chunksize=25)
    with ipc.new_stream(HERE / f"{codec or 'none'}.arrows", SCHEMA, options=options) as writer:
        writer.write_table(table, max_chunksize=25)


# Types that Parquet has no form of, and dictionaries that grow.
typed = pa.schema(
    [
        ("view", pa.string_view()),
        ("bytes view", pa.binary_view()),
        ("large", pa.large_string()),
        ("large list", pa.large_list(pa.int16())),
        ("pair", pa.list_(pa.uint8(), 2)),
        ("fixed", pa.binary(3)),
        ("half", pa.float16()),
        ("word", pa.dictionary(pa.uint16(), pa.string())),
        ("words", pa.list_(pa.dictionary(pa.int8(), pa.large_string()))),
        ("decimal", pa.decimal256(50, 4)),
        ("seconds", pa.time32("s")),
        ("nanoseconds", pa.timestamp("ns")),
        ("milliseconds", pa.date64()),
        ("nothing", pa.null()),
        ("empty", pa.struct([])),
    ]
)


def typed_row(i: int) -> dict:
    row = {
        "view": "short" if i % 2 else f"a text of more than twelve bytes {i}",
        "bytes view": bytes([i]) * (3 if i % 3 else 20),
        "large": f"l{i}",
        "large list": [i, None],
        "pair": [i, 255 - i],
        "fixed": bytes([i, 0, 255]),
        "half": i / 4,
        "word": f"word {i // 2}",
        "words": [f"w{i}", None, f"w{i - 1}"],
        "decimal": decimal.Decimal(i) * 10**40 / 8,
        "seconds": datetime.time(0, 0, i),
        "nanoseconds": datetime.datetime(2024, 1, 1) + datetime.timedelta(microseconds=i),
        "milliseconds": datetime.date(2024, 1, 1) + datetime.timedelta(days=i),
        "nothing": None,
        "empty": {},
    }
    return {name: None if i % 5 == index % 5 and i % 2 else value for index, (name, value) in enumerate(row.items())}


for name, new, options in (
    ("typed.arrow", ipc.new_file, ipc.IpcWriteOptions(emit_dictionary_deltas=True, unify_dictionaries=True)),
    ("typed.arrows", ipc.new_stream, ipc.IpcWriteOptions(emit_dictionary_deltas=True, compression="zstd")),
):
    with new(HERE / name, typed, options=options) as writer:
        batches = [pa.RecordBatch.from_pylist([typed_row(i) for i in range(at, at + 4)], schema=typed) for at in (0, 4)]
        writer.write_table(pa.Table.from_batches(batches))
