/**
 * @file What requests to Unity Catalog and its answers look like, as JSON schemas: a part of the description that the
 * open-source server publishes, in our own words. Requests may have no other fields; answers may, as Databricks' do.
 */

const text = { type: 'string' } as const
const time = { type: 'integer' } as const
const properties = { type: 'object', additionalProperties: text } as const
const kept = {
  comment: text,
  owner: text,
  created_at: time,
  created_by: text,
  updated_at: time,
  updated_by: text,
} as const
const place = { catalog_name: text, schema_name: text } as const

const object = <P extends object>(fields: P, required: readonly (keyof P & string)[]) =>
  ({ type: 'object', properties: fields, required }) as const
const list = <N extends string>(name: N, item: object) =>
  object({ [name]: { type: 'array', items: item }, next_page_token: { type: ['string', 'null'] } }, [])

const catalog = object({ ...kept, name: text, properties, id: text }, ['name'])
const schema = object({ ...kept, name: text, catalog_name: text, full_name: text, properties, schema_id: text }, [
  'name',
  'catalog_name',
  'full_name',
])
const volume = object(
  {
    ...kept,
    ...place,
    name: text,
    full_name: text,
    volume_id: text,
    volume_type: { enum: ['MANAGED', 'EXTERNAL'] },
    storage_location: text,
  },
  ['name', 'catalog_name', 'schema_name', 'full_name', 'volume_type'],
)
const column = object(
  {
    name: text,
    type_text: text,
    type_json: text,
    type_name: {
      enum: `BOOLEAN BYTE SHORT INT LONG FLOAT DOUBLE DATE TIMESTAMP TIMESTAMP_NTZ STRING BINARY DECIMAL INTERVAL ARRAY
        STRUCT MAP CHAR NULL USER_DEFINED_TYPE TABLE_TYPE VARIANT`.split(/\s+/),
    },
    type_precision: { type: 'integer' },
    type_scale: { type: 'integer' },
    position: { type: 'integer', minimum: 0 },
    comment: text,
    nullable: { type: 'boolean' },
    partition_index: { type: 'integer' },
  },
  ['name', 'type_text', 'type_name', 'position'],
)
const table = object(
  {
    ...kept,
    ...place,
    name: text,
    table_type: { enum: ['MANAGED', 'EXTERNAL', 'VIEW', 'METRIC_VIEW', 'STREAMING_TABLE', 'MATERIALIZED_VIEW'] },
    data_source_format: { enum: ['DELTA', 'CSV', 'JSON', 'AVRO', 'PARQUET', 'ORC', 'TEXT'] },
    columns: { type: 'array', items: column },
    storage_location: text,
    properties,
    table_id: text,
  },
  ['name', 'catalog_name', 'schema_name', 'table_type'],
)

/** Answers, by the kind that the path names. */
export const ANSWERS = {
  catalogs: { one: catalog, list: list('catalogs', catalog) },
  schemas: { one: schema, list: list('schemas', schema) },
  volumes: { one: volume, list: list('volumes', volume) },
  tables: { one: table, list: list('tables', table) },
} as const

/** Bodies of POST requests, by the same. */
export const REQUESTS = {
  catalogs: { ...object({ name: text, comment: text, properties }, ['name']), additionalProperties: false },
  schemas: {
    ...object({ name: text, catalog_name: text, comment: text, properties }, ['name', 'catalog_name']),
    additionalProperties: false,
  },
  volumes: {
    ...object(
      { ...place, name: text, comment: text, volume_type: { enum: ['MANAGED', 'EXTERNAL'] }, storage_location: text },
      ['name', 'catalog_name', 'schema_name', 'volume_type'],
    ),
    additionalProperties: false,
  },
} as const
