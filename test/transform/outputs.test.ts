/** @file Transformations write any format: whole files, together or not at all, and none that they read. */

import { spawn } from 'node:child_process'
import { copyFile, link, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { writeDelta } from '../../src/data/delta/write-delta.js'
import { writeRows } from '../../src/data/writers/write-rows.js'
import { dedupeRows } from '../../src/transform/dedupe.js'
import { applyRules } from '../../src/transform/rules.js'
import { splitRows } from '../../src/transform/split.js'
import { unifySources } from '../../src/transform/unify.js'
import { valuesOf } from '../support/golden-rows.js'
import { isLong } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const RECIPES = fileURLToPath(new URL('../../examples/recipes/', import.meta.url))
const folder = temporaryDirectory()
const at = (name: string): string => join(folder, name)

const ROWS = [
  { id: 0, text: 'a first text', tags: ['x'] },
  { id: 1, text: 'a second text', tags: [] },
  { id: 2, text: 'a first text', tags: null },
  { id: 3, text: 'a third text', tags: ['y', 'z'] },
]

describe('a transformation', () => {
  it.each(['kept.jsonl', 'kept.parquet', 'kept.arrow', 'kept/', 'kept.delta'])(
    'writes the format that the end of the path names (%s)',
    async (name) => {
      const removed = at(`${name.replace(/\W/g, '-')}-removed.csv`)
      // Twice: what is there is replaced.
      for (let run = 0; run < 2; run++)
        await dedupeRows({ dataset: ROWS, output: at(name), removed, columns: ['text'], threshold: false })
      expect(await valuesOf(at(name))).toEqual(ROWS.filter(({ id }) => id !== 2))
      expect(await readFile(removed, 'utf8')).toBe(
        'id,text,tags,removed_row,removed_reason,removed_similarity,removed_for\r\n2,a first text,,row 3,equal,,\r\n',
      )
    },
  )

  it('makes instructions and one data set of several as Parquet, Arrow and Delta too', async () => {
    const rules = `${RECIPES}lending-club.yaml`
    for (const name of ['made.jsonl', 'made.parquet', 'made.delta'])
      await applyRules({ dataset: `${RECIPES}synthetic-loans.jsonl`, rules, output: at(name) })
    const made = await valuesOf(at('made.jsonl'))
    expect(made).toHaveLength(38)
    expect(await valuesOf(at('made.parquet'))).toEqual(made)
    expect(await valuesOf(at('made.delta'))).toEqual(made)
    for (const name of ['all.jsonl', 'all.arrow'])
      await unifySources({ mapping: `${RECIPES}unify.yaml`, output: at(name) })
    const all = (await valuesOf(at('all.jsonl'))) as { instruction: string }[]
    const asText = ({ instruction }: { instruction: string }): string => instruction
    expect(((await valuesOf(at('all.arrow'))) as { instruction: string }[]).map(asText)).toEqual(all.map(asText))
  })

  it('gives all splits the columns of the whole, also one without rows', async () => {
    const rows = [
      { id: 0, late: null },
      { id: 1, late: 2 },
      { id: 2.5, late: null },
    ]
    const { splits } = await splitRows({
      dataset: rows,
      outputDir: at('parts'),
      splits: { a: 0.98, b: 0.02 },
      format: 'parquet',
    })
    expect(splits).toMatchObject({ a: { path: at('parts/a.parquet'), rows: 3 }, b: { rows: 0 } })
    expect(await valuesOf(at('parts/b.parquet'))).toEqual([])
    expect(await valuesOf(at('parts/a.parquet'))).toHaveLength(3)
  })

  it('names the row whose value a format cannot hold, and leaves all of its files as they were', async () => {
    const rows = [{ text: 'a' }, { text: 'a' }, { text: 'b\ud83d' }]
    await writeFile(at('old.csv'), 'old')
    const options = { dataset: rows, output: at('old.csv'), removed: at('gone.jsonl'), threshold: false } as const
    await expect(dedupeRows(options)).rejects.toThrow(
      /expected text that UTF-8 has a form of .*old\.csv.* row 2, got half/,
    )
    expect(await readFile(at('old.csv'), 'utf8')).toBe('old')
    expect((await readdir(folder)).filter((name) => name.startsWith('.') || name === 'gone.jsonl')).toEqual([])
    await expect(dedupeRows({ ...options, output: at('x.txt') })).rejects.toThrow(
      'expected a path that ends in .jsonl, .csv, .parquet, .arrow, or .feather for output, or in / for a Delta table, got',
    )
  })

  it('writes no file that it reads, under whatever name', async () => {
    await mkdir(at('in'))
    await writeRows(ROWS, at('in/rows.jsonl'))
    const before = await readFile(at('in/rows.jsonl'), 'utf8')
    await symlink(at('in/rows.jsonl'), at('soft.jsonl'))
    await link(at('in/rows.jsonl'), at('hard.jsonl'))
    await copyFile(at('in/rows.jsonl'), at('other.jsonl'))
    const message = 'expected a file that no rows are read from for output, got'
    for (const output of ['in/rows.jsonl', 'soft.jsonl', 'hard.jsonl']) {
      for (const dataset of [at('in/rows.jsonl'), at('in'), at('in/*.jsonl'), [at('other.jsonl'), at('in/rows.jsonl')]])
        await expect(dedupeRows({ dataset, output: at(output) })).rejects.toThrow(message)
      await expect(
        dedupeRows({ dataset: at('other.jsonl'), output: at('new.jsonl'), removed: at(output), evaluation: at('in') }),
      ).rejects.toThrow(message)
      await expect(writeRows(at('in'), at(output))).rejects.toThrow(message)
    }
    await expect(splitRows({ dataset: at('in'), outputDir: at('in'), splits: { rows: 1 } })).rejects.toThrow(message)
    await expect(
      dedupeRows({ dataset: at('other.jsonl'), output: at('soft.jsonl'), removed: at('hard.jsonl') }),
    ).rejects.toThrow('expected a file of its own for each output')
    await writeDelta(ROWS, at('table'))
    await expect(dedupeRows({ dataset: at('table'), output: at('table/') })).rejects.toThrow(message)
    expect(await readFile(at('in/rows.jsonl'), 'utf8')).toBe(before)
  })

  it('leaves what was there when it is killed, and writes the same rows when it runs again', async () => {
    const script = fileURLToPath(new URL('dedupe-child.mjs', import.meta.url))
    await mkdir(at('killed'))
    const paths = [at('killed/kept.parquet'), at('killed/removed.jsonl')] as const
    const run = (delay: number, isKilled: boolean): Promise<string> =>
      new Promise((resolve) => {
        let output = ''
        const child = spawn(process.execPath, [script, ...paths, String(delay)], {
          stdio: ['ignore', 'pipe', 'inherit'],
        })
        child.stdout.on('data', (bytes) => {
          output += bytes
          if (isKilled) child.kill('SIGKILL')
        })
        child.once('close', () => resolve(output))
      })
    await writeRows([{ id: -1, text: 'old' }], paths[0])
    const old = await readFile(paths[0])
    for (const delay of isLong ? [0, 1, 2, 3] : [2]) {
      await run(delay, true)
      expect(await readFile(paths[0])).toEqual(old)
      await expect(readFile(paths[1])).rejects.toThrow('ENOENT')
    }
    expect(await run(0, false)).toBe('now\n1000\n')
    expect(((await valuesOf(paths[0])) as { id: number }[]).map(({ id }) => id)).toEqual([...Array(1000).keys()])
    expect(await valuesOf(paths[1])).toHaveLength(2000)
    expect((await readdir(at('killed'))).sort()).toEqual(['kept.parquet', 'removed.jsonl'])
  })
})
