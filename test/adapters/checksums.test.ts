/**
 * @file SHA256SUMS beside an adapter: damaged weights are refused, changed settings are said, and what others write
 * loads as ever.
 */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { cases } from '../support/long.js'
import { rejection, temporaryDirectory, tinyAdapter, tinyModel } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

const folder = temporaryDirectory()
let model: CausalLM
let whole: Buffer

const WEIGHTS = 'adapter_model.safetensors'
const CONFIG = 'adapter_config.json'
const SUMS = 'SHA256SUMS'

beforeAll(async () => {
  model = await tinyModel()
})

afterAll(() => model.device.close())

/** A saved adapter in a directory of its own. */
async function saved(name: string): Promise<string> {
  const directory = join(folder, name)
  await mkdir(directory)
  const adapter = tinyAdapter(model)
  await adapter.save(directory)
  adapter.dispose()
  whole = await readFile(join(directory, WEIGHTS))
  return directory
}

async function load(directory: string): Promise<readonly string[]> {
  const adapter = await LoraAdapter.load(model, directory)
  const { warnings } = adapter
  adapter.dispose()
  return warnings
}

describe('the checksums of an adapter', () => {
  it('are written beside it, as sha256sum reads them, and it loads without a word', async () => {
    const directory = await saved('plain')
    expect((await readdir(directory)).sort()).toEqual([SUMS, CONFIG, WEIGHTS])
    expect(execFileSync('sh', ['-c', `sha256sum -c ${SUMS}`], { cwd: directory, encoding: 'utf8' })).toBe(
      `${CONFIG}: OK\n${WEIGHTS}: OK\n`,
    )
    expect(await load(directory)).toEqual([])
    // Saved again over it: they are of what is there now.
    const other = LoraAdapter.create(model, { r: 2 })
    await other.save(directory)
    other.dispose()
    expect(await load(directory)).toEqual([])
  })

  it('refuse weights in which a bit has changed, wherever it is, with the remedy', async () => {
    const directory = await saved('flipped')
    const path = join(directory, WEIGHTS)
    const data = whole.readUInt32LE(0) + 8
    const signed = seededRandom(7)
    const random = (below: number): number => Math.floor(((signed() + 1) / 2) * below)
    for (let round = 0; round < cases(20, 500); round++) {
      const damaged = Buffer.from(whole)
      const at = data + random(whole.length - data)
      damaged[at] = (damaged[at] as number) ^ (1 << random(8))
      await writeFile(path, damaged)
      const found = createHash('sha256').update(damaged).digest('hex')
      const expected = createHash('sha256').update(whole).digest('hex')
      expect(await rejection(LoraAdapter.load(model, directory))).toBe(
        `[lora] expected in ${path} what was saved, got SHA-256 ${found}, in SHA256SUMS ${expected}; the file is damaged: get it again, or, ` +
          `where another program wrote it on purpose, remove ${join(directory, SUMS)}`,
      )
    }
    await writeFile(path, Buffer.concat([whole.subarray(0, data), Buffer.alloc(whole.length - data)]))
    expect(await rejection(LoraAdapter.load(model, directory))).toContain('the file is damaged')
    await rm(join(directory, SUMS))
    expect(await load(directory)).toEqual([])
  })

  it('let settings be changed by hand, and say so until their line is removed', async () => {
    const directory = await saved('edited')
    const path = join(directory, CONFIG)
    const settings = JSON.parse(await readFile(path, 'utf8'))
    await writeFile(path, JSON.stringify({ ...settings, base_model_name_or_path: 'org/another-name' }))
    const sums = join(directory, SUMS)
    expect(await load(directory)).toEqual([
      `${path} was changed after it was saved with its weights; where that was on purpose, remove its line from ${sums}`,
    ])
    const lines = (await readFile(sums, 'utf8')).split('\n').filter((line) => !line.endsWith(CONFIG))
    await writeFile(sums, lines.join('\n'))
    expect(await load(directory)).toEqual([])
    // The weights keep theirs.
    await writeFile(join(directory, WEIGHTS), Buffer.concat([whole.subarray(0, -4), Buffer.from([1, 2, 3, 4])]))
    expect(await rejection(LoraAdapter.load(model, directory))).toContain('the file is damaged')
  })

  it.each([
    ['none', undefined],
    ['of other files alone', `${'0'.repeat(64)}  model-00001.safetensors\n`],
    ['in another format', 'SHA256 (adapter_model.safetensors) = 00\n'],
    ['empty', ''],
    ['of a file in a folder of that name', `${'0'.repeat(64)}  old/adapter_model.safetensors\n`],
  ])('the checksums of an adapter of another program are no hindrance: %s', async (name, text) => {
    const directory = await saved(`foreign-${name.replaceAll(' ', '-')}`)
    if (text === undefined) await rm(join(directory, SUMS))
    else await writeFile(join(directory, SUMS), text)
    expect(await load(directory)).toEqual([])
  })

  it('the checksums of an adapter of another program in the usual format count, as those of Windows do', async () => {
    const directory = await saved('windows')
    const right = createHash('sha256').update(whole).digest('hex').toUpperCase()
    await writeFile(join(directory, SUMS), `${right} *${WEIGHTS}\r\n`)
    expect(await load(directory)).toEqual([])
    await writeFile(
      join(directory, SUMS),
      `${right.replace(/^./, (digit) => (digit === '0' ? '1' : '0'))} *./${WEIGHTS}\r\n`,
    )
    expect(await rejection(LoraAdapter.load(model, directory))).toContain('the file is damaged')
  })
})
