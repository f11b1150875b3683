/** @file Rows of queries by DuckDB: the same values as the file that is queried. */

import { expect, it } from 'vitest'
import { openSource } from '../../../src/data/sources/open-source.js'
import { goldenData, goldenRows, valuesOf } from '../../support/golden-rows.js'
import { readContext } from '../../support/read-rows.js'

it('a query gives the values that the Parquet reader gives of the same file', async () => {
  const context = readContext()
  const query = { sql: `select * from '${goldenData('snappy.parquet')}'` }
  await openSource(query).check?.()
  const rows = (await goldenRows()) as Record<string, unknown>[]
  // DuckDB's binding drops a byte order mark where a string begins with one.
  const texts = rows.map(({ text }) => (typeof text === 'string' ? text.replace(/^\ufeff/, '') : text))
  expect(await valuesOf(query, context)).toEqual(rows.map((row, index) => ({ ...row, text: texts[index] })))
  expect(context.lineage).toEqual([{ location: query.sql, rows: 60 }])
})

it('a query that does not run says why before any row is read', async () => {
  const query = { sql: "select text from 'no-such-file.parquet'" }
  await expect(openSource(query).check?.()).rejects.toThrow(/^\[data\] expected a query that DuckDB runs, got "select/)
  await expect(valuesOf({ sql: 'select 1 as a, 2 as a' })).rejects.toThrow('two columns that are called "a"')
  await expect(valuesOf({ sql: 'selec' })).rejects.toThrow('syntax error')
})
