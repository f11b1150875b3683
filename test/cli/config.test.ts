/** @file Configuration files and --set. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/cli/config.js'
import { UsageError } from '../../src/cli/usage-error.js'

let folder: string
let path: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-config-'))
  path = join(folder, 'run.yaml')
  await writeFile(path, 'model: dir\ntraining:\n  learning_rate: 2e-4\n  packing: true\n')
})

afterAll(async () => {
  await rm(folder, { recursive: true })
})

describe('readConfig', () => {
  it('reads numbers as numbers and keeps the spelling of keys', async () => {
    expect(await readConfig(path)).toEqual({ model: 'dir', training: { learning_rate: 2e-4, packing: true } })
  })

  it('lets settings replace what the file says, in either spelling', async () => {
    const config = await readConfig(path, ['training.learningRate=1e-3', 'model=other', 'training.packing=false'])
    expect(config).toEqual({ model: 'other', training: { learning_rate: 1e-3, packing: false } })
  })

  it('adds settings that the file does not have, with YAML values', async () => {
    const config = await readConfig(path, ['lora.targetModules=[q_proj, v_proj]', 'lora.r=8', 'dataset=a=b.jsonl'])
    expect(config).toMatchObject({ lora: { targetModules: ['q_proj', 'v_proj'], r: 8 }, dataset: 'a=b.jsonl' })
  })

  it('refuses settings without a key or a value, and paths through values', async () => {
    for (const setting of ['lora.r', '=8', 'lora..r=8', '__proto__.r=8']) {
      await expect(readConfig(path, [setting])).rejects.toThrow(
        `[config] expected key=value for --set, got ${JSON.stringify(setting)}; for example --set lora.r=8`,
      )
    }
    await expect(readConfig(path, ['model.r=8'])).rejects.toThrow(
      '[config] expected model to hold options for --set model.r=8, got "dir"',
    )
  })

  it('names the file and line of text that is not YAML, and files that hold no options', async () => {
    const broken = join(folder, 'broken.yaml')
    await writeFile(broken, 'model: a\nmodel: b\n')
    const error = await readConfig(broken).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(UsageError)
    expect((error as Error).message).toMatch(/broken\.yaml: Map keys must be unique at line 2/)
    await writeFile(broken, '- model\n')
    await expect(readConfig(broken)).rejects.toThrow('expected options such as "model: DIRECTORY"')
  })
})
