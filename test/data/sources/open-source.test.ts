/** @file What `dataset` may be: paths, rows, an object that reads rows; addresses and everything else are refused. */

import { describe, expect, it } from 'vitest'
import { prepareDataset } from '../../../src/data/dataset.js'
import { type DataSource, isDataSource, openSource } from '../../../src/data/sources/open-source.js'
import type { ReadContext, RowSource, SourceRow } from '../../../src/data/sources/row-source.js'
import { createTokenizer } from '../../../src/tokenizer/tokenizer.js'
import { allRows, readContext } from '../../support/read-rows.js'
import { tinyByteLevelTokenizer } from '../../support/tiny-tokenizer.js'

const { tokenizer: files, config } = tinyByteLevelTokenizer()
const tokenizer = createTokenizer(files, config)

/** A table of a server, read in two pages. */
class Table implements RowSource {
  readonly name = 'warehouse.rows'
  readonly seen: (ReadContext | 'check')[] = []

  async check(): Promise<void> {
    this.seen.push('check')
  }

  async *rows(context: ReadContext): AsyncGenerator<SourceRow> {
    this.seen.push(context)
    for (let row = 1; row <= 6; row++) {
      await context.turns.next()
      yield { value: new Map([['text', `row ${row}`]]), origin: { file: this.name, row } }
      context.onFraction(row / 6)
    }
    context.onLineage({ location: 'warehouse://rows@7', rows: 6 })
  }
}

describe('openSource', () => {
  it('takes an object that reads rows, and keeps what it tells of them', async () => {
    const table = new Table()
    expect(openSource(table)).toBe(table)
    expect((await allRows(table)).map((row) => [row.origin, row.form])[5]).toEqual([
      { file: 'warehouse.rows', row: 6 },
      'text',
    ])
    const fractions: (number | undefined)[] = []
    const onProgress = (_rows: number, fraction?: number) => fractions.push(fraction)
    const { examples, lineage } = await prepareDataset(table, tokenizer, { onProgress })
    expect([examples.length, lineage]).toEqual([6, [{ location: 'warehouse://rows@7', rows: 6 }]])
    expect([fractions[0], fractions.at(-1)]).toEqual([0, 1])
  })

  it('gives the signal to the source, which ends it within its work', async () => {
    const controller = new AbortController()
    const context = readContext(controller.signal)
    const rows = new Table().rows(context)
    await rows.next()
    controller.abort(new Error('enough'))
    await expect(rows.next()).rejects.toThrow('enough')
    expect(context.turns.signal).toBe(controller.signal)
  })

  it('takes an object that is iterable by its rows, whatever else it has', async () => {
    const frame = Object.assign([{ text: 'a' }], { rows: () => 'something else' })
    expect((await allRows(frame)).length).toBe(1)
  })

  it('names a source by its paths, or as rows of a program', () => {
    expect(openSource('a.jsonl').name).toBe('a.jsonl')
    expect(openSource(['a.jsonl', 'b/*.jsonl']).name).toBe('a.jsonl, b/*.jsonl')
    expect(openSource([{ text: 'a' }]).name).toBe('rows of a program')
  })

  it('refuses addresses in one wording that says what to do', () => {
    const words = (address: string, remedy: string) =>
      `[data] expected a file, a glob or rows, got "${address}"; ${remedy}`
    for (const [address, remedy] of [
      ['kaggle:org/name', 'data sets of Kaggle are fetched first: lowrank pull kaggle:org/name'],
      ['S3://bucket/rows.jsonl', 'such addresses are not read; download the file'],
      ['constructor://x', 'such addresses are not read; download the file'],
    ] as const) {
      expect(() => openSource(address)).toThrow(words(address, remedy))
      expect(() => openSource(['a.jsonl', address])).toThrow(words(address, remedy))
    }
  })

  it('refuses what holds no rows, by the name of the option', () => {
    for (const wrong of [5, null, undefined, {}, { rows: [] }, () => []]) {
      expect(isDataSource(wrong)).toBe(false)
      expect(() => openSource(wrong as unknown as DataSource, 'evalDataset')).toThrow(
        '[data] expected a path, a glob or an iterable of rows for evalDataset, got ',
      )
    }
    for (const right of ['a.jsonl', [], [{ text: 'a' }], new Table(), new Set()]) expect(isDataSource(right)).toBe(true)
    expect(isDataSource(' ')).toBe(false)
  })
})
