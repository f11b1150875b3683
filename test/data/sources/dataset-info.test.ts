/** @file Data sets that a dataset_info.json describes, as LLaMA-Factory has it. */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { DataSource } from '../../../src/data/sources/open-source.js'
import { allRows } from '../../support/read-rows.js'
import { rejection, temporaryDirectory } from '../../support/tiny-model.js'

const folder = temporaryDirectory()
const put = async (name: string, rows: readonly object[]): Promise<void> =>
  await writeFile(join(folder, name), JSON.stringify(rows))
const describeSets = async (sets: object): Promise<void> =>
  await writeFile(join(folder, 'dataset_info.json'), JSON.stringify(sets))
/** What the rows of a data set of the file become. */
const read = async (name: string) =>
  (await allRows(join(folder, name))).map(({ origin: _, ...row }) => JSON.parse(JSON.stringify(row)))

const turn = (role: string, content: string) => ({ role, content })

beforeAll(async () => {
  await put('alpaca.json', [
    { instruction: 'Add', input: '1 and 2', output: '3', system: 'Be brief.', history: [['Hi', 'Yo']], id: 7 },
  ])
  await put('own.json', [{ q: 'Add', a: '3' }])
  await put('chat.json', [
    {
      dialog: [
        { who: 'me', says: 'Hi' },
        { who: 'it', says: 'Yo' },
      ],
      sys: 'Be brief.',
      kto: true,
    },
  ])
  await put('openai.json', [{ messages: [turn('user', 'Hi'), turn('assistant', 'Yo')] }])
  await put('pairs.json', [
    {
      conversations: [{ from: 'human', value: 'Hi' }],
      chosen: { from: 'gpt', value: 'Yo' },
      rejected: { from: 'gpt', value: 'No' },
    },
    {
      conversations: [{ from: 'human', value: 'Hi' }],
      chosen: { from: 'gpt', value: 'Yo' },
      rejected: { from: 'gpt', value: 'No' },
    },
  ])
  await mkdir(join(folder, 'parts', 'one'), { recursive: true })
  await put('parts/one/test.json', [{ instruction: 'Part', output: 'one' }])
})

describe('a data set of dataset_info.json', () => {
  it('is one by its name beside the file, or by its name in the file', async () => {
    await describeSets({
      mine: { file_name: 'own.json', columns: { prompt: 'q', response: 'a' } },
      other: { file_name: 'x' },
    })
    const expected = [{ form: 'messages', messages: [turn('user', 'Add'), turn('assistant', '3')] }]
    expect(await read('mine')).toEqual(expected)
    const entry = { path: join(folder, 'dataset_info.json'), name: 'mine' } as DataSource
    expect((await allRows(entry)).map((row) => row.form)).toEqual(['messages'])
    expect(await rejection(allRows({ path: join(folder, 'dataset_info.json'), name: 'nothing' }))).toContain(
      '[data] expected one of mine, other, got the name "nothing" in ',
    )
    expect(await rejection(allRows({ path: join(folder, 'dataset_info.json'), name: 'othr' }))).toContain(
      'got the name "othr", where "other" may be meant in ',
    )
  })

  it('is named where its name is misspelled, and all names where none is near', async () => {
    await describeSets({ mine: { file_name: 'own.json' }, other: { file_name: 'x' } })
    const file = join(folder, 'dataset_info.json')
    expect(await rejection(read('nothing'))).toBe(
      `[data] expected a data file, or one of mine, other of ${file}, got ${JSON.stringify(join(folder, 'nothing'))}, which does not exist; check the path`,
    )
    expect(await rejection(read('mien'))).toContain(`did you mean ${join(folder, 'mine')}?`)
    expect(await rejection(read('nothing.jsonl'))).toContain('which does not exist; check the path')
  })

  it('is asked for where the file itself is given, which has no rows', async () => {
    await describeSets({ mine: { file_name: 'own.json' }, other: { file_name: 'x' } })
    const file = join(folder, 'dataset_info.json')
    expect(await rejection(allRows(file))).toBe(
      `[data] expected the name of a data set of ${file}, which describes mine, other, got none; give ` +
        `${JSON.stringify(join(folder, 'mine'))}, or name beside the path`,
    )
  })

  it('is refused where its file is no JSON, with the place in it', async () => {
    const file = join(folder, 'dataset_info.json')
    await writeFile(file, '{ "mine": { "file_name": "own.json", } }')
    for (const name of ['mine', 'other'])
      expect(await rejection(read(name))).toContain(
        `[data] expected a JSON object of data sets in ${file}, got no JSON (Expected double-quoted property name in JSON at position 37`,
      )
    await writeFile(file, '[]')
    expect(await rejection(read('mine'))).toContain('got []; correct the file')
  })

  it('is refused where it names a column that no row has', async () => {
    const file = join(folder, 'dataset_info.json')
    await put('some.json', [{ q: 'Add', a: '3' }, { q: 'Add' }])
    await describeSets({
      mine: { file_name: 'own.json', columns: { prompt: 'question', response: 'a' } },
      spare: { file_name: 'own.json', columns: { prompt: 'q', response: 'a', system: 'sys' } },
      chat: { file_name: 'chat.json', formatting: 'sharegpt', columns: { messages: 'dialogue' } },
      some: { file_name: 'some.json', columns: { prompt: 'q', response: 'a' } },
    })
    expect(await rejection(read('mine'))).toBe(
      `[data] expected the column "question", which columns of "mine" in ${file} gives for prompt, in ${join(folder, 'own.json')}: row 1, got q, a; correct it`,
    )
    expect(await rejection(read('spare'))).toBe(
      `[data] expected the column "sys", which columns of "spare" in ${file} gives for system, in a row, got it in none; correct it`,
    )
    expect(await rejection(read('chat'))).toContain('which columns of "chat" in')
    // A row that lacks what others have is a defect of that row.
    expect(await rejection(read('some'))).toContain('some.json: row 2')
  })

  it('has the turns that LLaMA-Factory makes of Alpaca, the question in two lines', async () => {
    const columns = { prompt: 'instruction', query: 'input', response: 'output', system: 'system', history: 'history' }
    await describeSets({ set: { file_name: 'alpaca.json', columns } })
    expect(await read('set')).toEqual([
      {
        form: 'messages',
        messages: [
          turn('system', 'Be brief.'),
          turn('user', 'Hi'),
          turn('assistant', 'Yo'),
          turn('user', 'Add\n1 and 2'),
          turn('assistant', '3'),
        ],
        ignoredColumns: ['id'],
      },
    ])
  })

  it('has roles and columns of its own names', async () => {
    const tags = { role_tag: 'who', content_tag: 'says', user_tag: 'me', assistant_tag: 'it' }
    const columns = { messages: 'dialog', system: 'sys', kto_tag: 'kto' }
    const openai = { role_tag: 'role', content_tag: 'content', user_tag: 'user', assistant_tag: 'assistant' }
    await describeSets({
      chat: { file_name: 'chat.json', formatting: 'sharegpt', columns, tags },
      openai: { file_name: 'openai.json', formatting: 'openai', columns: { messages: 'messages' }, tags: openai },
    })
    const messages = [turn('user', 'Hi'), turn('assistant', 'Yo')]
    expect(await read('chat')).toEqual([
      {
        form: 'labelled',
        label: true,
        answer: { form: 'messages', messages: [turn('system', 'Be brief.'), ...messages] },
      },
    ])
    expect(await read('openai')).toEqual([{ form: 'messages', messages }])
  })

  it('has pairs where it is ranked, and no more rows than it names', async () => {
    const columns = { messages: 'conversations', chosen: 'chosen', rejected: 'rejected' }
    await describeSets({
      pairs: { file_name: 'pairs.json', formatting: 'sharegpt', ranking: true, columns, num_samples: 1 },
    })
    const answer = (content: string) => ({
      form: 'conversation',
      promptMessages: 1,
      messages: [turn('user', 'Hi'), turn('assistant', content)],
    })
    expect(await read('pairs')).toEqual([{ form: 'preference', chosen: answer('Yo'), rejected: answer('No') }])
  })

  it('is a part of a folder', async () => {
    await describeSets({ part: { file_name: 'parts', folder: 'one', split: 'test' } })
    expect(await read('part')).toMatchObject([{ messages: [turn('user', 'Part'), turn('assistant', 'one')] }])
  })

  it.each<[object | string, string]>([
    [
      { file_name: 'own.json', colums: {} },
      'expected a key of "set" that is read, got "colums" (did you mean columns?)',
    ],
    [{ script_url: 'x' }, 'expected file_name or hf_hub_url, got script_url, which is not read here,'],
    [{}, 'expected file_name or hf_hub_url for "set", got neither'],
    [{ file_name: 'own.json', formatting: 'chatml' }, 'for formatting of "set", got "chatml"'],
    [{ file_name: 'own.json', columns: { promt: 'q' } }, 'got "promt" (did you mean prompt?)'],
    [{ file_name: 'own.json', tags: { user: 'me' } }, 'in tags of "set", got "user"'],
    [{ file_name: 'own.json', num_samples: 0 }, 'for num_samples of "set", got 0'],
    ['own.json', 'expected an object for "set", got "own.json"'],
  ])('is refused by what is not read of it: %j', async (set, message) => {
    await describeSets({ set })
    expect(await rejection(read('set'))).toContain(message)
  })
})
