"""Runs statements of Databricks in place of a warehouse: sqlglot parses each (databricks dialect), DuckDB runs what it
asks of the staged files, and deltalake writes the tables. One JSON object per line in, one per line out."""

import glob
import json
import os
import re
import shutil
import sys

import duckdb
import pyarrow as pa
import sqlglot
from deltalake import DeltaTable, write_deltalake
from sqlglot import exp

VOLUMES, TABLES = sys.argv[1:3]
SIDE = {}  # by table: comment, tags, comments of columns, files that COPY INTO has read


class Failed(Exception):
    """A statement that is wrong, as the service says it."""


def path_of(table, request):
    parts = [part.name for part in table.parts]
    if any(not part for part in parts) or len(parts) > 3:
        raise Failed(f"[PARSE_SYNTAX_ERROR] {table.sql('databricks')}")
    missing = [request.get("catalog") or "workspace", request.get("schema") or "default"][: 3 - len(parts)]
    return os.path.join(TABLES, *[part.lower() for part in missing + parts])


def side_of(path):
    return SIDE.setdefault(path, {"comment": None, "tags": {}, "columns": {}, "loaded": [], "properties": {}, "empty": False})


def exists(path):
    return DeltaTable.is_deltatable(path) or SIDE.get(path, {}).get("empty", False)


def expect_table(path):
    if not exists(path):
        name = ".".join(f"`{part}`" for part in path[len(TABLES) + 1 :].split(os.sep))
        raise Failed(f"[TABLE_OR_VIEW_NOT_FOUND] The table or view {name} cannot be found. SQLSTATE: 42P01")


def files_at(path, names=None):
    if not path.startswith("/Volumes/") or len(path.split("/")) < 6:
        raise Failed(f"[PATH_NOT_FOUND] Path is not in a volume: {path}")
    root = VOLUMES + path.rstrip("/")
    if os.path.isdir(root):
        found = sorted(glob.glob(glob.escape(root) + "/**/*", recursive=True))
    else:
        found = sorted(glob.glob(root.replace("[", "[[]")))
    files = [file for file in found if os.path.isfile(file)]
    if names is not None:
        files = [file for file in files if os.path.relpath(file, root) in names]
        if len(files) < len(names):
            raise Failed(f"[PATH_NOT_FOUND] A file of FILES is not there: {names}")
    if not files:
        raise Failed(f"[PATH_NOT_FOUND] Path does not exist: {path}. SQLSTATE: 42K03")
    return files


def rows_of(query, request, extra=None):
    """The rows of a query: tables and files are given to DuckDB by names of their own."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    own = {each.alias_or_name.lower() for each in query.find_all(exp.CTE)}
    count = 0
    for table in list(query.find_all(exp.Table)):
        name = f"source_{count}"
        count += 1
        if extra is not None and table.name.startswith("/Volumes/"):
            rows = extra
        elif isinstance(table.this, exp.Func):
            rows = read_files(table.this, request)
            if rows is None:
                continue
        elif not table.db and table.name.lower() in own:
            continue
        else:
            path = path_of(table, request)
            expect_table(path)
            version = table.args.get("version")
            number = None if version is None else int(value_of(version.expression, request))
            try:
                rows = DeltaTable(path, version=number).to_pyarrow_table()
            except Exception as error:
                raise Failed(f"[DELTA_VERSION_NOT_FOUND] {error}") from error
        connection.register(name, rows)
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name or name))
        table.replace(exp.Table(this=exp.to_identifier(name), alias=alias))
    for placeholder in list(query.find_all(exp.Placeholder)):
        parameter = parameter_of(placeholder.name, request)
        kind = exp.DataType.build(parameter.get("type") or "STRING", dialect="databricks")
        value = parameter.get("value")
        literal = exp.null() if value is None else exp.Literal.string(value)
        placeholder.replace(exp.Cast(this=literal, to=kind))
    try:
        return connection.execute(query.sql("duckdb")).to_arrow_table()
    except duckdb.Error as error:
        raise Failed(f"[ANALYSIS] {error}") from error


def read_files(call, request):
    name = call.name if isinstance(call, exp.Anonymous) else call.sql_name()
    if name.lower() != "read_files":
        return None
    path = value_of(call.expressions[0], request)
    options = {each.this.name.lower(): each.expression.name for each in call.expressions[1:]}
    return parquet(files_at(path), options.get("format", ""))


def parquet(files, kind):
    if kind.lower() != "parquet":
        raise Failed(f"[UNSUPPORTED] format {kind}")
    return duckdb.connect().execute("SELECT * FROM read_parquet($1, union_by_name = true)", [files]).to_arrow_table()


def parameter_of(name, request):
    for parameter in request["parameters"]:
        if parameter["name"] == name:
            return parameter
    raise Failed(f"[UNBOUND_SQL_PARAMETER] Found the unbound parameter: {name}. SQLSTATE: 42P02")


def value_of(expression, request):
    if isinstance(expression, exp.Placeholder):
        return parameter_of(expression.name, request)["value"]
    return expression.name


def write(path, rows, mode, merge=False, properties=None, comment=None):
    side_of(path)["empty"] = False
    configuration = {key: value for key, value in (properties or {}).items() if key.startswith("delta.")}
    write_deltalake(
        path, rows, mode=mode, schema_mode="merge" if merge else ("overwrite" if mode == "overwrite" else None),
        configuration=configuration or None, description=comment,
    )


def counts(rows):
    return pa.table({"num_affected_rows": [rows], "num_inserted_rows": [rows]})


def create(tree, request):
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    path = path_of(target, request)
    if tree.args["kind"] != "TABLE":
        raise Failed(f"[UNSUPPORTED] CREATE {tree.args['kind']}")
    if exists(path) and not tree.args.get("replace"):
        if tree.args.get("exists"):
            return None
        raise Failed("[TABLE_OR_VIEW_ALREADY_EXISTS] The table already exists. SQLSTATE: 42P07")
    listed = tree.args.get("properties")
    comment, properties = None, {}
    for each in listed.expressions if listed else []:
        if isinstance(each, exp.SchemaCommentProperty):
            comment = each.this.name
        elif isinstance(each, exp.FileFormatProperty):
            pass
        elif type(each) is exp.Property:
            properties[each.name] = each.args["value"].name
        else:
            raise Failed(f"[UNSUPPORTED] {each.sql('databricks')}")
    rows = None
    columns = {}
    if tree.expression is not None:
        rows = rows_of(tree.expression, request)
    elif isinstance(tree.this, exp.Schema):
        fields = []
        for each in tree.this.expressions:
            empty = exp.select(exp.Cast(this=exp.null(), to=each.kind).as_(each.name)).limit(0)
            fields.append(duckdb.connect().execute(empty.sql("duckdb")).to_arrow_table().schema.field(0))
            for constraint in each.constraints:
                if isinstance(constraint.kind, exp.CommentColumnConstraint):
                    columns[each.name.lower()] = constraint.kind.this.name
        rows = pa.schema(fields).empty_table()
    side = side_of(path)
    if rows is None:
        # deltalake has no tables without columns: such a one is there in name alone until COPY INTO fills it.
        shutil.rmtree(path, ignore_errors=True)
        side["empty"] = True
    else:
        write(path, rows, "overwrite", properties=properties, comment=comment)
    side.update(comment=comment, properties=properties, columns=columns, loaded=[])
    return counts(rows.num_rows) if tree.expression is not None else None


def copy(tree, request):
    target = path_of(tree.this, request)
    expect_table(target)
    options = {}
    for each in tree.args["params"]:
        if each.expression is not None:
            options[each.name.upper()] = each.expression
        else:
            options[each.name.upper()] = {
                item.name.lower(): item.args["value"].name.lower() for item in each.expressions if isinstance(item, exp.Property)
            }
    side = side_of(target)
    (source,) = tree.args["files"]
    select = source.this if isinstance(source, exp.Subquery) else None
    if select is None:
        path = source.name
    else:
        path = select.find(exp.Table).this.name
    names = options.get("FILES")
    if names is not None:
        names = [each.name for each in (names.expressions or [names.this])]
    force = options.get("COPY_OPTIONS", {}).get("force") == "true"
    files = [
        file for file in files_at(path, names) if force or file not in side["loaded"]
    ]
    inserted = 0
    if files:
        rows = parquet(files, options["FILEFORMAT"].name)
        if select is not None:
            rows = rows_of(select, request, rows)
        merge = all(options.get(each, {}).get("mergeschema") == "true" for each in ("FORMAT_OPTIONS", "COPY_OPTIONS"))
        known = [] if side["empty"] else [each.name.lower() for each in DeltaTable(target).schema().fields]
        strange = [each for each in rows.column_names if each.lower() not in known]
        if strange and not merge:
            raise Failed(f"[COPY_INTO_SCHEMA_MISMATCH_WITH_TARGET_TABLE] {strange} are not in the table")
        there = {} if side["empty"] else {each.name.lower(): each.type for each in pa.schema(DeltaTable(target).schema().to_arrow())}
        for each in rows.schema:
            if type_text(there.get(each.name.lower(), each.type)) != type_text(each.type):
                raise Failed(f"[DELTA_FAILED_TO_MERGE_FIELDS] Failed to merge fields {each.name}")
        write(target, rows, "append", merge=not side["empty"], comment=side["comment"])
        inserted = rows.num_rows
        side["loaded"] += files  # by their paths alone: a file that is written again is not loaded again
    return pa.table({"num_affected_rows": [inserted], "num_inserted_rows": [inserted], "num_skipped_corrupt_files": [0]})


def insert(tree, request):
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    path = path_of(target, request)
    expect_table(path)
    rows = rows_of(tree.expression, request)
    if isinstance(tree.this, exp.Schema):
        rows = rows.rename_columns([each.name for each in tree.this.expressions])
    elif not tree.args.get("by_name"):
        rows = rows.rename_columns([each.name for each in DeltaTable(path).schema().fields])
    write(path, rows, "overwrite" if tree.args.get("overwrite") else "append")
    return counts(rows.num_rows)


def alter(tree, request):
    path = path_of(tree.this, request)
    expect_table(path)
    side = side_of(path)
    for action in tree.args["actions"]:
        if isinstance(action, exp.AlterColumn) and action.args.get("comment"):
            comment_column(path, action.name, action.args["comment"].name)
        elif isinstance(action, exp.AlterSet) and action.args.get("tag"):
            for pair in action.args["tag"][0].find_all(exp.EQ):
                side["tags"][pair.this.name] = pair.expression.name
        elif isinstance(action, exp.AlterSet):
            for pair in action.find_all(exp.Property):
                side["properties"][pair.name] = pair.args["value"].name
        else:
            raise Failed(f"[UNSUPPORTED] {tree.sql('databricks')}")


def comment_column(path, name, text):
    columns = [each.name.lower() for each in DeltaTable(path).schema().fields]
    if name.lower() not in columns:
        raise Failed(f"[UNRESOLVED_COLUMN] A column with name `{name}` cannot be resolved. SQLSTATE: 42703")
    side_of(path)["columns"][name.lower()] = text


def comment(tree, request):
    column = isinstance(tree.this, exp.Column)
    table = exp.Table(**{key: tree.this.args[name] for key, name in (("this", "table"), ("db", "db"), ("catalog", "catalog"))}) if column else tree.this
    path = path_of(table, request)
    expect_table(path)
    if column:
        comment_column(path, tree.this.name, tree.expression.name)
    else:
        side_of(path)["comment"] = tree.expression.name


def drop(tree, request):
    (table,) = tree.args["tables"]
    path = path_of(table, request)
    if not tree.args.get("exists"):
        expect_table(path)
    shutil.rmtree(path, ignore_errors=True)
    SIDE.pop(path, None)


def describe(tree, request):
    path = path_of(tree.this, request)
    expect_table(path)
    if tree.args.get("style") == "HISTORY":
        history = DeltaTable(path).history()
        return pa.table(
            {
                "version": [each["version"] for each in history],
                "timestamp": pa.array([each["timestamp"] * 1000 for each in history], pa.timestamp("us", "UTC")),
                "operation": [each["operation"] for each in history],
            }
        )
    comments = side_of(path)["columns"]
    fields = DeltaTable(path).schema().fields
    return pa.table(
        {
            "col_name": [each.name for each in fields],
            "data_type": [str(each.type.type).replace("integer", "int") for each in fields],
            "comment": pa.array([comments.get(each.name.lower()) for each in fields], pa.string()),
        }
    )


HANDLERS = {
    exp.Create: create,
    exp.Copy: copy,
    exp.Insert: insert,
    exp.Alter: alter,
    exp.Comment: comment,
    exp.Drop: drop,
    exp.Describe: describe,
}


def execute(request):
    # Databricks' DESCRIBE HISTORY takes LIMIT, which sqlglot does not know.
    text = re.sub(r"^(DESCRIBE HISTORY \S+) LIMIT (\d+)$", r"\1", request["statement"])
    limited = re.search(r"^DESCRIBE HISTORY \S+ LIMIT (\d+)$", request["statement"])
    try:
        trees = sqlglot.parse(text, dialect="databricks")
    except sqlglot.errors.ParseError as error:
        raise Failed(f"[PARSE_SYNTAX_ERROR] {error}") from error
    if len(trees) != 1:
        raise Failed(f"[PARSE_SYNTAX_ERROR] {len(trees)} statements")
    (tree,) = trees
    if isinstance(tree, exp.Query):
        return rows_of(tree, request)
    handler = HANDLERS.get(type(tree))
    if handler is None:
        raise Failed(f"[UNSUPPORTED] {request['statement'][:80]}")
    rows = handler(tree, request)
    return rows if limited is None else rows.slice(0, int(limited[1]))


NAMES = {
    pa.bool_(): "BOOLEAN", pa.int8(): "TINYINT", pa.int16(): "SMALLINT", pa.int32(): "INT", pa.int64(): "BIGINT",
    pa.float32(): "FLOAT", pa.float64(): "DOUBLE", pa.string(): "STRING", pa.large_string(): "STRING",
    pa.string_view(): "STRING", pa.binary(): "BINARY", pa.large_binary(): "BINARY", pa.date32(): "DATE",
}


def type_text(kind):
    if kind in NAMES:
        return NAMES[kind]
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "TIMESTAMP_NTZ"
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"ARRAY<{type_text(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"STRUCT<{', '.join(f'{each.name}: {type_text(each.type)}' for each in kind)}>"
    return str(kind).upper()


def value_text(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        return json.dumps(value, default=str, separators=(",", ":"), ensure_ascii=False)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def answer(rows, form):
    if rows is None:
        rows = pa.table({})
    result = {"columns": [{"name": each.name, "typeText": type_text(each.type)} for each in rows.schema]}
    if form == "ARROW_STREAM":
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        return {**result, "rows": [], "arrow": sink.getvalue().to_pybytes().hex(), "rowCount": rows.num_rows}
    return {**result, "rows": [[value_text(value) for value in row.values()] for row in rows.to_pylist()]}


def tables():
    found = []
    logs = [os.path.dirname(log) for log in glob.glob(TABLES + "/*/*/*/_delta_log")]
    for path in sorted(logs + [path for path, side in SIDE.items() if side["empty"]]):
        side = side_of(path)
        table = None if side["empty"] else DeltaTable(path)
        fields = [] if table is None else list(pa.schema(table.schema().to_arrow()))
        catalog, schema, name = os.path.relpath(path, TABLES).split(os.sep)
        columns = [
            {"name": each.name, "typeText": type_text(each.type), "comment": side["columns"].get(each.name.lower())}
            for each in fields
        ]
        found.append({
            "catalog": catalog, "schema": schema, "name": name, "columns": columns,
            "location": "file://" + path, "version": 0 if table is None else table.version(),
            **{key: side[key] for key in ("comment", "tags", "properties")},
        })
    return found


for line in sys.stdin:
    asked = json.loads(line)
    try:
        said = {"tables": tables()} if "statement" not in asked else answer(execute(asked), asked["format"])
    except Failed as error:
        said = {"failed": str(error)}
    except Exception as error:  # what no statement may cause
        said = {"failed": f"[INTERNAL] {type(error).__name__}: {error}"}
    print(json.dumps(said), flush=True)
