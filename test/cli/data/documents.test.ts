/** @file `lowrank data documents`: what it writes, what it says, and what it refuses. */

import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { temporaryDirectory } from '../../support/tiny-model.js'
import { docxOf, encryptedPdf, pdfOf } from '../../transform/make-documents.js'
import { type CliResult, lowrank } from '../run-cli.js'

const WITHOUT = new URL('../../support/without-packages.mjs', import.meta.url).href
const MODEL = fileURLToPath(new URL('../../../models/lowrank-base-5m', import.meta.url))

const directory = temporaryDirectory()
beforeAll(async () => {
  await mkdir(join(directory, 'manuals'))
  for (const [name, content] of [
    [
      'guide.pdf',
      pdfOf([
        [
          { text: 'Guide', size: 18 },
          { text: 'Press the button.', size: 10 },
        ],
        [],
      ]),
    ],
    ['letter.docx', docxOf([{ text: 'Dear reader,' }])],
    ['scan.pdf', pdfOf([[]])],
    ['secret.pdf', encryptedPdf()],
    ['picture.png', 'x'],
  ] as const)
    await writeFile(join(directory, 'manuals', name), content)
})

const documents = (line: string): Promise<CliResult> =>
  lowrank(['data', 'documents', ...line.split(' ')], { cwd: directory })

describe('lowrank data documents', () => {
  it('writes chunks of a folder and says what became of each file', async () => {
    const { code, stdout, stderr } = await documents(
      `manuals --tokenizer ${join(MODEL, 'tokenizer.json')} --on-error skip --output chunks.jsonl`,
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout.replace(/\d+ tokens/, 'N tokens')).toBe(
      [
        'Made 2 chunks of 2 of 4 documents in chunks.jsonl',
        '  N tokens, 2 pages of PDF',
        '  1 page without text: a scan has to be recognised first (OCR)',
        `  1 document without text, as scans are: ${join('manuals', 'scan.pdf')}`,
        '  left out: 1 document that cannot be read',
        `    [documents] expected a PDF document in ${join('manuals', 'secret.pdf')}, got one with a password; save it without one`,
        '  1 file of other endings left alone',
        '',
      ].join('\n'),
    )
    const rows = (await readFile(join(directory, 'chunks.jsonl'), 'utf8')).trim().split('\n')
    expect(rows.map((row) => JSON.parse(row) as unknown)).toMatchObject([
      { document: join('manuals', 'guide.pdf'), chunk: 1, page: 1, last_page: 1, headings: ['Guide'] },
      { document: join('manuals', 'letter.docx'), chunk: 1, page: null, text: 'Dear reader,' },
    ])
  })

  it('takes any number of files and a model, and gives counts that reconcile with --json', async () => {
    const { code, stdout } = await documents(
      `manuals/letter.docx manuals/guide.pdf --model ${MODEL} --max-tokens 4 --overlap 1 --output small.jsonl --json`,
    )
    const report = JSON.parse(stdout) as { documents: number; withText: number; chunks: number }
    expect({ code, report }).toMatchObject({ code: 0, report: { documents: 2, withText: 2, empty: [], skipped: [] } })
    const rows = (await readFile(join(directory, 'small.jsonl'), 'utf8')).trim().split('\n')
    expect(rows).toHaveLength(report.chunks)
    for (const row of rows) expect((JSON.parse(row) as { tokens: number }).tokens).toBeLessThanOrEqual(4)
  })

  it.each([
    ['', ['expected documents: files, folders or globs', 'expected --output FILE', '--model DIR or --tokenizer DIR']],
    [
      `manuals --output x.jsonl --model ${MODEL} --tokenizer ${MODEL}`,
      ['expected --model DIR or --tokenizer DIR, got both; leave one out'],
    ],
    [
      `manuals --output x.jsonl --model ${MODEL}`,
      [`expected a PDF document in ${join('manuals', 'secret.pdf')}, got one with a password`],
    ],
    [
      `manuls --output x.jsonl --model ${MODEL}`,
      ['expected a document, got manuls, which does not exist; did you mean manuals'],
    ],
    [`manuals --output x.jsonl --model ${MODEL} --max-tokens 10 --overlap 10`, ['expected an overlap below maxTokens']],
    [`manuals --output x.jsonl --model ${MODEL} --on-error ignore`, ["'error', 'skip'"]],
  ])('lowrank data documents %s is refused, saying all that is wrong', async (line, messages) => {
    const { code, stderr } = await documents(line)
    expect(code).toBeGreaterThan(0)
    for (const message of messages) expect(stderr).toContain(message)
  })
  it.each([
    ['guide.pdf', ['unpdf'], 'the package unpdf to read documents, got none; npm install unpdf@1.7.0'],
    [
      'letter.docx',
      ['mammoth', 'linkedom'],
      'the package mammoth to read documents, got none; npm install mammoth@1.13.0 linkedom@0.18.15',
    ],
    [
      '',
      ['mammoth'],
      'the package mammoth to read documents, got none; npm install unpdf@1.7.0 mammoth@1.13.0 linkedom@0.18.15',
    ],
  ])(
    'manuals/%s without the packages %s is refused even where bad files are skipped, saying what to install',
    async (name, missing, message) => {
      const { code, stderr } = await lowrank(
        ['data', 'documents', `manuals/${name}`, '--tokenizer', MODEL, '--on-error', 'skip', '--output', 'none.jsonl'],
        { cwd: directory, env: { NODE_OPTIONS: `--import ${WITHOUT}`, LOWRANK_TEST_WITHOUT: missing.join() } },
      )
      expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining(`expected ${message}`) })
      expect(existsSync(join(directory, 'none.jsonl'))).toBe(false)
    },
  )
})
