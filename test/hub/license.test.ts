/** @file The licence of a model, from the metadata of its card or the header of its README.md. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseLicense, readLicense } from '../../src/hub/license.js'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-license-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

test('metadata name a licence, or one of their own with its name and link, or several, or none', () => {
  expect(parseLicense({ license: 'apache-2.0' })).toEqual({ id: 'apache-2.0' })
  const other = { license: 'other', license_name: 'qwen-research', license_link: 'https://example.org/LICENSE' }
  expect(parseLicense(other)).toEqual({ id: 'other', name: 'qwen-research', link: 'https://example.org/LICENSE' })
  expect(parseLicense({ license: ['mit', 'apache-2.0'] })).toEqual({ id: 'mit, apache-2.0' })
  for (const card of [undefined, null, 'mit', {}, { license: 7 }, { license: '' }, { license: [] }]) {
    expect(parseLicense(card)).toBeUndefined()
  }
})

test('a README.md names it in its header; one without, or with a damaged one, does not', async () => {
  expect(await readLicense(directory)).toBeUndefined()
  const texts: [string, unknown][] = [
    ['---\nlanguage: en\nlicense: llama3.2\n---\n# Model\n', { id: 'llama3.2' }],
    ['---\r\nlicense: mit\r\n---\r\n', { id: 'mit' }],
    ['# Model\n---\nlicense: mit\n---\n', undefined],
    ['---\nlicense: [\n---\n', undefined],
  ]
  for (const [text, expected] of texts) {
    await writeFile(join(directory, 'README.md'), text)
    expect(await readLicense(directory)).toEqual(expected)
  }
})
