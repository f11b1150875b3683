/**
 * @file One suite of the client for every Unity Catalog: the loopback workspace always, an open-source server where
 * LOWRANK_TEST_UC_URL names one, and a live workspace where LOWRANK_TEST_DATABRICKS_LIVE=catalog.schema is set beside
 * credentials. Elsewhere than on the loopback it works in a schema with a random name, which it deletes again.
 */

import { randomBytes } from 'node:crypto'
import { Ajv } from 'ajv'
import { describe, expect, it } from 'vitest'
import { connectDatabricks, type DatabricksClient } from '../../../src/databricks/client/connect.js'
import { downloadFile, uploadFile } from '../../../src/databricks/client/files/files.js'
import { readTable } from '../../../src/databricks/client/read-table.js'
import { executeStatement } from '../../../src/databricks/client/statements.js'
import {
  createSchema,
  createVolume,
  deleteSchema,
  deleteTable,
  deleteVolume,
  getCatalog,
  getSchema,
  getTable,
  getVolume,
  listCatalogs,
  listSchemas,
  listTables,
  listVolumes,
} from '../../../src/databricks/client/unity-catalog.js'
import { FIRST_WAREHOUSE } from '../../../src/testing/warehouses.js'
import { startWorkspace } from '../../../src/testing/workspace.js'
import { temporaryDirectory } from '../../support/tiny-model.js'
import { ANSWERS, REQUESTS } from '../../support/unity-catalog-schemas.js'

interface Target {
  readonly name: string
  readonly catalog: string
  /** Whether it has the Files API and SQL warehouses, which the open-source server lacks. */
  readonly isWorkspace: boolean
  open(): Promise<{ readonly client: DatabricksClient; close(): Promise<void> }>
}

const { LOWRANK_TEST_UC_URL, LOWRANK_TEST_UC_CATALOG = 'unity', LOWRANK_TEST_DATABRICKS_LIVE } = process.env
const ROOT = '/api/2.1/unity-catalog'
const noClose = async (): Promise<void> => {}

const TARGETS: readonly Target[] = [
  {
    name: 'the loopback workspace',
    catalog: 'main',
    isWorkspace: true,
    async open() {
      const workspace = await startWorkspace()
      const { url: host, token } = workspace
      const client = await connectDatabricks({ host, token, warehouseId: FIRST_WAREHOUSE })
      return { client, close: () => expectRequests(workspace.requests).finally(() => workspace.close()) }
    },
  },
  ...(LOWRANK_TEST_UC_URL
    ? [
        {
          name: `the server ${LOWRANK_TEST_UC_URL}`,
          catalog: LOWRANK_TEST_UC_CATALOG,
          isWorkspace: false,
          async open() {
            const token = process.env.LOWRANK_TEST_UC_TOKEN || 'not-used'
            return { client: await connectDatabricks({ host: LOWRANK_TEST_UC_URL, token }), close: noClose }
          },
        },
      ]
    : []),
  ...(LOWRANK_TEST_DATABRICKS_LIVE
    ? [
        {
          name: 'the live workspace',
          catalog: LOWRANK_TEST_DATABRICKS_LIVE.split('.')[0] as string,
          isWorkspace: true,
          open: async () => ({ client: await connectDatabricks(), close: noClose }),
        },
      ]
    : []),
]

const ajv = new Ajv({ strict: true, strictRequired: false, allowUnionTypes: true, allErrors: true })

/** What is wrong with a value, as ajv says it. */
function problemsOf(schema: object, value: unknown): string {
  const validate = ajv.compile(schema)
  return validate(value) ? '' : ajv.errorsText(validate.errors)
}

async function expectRequests(
  requests: readonly { readonly method: string; readonly path: string; readonly json?: unknown }[],
) {
  const posts = requests.filter(({ method, path }) => method === 'POST' && path.startsWith(ROOT))
  expect(posts.length).toBeGreaterThan(1)
  for (const { path, json } of posts) {
    const kind = path.slice(ROOT.length + 1) as keyof typeof REQUESTS
    expect([path, problemsOf(REQUESTS[kind], json)]).toEqual([path, ''])
  }
}

async function names<T extends { readonly name: string }>(items: AsyncIterable<T>): Promise<string[]> {
  const found: string[] = []
  for await (const { name } of items) found.push(name)
  return found
}

describe.each(TARGETS)('$name', ({ catalog, isWorkspace, open }) => {
  it('makes, finds, lists and deletes schemas, volumes and tables of a Unity Catalog, in the published form', async () => {
    const { client, close } = await open()
    const databricks = client
    const schema = `${catalog}.lowrank_${randomBytes(6).toString('hex')}`
    const [, schemaName = ''] = schema.split('.')
    const volume = `${schema}.files`
    const table = `${schema}.rows`
    /** A list as the server sends it. */
    const raw = (kind: keyof typeof ANSWERS, query = {}) =>
      client.json({ path: `${ROOT}/${kind}`, query, what: `the ${kind}` })
    const checks: [string, object, unknown][] = []
    try {
      expect(await names(listCatalogs({ databricks }))).toContain(catalog)
      checks.push(['catalog', ANSWERS.catalogs.one, await getCatalog(catalog, { databricks })])
      checks.push(['schema', ANSWERS.schemas.one, await createSchema(schema, { databricks, comment: 'of a test' })])
      await expect(createSchema(schema, { databricks })).rejects.toThrow(/ALREADY_EXISTS.*it is there already/)
      expect(await getSchema(schema, { databricks })).toMatchObject({ name: schemaName, comment: 'of a test' })
      expect(await names(listSchemas(catalog, { databricks }))).toContain(schemaName)
      checks.push(['volume', ANSWERS.volumes.one, await createVolume(volume, { databricks })])
      checks.push(['volume again', ANSWERS.volumes.one, await getVolume(volume, { databricks })])
      expect(await names(listVolumes(schema, { databricks }))).toEqual(['files'])
      if (isWorkspace) {
        const path = `/Volumes/${volume.replaceAll('.', '/')}/some rows.txt`
        const local = `${temporaryDirectory()}/rows.txt`
        await uploadFile(Buffer.from('rows'), path, { databricks })
        expect((await downloadFile(path, local, { databricks })).bytes).toBe(4)
        await executeStatement(`create table ${table} (id bigint, text string)`, { databricks })
        await executeStatement(`insert into ${table} values (1, 'one'), (2, 'two')`, { databricks })
        checks.push(['table', ANSWERS.tables.one, await getTable(table, { databricks })])
        const rows: unknown[] = []
        for await (const row of (await readTable(table, { databricks })).rows()) rows.push(row)
        expect(rows).toHaveLength(2)
      }
      expect(await names(listTables(schema, { databricks }))).toEqual(isWorkspace ? ['rows'] : [])
      const within = { catalog_name: catalog, schema_name: schemaName }
      checks.push(['catalogs', ANSWERS.catalogs.list, await raw('catalogs')])
      checks.push(['schemas', ANSWERS.schemas.list, await raw('schemas', { catalog_name: catalog })])
      checks.push(['volumes', ANSWERS.volumes.list, await raw('volumes', within)])
      checks.push(['tables', ANSWERS.tables.list, await raw('tables', within)])
      for (const [what, form, answer] of checks) expect([what, problemsOf(form, answer)]).toEqual([what, ''])
      await expect(deleteSchema(schema, { databricks })).rejects.toThrow(/not empty|not be empty|has/i)
    } finally {
      if (isWorkspace) await deleteTable(table, { databricks })
      await deleteVolume(volume, { databricks })
      expect(await deleteSchema(schema, { databricks })).toBe(true)
    }
    expect(await deleteSchema(schema, { databricks })).toBe(false)
    await close()
  })
})

it('the schemas of requests and answers refuse what is missing, of another type, or unknown', () => {
  const schema = { name: 's', catalog_name: 'c', full_name: 'c.s' }
  expect(problemsOf(ANSWERS.schemas.one, schema)).toBe('')
  expect(problemsOf(ANSWERS.schemas.one, { ...schema, created_at: 'now' })).toBe('data/created_at must be integer')
  expect(problemsOf(ANSWERS.schemas.list, { schemas: [{ name: 's' }] })).toContain(
    "must have required property 'full_name'",
  )
  expect(problemsOf(REQUESTS.volumes, { ...schema, schema_name: 's', volume_type: 'MANAGED' })).toBe(
    'data must NOT have additional properties',
  )
})
