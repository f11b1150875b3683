/** @file A Delta table of chunks of documents, opened by deltalake: a list of headings, pages that are null. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { writeDelta } from '../../src/data/delta/write-delta.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { splitDocuments } from '../../src/transform/documents.js'
import { valuesOf } from '../support/golden-rows.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { pdfOf } from '../transform/make-documents.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = `
import json, os, sys
from deltalake import DeltaTable
print(json.dumps(DeltaTable(sys.argv[1]).to_pyarrow_table().to_pylist()), flush=True)
# Threads of the libraries may abort the process while the interpreter ends.
os._exit(0)
`

describeWithPython('chunks of documents elsewhere', () => {
  it('a Delta table of chunks has the same rows in deltalake', async () => {
    const directory = temporaryDirectory()
    const heading = { text: 'Rules', size: 18 }
    await writeFile(join(directory, 'a.pdf'), pdfOf([[heading, { text: 'Report it.', size: 10 }]]))
    await writeFile(join(directory, 'b.txt'), 'No page.')
    const tokenizer = await loadTokenizer(fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url)))
    const output = join(directory, 'chunks.jsonl')
    await splitDocuments({ documents: directory, tokenizer, output })
    const table = join(directory, 'splitted_documents')
    await writeDelta(output, table)
    const { code, stdout, stderr } = await runPython(['-c', SCRIPT, table])
    expect(code, stderr).toBe(0)
    const chunks = await valuesOf(output)
    expect(chunks).toMatchObject([
      { page: 1, headings: ['Rules'] },
      { page: null, headings: [] },
    ])
    expect(JSON.parse(stdout)).toEqual(chunks)
  })
})
