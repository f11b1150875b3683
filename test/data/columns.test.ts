/** @file The option `columns`: rows whose columns have other names. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { prepareDataset } from '../../src/data/dataset.js'
import { resolveDataOptions } from '../../src/data/options.js'
import { createTokenizer } from '../../src/tokenizer/tokenizer.js'
import { allRows } from '../support/read-rows.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const folder = temporaryDirectory()
const { tokenizer: files, config } = tinyByteLevelTokenizer()
const tokenizer = createTokenizer(files, config)

describe('columns', () => {
  it('give rows of other names their form, the same as if they had been renamed', async () => {
    const rows = [{ question: 'a', answer: ' b', id: 7 }]
    const columns = { prompt: 'question', completion: 'answer' }
    const renamed = [{ prompt: 'a', completion: ' b', id: 7 }]
    expect(await allRows(rows, columns)).toEqual(await allRows(renamed))
    expect(await prepareDataset(rows, tokenizer, { columns })).toEqual(await prepareDataset(renamed, tokenizer))
  })

  it('lead into objects by dots, but a column of that whole name comes first', async () => {
    const content = [{ role: 'user', content: 'a' }]
    const nested = { qa: { q: { text: 'a' }, a: ' b' }, 'qa.a': ' c' }
    expect(await allRows([nested], { prompt: 'qa.q.text', completion: 'qa.a' })).toMatchObject([
      { form: 'completion', prompt: 'a', completion: ' c' },
    ])
    expect(await allRows([{ data: { turns: content } }], { messages: 'data.turns' })).toMatchObject([
      { form: 'messages', messages: content },
    ])
    // Keys like 10 make the reader of JSON keep an object as a Map.
    const path = join(folder, 'numbered.jsonl')
    await writeFile(path, '{"x": {"b": "no", "10": "a"}, "2": " b"}\n')
    expect(await allRows(path, { prompt: 'x.10', completion: '2' })).toMatchObject([{ prompt: 'a', completion: ' b' }])
  })

  it('can exchange two names, and take the place of a column that has the name already', async () => {
    const swapped = { prompt: 'completion', completion: 'prompt' }
    expect(await allRows([{ prompt: 'a', completion: 'b' }], swapped)).toMatchObject([{ prompt: 'b', completion: 'a' }])
    const [row] = await allRows([{ text: 'short', body: 'long' }], { text: 'body' })
    expect(row).toEqual({ origin: { row: 1 }, form: 'text', text: 'long' })
  })

  it('columns may be missing in some rows where the form does without them', async () => {
    const rows = [
      { task: 'a', result: 'b' },
      { task: 'a', result: 'b', given: 'c' },
      { task: 'a', result: 'b', given: null, input: 'not meant' },
    ]
    const columns = { instruction: 'task', output: 'result', input: 'given' }
    const found = await allRows(rows, columns)
    expect(found.map((row) => row.form === 'alpaca' && row.input)).toEqual(['', 'c', ''])
  })

  it('are refused where no row has them: at the first row without a form, else at the end', async () => {
    await expect(
      allRows([{ question: 'a', answer: 'b' }], { prompt: 'qestion', completion: 'answer' }),
    ).rejects.toThrow(
      '[data] expected the column "qestion", which columns gives for prompt, in row 1, got question, answer; correct columns',
    )
    const rows = [{ task: 'a', result: 'b', given: 'c' }]
    await expect(allRows(rows, { instruction: 'task', output: 'result', input: 'gvien' })).rejects.toThrow(
      '[data] expected the column "gvien", which columns gives for input, in a row, got it in none; correct columns',
    )
    await expect(allRows([{}], { text: 'body' })).rejects.toThrow('in row 1, got no columns; correct columns')
    await expect(allRows([7 as unknown as object], { text: 'body' })).rejects.toThrow('an object for each row, got 7')
  })

  it('are checked by name, with the nearest one that is known', () => {
    const refused = (columns: unknown) => {
      try {
        resolveDataOptions({ columns } as object)
      } catch (error) {
        return (error as Error).message
      }
      return 'fine'
    }
    expect(refused({ promt: 'question' })).toBe(
      "[data] expected an object from columns that lowrank knows to columns of the rows, as { prompt: 'question' }, for " +
        'columns, got {promt}; did you mean prompt?',
    )
    for (const wrong of [{ prompt: 5 }, { prompt: '' }, [], 'question', { constructor: 'x' }])
      expect(refused(wrong)).toContain('expected an object from columns')
    expect(refused({})).toBe('fine')
    expect(resolveDataOptions({ columns: { text: 'body' } }).columns).toEqual({ text: 'body' })
  })
})
