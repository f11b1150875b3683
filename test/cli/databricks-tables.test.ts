/** @file `lowrank push dataset` and `lowrank databricks sql` against a loopback workspace. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { type CliResult, lowrank } from './run-cli.js'

let workspace: LoopbackWorkspace
let folder: string
beforeAll(async () => {
  workspace = await startWorkspace()
  folder = temporaryDirectory()
  const rows = [
    { id: 1, messages: [{ role: 'user', content: 'Hi\nthere' }] },
    { id: 2, messages: null },
  ]
  writeFileSync(join(folder, 'rows.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'))
})
afterAll(() => workspace.close())

function run(...line: readonly string[]): Promise<CliResult> {
  const env = {
    DATABRICKS_HOST: workspace.url,
    DATABRICKS_TOKEN: workspace.token,
    LOWRANK_STATE: join(folder, 'state'),
  }
  return lowrank(line, { env, cwd: folder })
}

test('lowrank push dataset makes a table, and lowrank databricks sql shows, prints and saves its rows', async () => {
  const table = 'main.default.cli'
  const details = ['--comment', 'two rows', '--tag', 'pii=no', '--tag', 'a=b=c', '--column-comment', 'id=the key']
  const pushed = await run('push', 'dataset', 'rows.jsonl', table, ...details)
  expect(pushed).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Pushed 2 rows to main\.default\.cli, version \d+\n$/),
  })
  expect(pushed.stderr).toMatch(/^Warehouse .+ \([0-9a-f]{16}\)/)
  expect((await workspace.state.executor.tables?.())?.[0]).toMatchObject({
    comment: 'two rows',
    tags: { pii: 'no', a: 'b=c' },
    columns: [{ name: 'id', comment: 'the key' }, { name: 'messages' }],
  })
  const again = await run('push', 'dataset', 'rows.jsonl', table)
  expect(again.code).not.toBe(0)
  expect(again.stderr).toMatch(/expected no table main\.default\.cli, got one/)
  const appended = [await run('push', 'dataset', 'rows.jsonl', table, '--mode', 'append', '--json')]
  appended.push(await run('push', 'dataset', 'rows.jsonl', `uc://${table}`, '--mode', 'append'))
  expect(JSON.parse(appended[0]?.stdout ?? '')).toMatchObject({ table, rows: 2, wasThere: false })
  expect(appended[1]?.stdout).toBe('main.default.cli has these 2 rows already; give --push-name to append them again\n')

  const query = `select id, messages from ${table} where id >= :least order by id`
  const shown = await run('databricks', 'sql', query, '--param', 'least:INT=1', '--limit', '3')
  const cell = '[{"role":"user","content":"Hi\\\\nthere"}]'
  expect(shown.stdout.replaceAll('\\n', '\\\\n')).toBe(`id  messages\n1   ${cell}\n1   ${cell}\n2   null\n3 rows\n`)
  const printed = await run(
    'databricks',
    'sql',
    query,
    '--param',
    'least:BIGINT=2',
    '--json',
    '--warehouse',
    'Serverless Starter Warehouse',
  )
  expect(printed.stdout).toBe('{"id":2,"messages":null}\n{"id":2,"messages":null}\n')
  const saved = await run('databricks', 'sql', `select id from ${table}`, '--output', 'out.csv')
  expect(saved.stdout).toBe('Wrote 4 rows to out.csv.\n')
  expect(readFileSync(join(folder, 'out.csv'), 'utf8').split('\r\n').sort()).toEqual(['', '1', '1', '2', '2', 'id'])
  const many = await run('databricks', 'sql', 'select id from range(0, 250)')
  expect([many.stdout.split('\n').length, many.stdout.endsWith('100 rows\n')]).toEqual([103, true])
  expect(many.stderr).toMatch(/There are more rows: --limit, --output and --json show them/)
  for (const { stdout, stderr } of [pushed, again, ...appended, shown, printed])
    expect(stdout + stderr).not.toContain(workspace.token)
})

test('lowrank push dataset and databricks sql say what is wrong before anything is asked', async () => {
  const before = workspace.requests.length
  const lines = [
    [['push', 'dataset', 'rows.jsonl'], /expected IN and TABLE, got one of them or none/],
    [['push', 'dataset', 'rows.jsonl', 'rows'], /expected a table as uc:\/\/CATALOG\.SCHEMA\.TABLE/],
    [['push', 'dataset', 'rows.jsonl', 'a.b.c@v3'], /expected a table without a version/],
    [['push', 'dataset', 'rows.jsonl', 'a.b.c', '--tag', 'pii'], /expected key=value for --tag, got "pii"/],
    [
      ['push', 'dataset', 'rows.jsonl', 'a.b.c', '--mode', 'upsert'],
      /expected 'append', 'overwrite', 'error' for --mode/,
    ],
    [['databricks', 'sql'], /expected a statement, got nothing/],
    [['databricks', 'sql', 'select 1', '--param', 'x:ARRAY<INT>=1'], /expected the type of a single value/],
    [['databricks', 'sql', 'select 1', '--output', 'x.txt'], /expected a path that ends in/],
    [['databricks', 'sql', 'select 1', '--output', 'x.csv', '--json'], /expected --output or --json, got both/],
  ] as const
  await Promise.all(
    lines.map(async ([line, message]) => {
      const { code, stderr } = await run(...line)
      expect(stderr).toMatch(message)
      expect(code).toBe(2)
    }),
  )
  expect(workspace.requests.length).toBe(before)
})
