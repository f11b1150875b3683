/** @file Each rule of `lowrank data check` finds its planted defect, is silent on clean rows, and has its page. */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { type CheckOptions, type CheckReport, checkDataset } from '../../../src/data/check/check-dataset.js'
import { RULES } from '../../../src/data/check/rules.js'
import type { DataSource } from '../../../src/data/sources/open-source.js'
import { createTokenizer } from '../../../src/tokenizer/tokenizer.js'
import { CHATML } from '../../support/chat-templates.js'
import { isLong } from '../../support/long.js'
import { temporaryDirectory } from '../../support/tiny-model.js'
import { type TinyTokenizerOptions, tinyByteLevelTokenizer } from '../../support/tiny-tokenizer.js'

const user = (content: string) => ({ role: 'user', content })
const assistant = (content: string) => ({ role: 'assistant', content })
const chat = (question: string, answer: string) => ({ messages: [user(question), assistant(answer)] })

interface Setting extends CheckOptions, TinyTokenizerOptions {
  readonly padToken?: string
}

function check(source: DataSource, setting: Setting = {}): Promise<CheckReport> {
  const { chatTemplate = CHATML, eosToken = '<|im_end|>', bosToken, padToken, ...options } = setting
  const files = tinyByteLevelTokenizer({ chatTemplate, eosToken, ...(bosToken !== undefined && { bosToken }) })
  const config = padToken === undefined ? files.config : { ...files.config, pad_token: padToken }
  return checkDataset(source, createTokenizer(files.tokenizer, config), { maxLength: 4096, ...options })
}

const WORDS = 'The capital of France is Paris and the user asks for one two three four five six'
const STORY =
  'Once upon a time there was a small lighthouse on an island far from the coast and a keeper who lit its lamp each ' +
  'evening before the ships came home.'
const CLEAN = Array.from({ length: 60 }, (_, row) =>
  chat(`What is ${row}? Write to a@example.com.`, `It is ${row + 1}.`),
)
/** The clean rows with a defect behind them. */
const planted = (...rows: object[]): object[] => [...CLEAN, ...rows]

const TEMPLATE_WITHOUT_SYSTEM = CHATML.replace(
  '{% for message in messages %}',
  "{% for message in messages if message['role'] != 'system' %}",
)
/** Marks the words of an answer alone, so that what ends it is not learnt. */
const TEMPLATE_WITHOUT_END =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}" +
  "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}{% endgeneration %}" +
  "{% else %}{{ message['content'] }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"

const DEFECTS: Readonly<Record<string, { rows: DataSource; setting?: Setting; isEveryRow?: true; detail?: string }>> = {
  'missing-stop': { rows: planted(chat('Hi', 'Hello.')), setting: { eosToken: '</s>' }, isEveryRow: true },
  'unsupervised-stop': { rows: CLEAN, setting: { chatTemplate: TEMPLATE_WITHOUT_END }, isEveryRow: true },
  'doubled-bos': {
    rows: [
      { prompt: 'Say one.', completion: 'one' },
      { prompt: '<s><s>Say two.', completion: 'two' },
    ],
    setting: { bosToken: '<s>' },
  },
  'missing-bos': { rows: CLEAN, setting: { bosToken: '<s>' }, isEveryRow: true, detail: 'begins with <|im_start|>' },
  'nothing-to-learn': { rows: planted({ messages: [user('Say one.'), user('Say two.')] }) },
  'cut-answer': { rows: planted(chat('Say more.', 'one two '.repeat(60))), setting: { maxLength: 100 } },
  'empty-answer': { rows: planted(chat('Say nothing.', ' \n')) },
  'dropped-content': {
    rows: planted({ messages: [{ role: 'system', content: 'Answer in rhymes.' }, user('Say one.'), assistant('one')] }),
    setting: { chatTemplate: TEMPLATE_WITHOUT_SYSTEM },
    detail: 'left out: system',
  },
  'pad-is-learnt': { rows: CLEAN, setting: { padToken: '<|im_end|>' }, isEveryRow: true },
  'prompt-in-evaluation': {
    rows: planted(chat('Who asks?', 'The user.')),
    setting: { evaluation: [chat('Who asks?', 'Another one.')] },
  },
  'doubled-stop': { rows: planted(chat('Say one.', 'one<|im_end|>')), detail: '<|im_end|> stands before the end' },
  'near-prompt-in-evaluation': {
    rows: planted(chat(`${STORY} How far does it shine?`, 'Far.')),
    setting: { evaluation: [chat('Who asks?', 'The user.'), chat(`${STORY} How far does it flash?`, 'A mile.')] },
    detail: '93 % of its runs of words are in row 2',
  },
  'near-duplicate-row': {
    rows: planted(chat('What is told?', `${STORY} It shines.`), chat('What is told?', `${STORY} It flashes.`)),
    detail: '93 % of its runs of words are in row 61',
  },
  'equal-pair': {
    rows: [
      { prompt: [user('Say one.')], chosen: [assistant('one')], rejected: [assistant('two')] },
      { prompt: [user('Say two.')], chosen: [assistant('two')], rejected: [assistant('two')] },
    ],
  },
  'byte-order-mark': { rows: planted(chat('\ufeffSay one.', 'one')) },
  'carriage-return': { rows: planted(chat('Say one.\r\nSay two.', 'one')) },
  'mixed-languages': {
    rows: [
      ...Array.from({ length: 59 }, (_, row) =>
        chat(`What is ${row}?`, `${row} is one of the numbers that you can write.`),
      ),
      chat('And 60?', 'Das ist nicht der Weg, den sie für ihre Reise durch das Land genommen haben.'),
    ],
    detail: 'in German, where most rows are in English',
  },
  'duplicate-row': { rows: planted(CLEAN[7] as object) },
  'role-order': {
    rows: planted({ messages: [assistant('Hello.'), user('Say one.'), assistant('one')] }),
    detail: 'begins with the assistant',
  },
  'replacement-character': { rows: planted(chat('Say caf\ufffd.', 'one')) },
  secret: { rows: planted(chat('Which key?', `It is AKIA${'ABCD'.repeat(4)}.`)), detail: 'an AWS access key' },
  'email-address': { rows: planted(chat('Whom do I ask?', 'Ask jo.doe@mail.acme.org for it.')) },
  'leaked-answer': { rows: planted(chat(`Mind: ${WORDS}. What is it?`, WORDS)) },
  'length-outlier': { rows: planted(chat('Say more.', 'Hello again and again. '.repeat(200))) },
  'overlap-with-evaluation': {
    rows: planted(chat('Say it.', `Well: ${WORDS}.`)),
    setting: { evaluation: [chat('Repeat.', WORDS)] },
  },
}

it.each(Object.entries(DEFECTS))('the rule %s finds its defect, by row', async (id, { rows, setting, ...expected }) => {
  const { findings } = await check(rows, setting)
  const found = findings.find((finding) => finding.id === id)
  const all = rows as readonly object[]
  expect(found?.count).toBe(expected.isEveryRow ? all.length : 1)
  expect(found?.rows.length).toBe(expected.isEveryRow ? 5 : 1)
  expect(found?.rows[0]?.row).toBe(expected.isEveryRow ? 1 : all.length)
  if (expected.detail !== undefined) expect(found?.rows[0]?.detail).toBe(expected.detail)
})

it('has a planted defect for each rule', () => {
  const tested = [...Object.keys(DEFECTS), 'unreadable-row']
  expect(tested.sort()).toEqual(RULES.map(({ id }) => id).sort())
})

it('finds nothing in clean rows, whatever their form', async () => {
  const clean = { findings: [] }
  const evaluation = [chat('Who is it?', 'Nobody.')]
  expect(await check(CLEAN, { evaluation })).toEqual({ rows: 60, ...clean })
  const system = { role: 'system', content: 'You answer.' }
  const turns = { messages: [system, user('Say one.'), assistant('one'), user('Say two.'), assistant('two')] }
  expect(await check([turns])).toEqual({ rows: 1, ...clean })
  const setting = { bosToken: '<s>' }
  expect(await check([{ prompt: 'Say one.', completion: 'one' }], setting)).toEqual({ rows: 1, ...clean })
  expect(await check([{ text: 'The user asks.' }], setting)).toEqual({ rows: 1, ...clean })
  expect(await check([{ instruction: 'Say one.', output: 'one' }], setting)).toEqual({ rows: 1, ...clean })
  const pair = { prompt: [user('Say one.')], chosen: [assistant('one')], rejected: [assistant('two')] }
  expect(await check([pair])).toEqual({ rows: 1, ...clean })
  expect(await check([{ prompt: [user('Say one.')] }])).toEqual({ rows: 1, ...clean })
})

it('takes rows of one long instruction round different values for different, also prompts of an evaluation', async () => {
  const asked = (row: number) =>
    chat(`${STORY} Its lamp has number ${row} of ${row * 7}. Which is it?`, `It is ${row}.`)
  const rows = Array.from({ length: 300 }, (_, row) => asked(row))
  const { findings } = await check(rows, { evaluation: [asked(301), asked(302)] })
  // Runs of 13 words are counted whatever others have.
  expect(findings.map(({ id }) => id)).toEqual(['overlap-with-evaluation'])
})

it('names the row that cannot be read, with what was found before it', async () => {
  const file = join(temporaryDirectory(), 'rows.jsonl')
  await writeFile(file, `${JSON.stringify(chat('Say nothing.', ''))}\n{"messages": 1}\n`)
  const { rows, findings } = await check(file)
  expect(rows).toBe(1)
  expect(findings.map(({ id, severity }) => [id, severity])).toEqual([
    ['unreadable-row', 'error'],
    ['empty-answer', 'error'],
  ])
  expect(findings[0]?.rows[0]).toMatchObject({ file, row: 2, detail: expect.stringContaining('messages') })
})

it('goes on behind rows that cannot be read where onError says so', async () => {
  const file = join(temporaryDirectory(), 'bad.jsonl')
  const good = JSON.stringify(chat('Say one.', 'one'))
  await writeFile(file, `{"messages": 1}\n${good}\n{"messages": 2}\n`)
  const { rows, findings } = await check(file, { onError: 'skip' })
  expect([rows, findings.map(({ id, count }) => [id, count])]).toEqual([1, [['unreadable-row', 2]]])
  // It is the same where reading ended at the first: it has to be true of both.
  expect(findings[0]?.remedy).toContain(
    '--set training.onError=skip finds all such rows, else reading ends at the first',
  )
  expect(findings[0]?.rows.map(({ row }) => row)).toEqual([1, 3])
})

it('finds invalid UTF-8, by row', async () => {
  const file = join(temporaryDirectory(), 'latin.jsonl')
  const first = `${JSON.stringify(chat('Say one.', 'one'))}\n`
  await writeFile(file, Buffer.concat([Buffer.from(first), Buffer.from('{"text": "caf\xe9"}\n', 'latin1')]))
  const { findings } = await check(file)
  expect(findings.map(({ id }) => id)).toEqual(['unreadable-row'])
  expect(findings[0]?.rows[0]).toMatchObject({ file, row: 2, detail: expect.stringContaining('UTF-8') })
})

it('finds an end of an answer that is named beside the tokenizer', async () => {
  const { findings } = await check(CLEAN, { eosToken: '</s>', stopTokenIds: [] })
  expect(findings.map(({ id }) => id)).toEqual(['missing-stop'])
  const { tokenizer, config } = tinyByteLevelTokenizer({ chatTemplate: CHATML })
  const id = createTokenizer(tokenizer, config).tokenToId('<|im_end|>') as number
  expect((await check(CLEAN, { eosToken: '</s>', stopTokenIds: [id] })).findings).toEqual([])
})

it.each([
  ['jo@acme.org', true],
  ['Jo Doe <jo.doe+x@mail.acme-test.co.uk>.', true],
  ['jo@test-acme.com', true],
  ['jo@example.acme.com', true],
  ['jo@example.com.', false],
  ['jo@mail.example.org, jo@host.test', false],
  ['@jo on acme.org, 3 @ 5.00', false],
])('tells addresses of people from others: %s', async (text, isAddress) => {
  const { findings } = await check([chat('Who?', text)])
  expect(findings.map(({ id }) => id)).toEqual(isAddress ? ['email-address'] : [])
})

it('never shows a secret', async () => {
  const key = `ghp_${'a1B2'.repeat(9)}`
  const report = await check([chat('Which key?', key)])
  expect(report.findings.map(({ id }) => id)).toEqual(['secret'])
  expect(JSON.stringify(report)).not.toContain(key)
})

it('finds 20 kinds of defects in one file, each once, in less than 10 s of processor time', async () => {
  const count = isLong ? 10_000 : 2000
  const word = (at: number): string =>
    [...String(at)].map((digit) => 'bdfgklmnrs'.charAt(Number(digit)) + 'aeiou'.charAt(at % 5)).join('')
  const words = (row: number): string =>
    Array.from({ length: 9 }, (_, at) => word((row * 7919 + at * 104_729) % 100_003)).join(' ')
  const clean = (row: number) =>
    chat(`What is ${words(row)}?`, `It is ${words(row + count)}, and that is all there is.`)
  const rows = Array.from({ length: count }, (_, row): object => clean(row))
  const lasts = (id: string): object => (DEFECTS[id]?.rows as readonly object[] | undefined)?.at(-1) ?? {}
  const defects: Readonly<Record<string, object>> = {
    'unreadable-row': { messages: 1 },
    'doubled-stop': lasts('doubled-stop'),
    'nothing-to-learn': { messages: [user('Say one to me.'), { ...assistant('one'), weight: 0 }] },
    'empty-answer': chat('Say nothing at all.', ''),
    'prompt-in-evaluation': chat('Who is asked?', 'Nobody of them.'),
    'near-prompt-in-evaluation': chat(`${STORY} How far does it shine?`, 'Far.'),
    'duplicate-row': clean(3),
    'dropped-content': { messages: [{ role: 'system', content: 'Rhyme.' }, user('Say nine.'), assistant('nine')] },
    'near-duplicate-row': chat(`What is ${words(5)}?`, `It is ${words(5 + count)}, and that is all there was.`),
    'role-order': { messages: [assistant('I begin.'), user('Ask.'), assistant('I ask.')] },
    'replacement-character': chat('Say caf\ufffd.', 'one'),
    'byte-order-mark': chat('\ufeffSay six.', 'six'),
    'carriage-return': chat('Say seven.\r\nThen eight.', 'seven'),
    secret: lasts('secret'),
    'email-address': lasts('email-address'),
    'leaked-answer': lasts('leaked-answer'),
    'mixed-languages': chat('Tell it.', 'Das ist nicht der Weg, den sie für ihre Reise durch das Land genommen haben.'),
    'length-outlier': { messages: [user(words(9).repeat(99)), assistant('It is long.')] },
    'overlap-with-evaluation': chat('Say that again.', `Well: ${STORY} And so on.`),
    'pad-is-learnt': chat('Say the pad.', 'It is <pad> here.'),
  }
  const file = join(temporaryDirectory(), 'planted.jsonl')
  Object.values(defects).forEach((row, at) => {
    rows[Math.floor(count / 21) * (at + 1)] = row
  })
  await writeFile(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  const evaluation = [chat('Who is asked?', 'Me.'), chat(`${STORY} How far does it flash?`, 'A mile.')]
  const began = process.cpuUsage()
  const report = await check(file, {
    evaluation,
    onError: 'skip',
    padToken: '<pad>',
    maxLength: 100_000,
    chatTemplate: TEMPLATE_WITHOUT_SYSTEM,
  })
  const { user: spent, system: spentBySystem } = process.cpuUsage(began)
  expect(Object.fromEntries(report.findings.map(({ id, count }) => [id, count]))).toEqual(
    // A prompt of so many words that is near to another has a run of them too.
    Object.fromEntries(Object.keys(defects).map((id) => [id, id === 'overlap-with-evaluation' ? 2 : 1])),
  )
  expect(Object.keys(defects).length).toBe(20)
  expect((spent + spentBySystem) / 1e6).toBeLessThan(10)
})

it('has an entry on the page for each rule, in the same order, with its severity', async () => {
  const page = await readFile(fileURLToPath(new URL('../../../docs/data-check.md', import.meta.url)), 'utf8')
  const entries = [...page.matchAll(/^### ([a-z-]+)\n\n(Error|Warning): /gm)]
  expect(entries.map(([, id, severity]) => [id, severity?.toLowerCase()])).toEqual(
    RULES.map(({ id, severity }) => [id, severity]),
  )
})

it('a data set without rows is refused as training refuses it, and the error names the file', async () => {
  const file = join(temporaryDirectory(), 'cut.jsonl')
  await writeFile(file, '')
  const refused = `[data] expected at least one row in ${file}, got none; check that the file is whole`
  await expect(check(file)).rejects.toThrow(refused)
  await expect(check([])).rejects.toThrow('[data] expected at least one row, got none')
})
