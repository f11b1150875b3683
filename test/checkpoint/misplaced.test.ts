/** @file What is given for a model or an adapter and is something else: each gets the answer that helps. */

import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { readPeftConfig } from '../../src/adapters/peft-config.js'
import { resolveModel } from '../../src/checkpoint/resolve-model.js'
import { TINY_CONFIG, temporaryDirectory } from '../support/tiny-model.js'

const folder = temporaryDirectory()
const at = (...parts: string[]): string => join(folder, ...parts)
const ADAPTER = JSON.stringify({
  peft_type: 'LORA',
  target_modules: ['q_proj'],
  base_model_name_or_path: 'org/base',
})

beforeAll(async () => {
  for (const directory of [
    'model',
    'run/adapter',
    'full/model',
    'cut/checkpoint-9',
    'cut/checkpoint-10',
    'gguf',
    'empty',
  ])
    await mkdir(at(directory), { recursive: true })
  await writeFile(at('model/config.json'), JSON.stringify(TINY_CONFIG))
  await writeFile(at('run/adapter/adapter_config.json'), ADAPTER)
  await writeFile(at('run/adapter/adapter_model.safetensors'), '')
  await cp(at('model'), at('full/model'), { recursive: true })
  for (const step of [9, 10]) await writeFile(at(`cut/checkpoint-${step}/adapter_config.json`), ADAPTER)
  await writeFile(at('gguf/b.gguf'), '')
  await writeFile(at('gguf/a.gguf'), '')
})

describe('a model that is none', () => {
  it.each<[string, () => string, string]>([
    [
      'an adapter',
      () => at('run/adapter'),
      `which is a LoRA adapter; give "org/base" as the model. The commands generate, chat and merge take --adapter ${at('run/adapter')}`,
    ],
    [
      'the directory of a run',
      () => at('run'),
      `give "org/base" as the model. The commands generate, chat and merge take --adapter ${at('run/adapter')}; train goes on with a run by --resume`,
    ],
    [
      'the directory of a full run',
      () => at('full'),
      `which holds the model of a run in model/; give ${at('full/model')}`,
    ],
    ['a directory of GGUF files', () => at('gguf'), `give one of them, as ${at('gguf/a.gguf')}`],
    [
      'a file of weights',
      () => at('run/adapter/adapter_model.safetensors'),
      'give the directory that also holds its config.json',
    ],
    ['a mistyped path', () => at('modle'), `there is no directory ${at('modle')}; did you mean ${at('model')}?`],
    [
      'a mistyped path of a GGUF file',
      () => at('gguf/aa.gguf'),
      `there is no file ${at('gguf/aa.gguf')}; did you mean ${at('gguf/a.gguf')}?`,
    ],
    [
      'an access token',
      () => 'hf_abcdefghijKLMNOP0123',
      'got "***", which holds a secret; a token belongs in HF_TOKEN',
    ],
  ])('%s', async (_, path, message) => {
    const error = await resolveModel(path(), { localFilesOnly: true }).catch((reason: Error) => reason)
    expect((error as Error).message).toMatch(/^\[model\] /)
    expect((error as Error).message).toContain(message)
  })

  it('a path that looks like a Hub id is said to be neither, with the nearest path', async () => {
    const options = { localFilesOnly: true, cacheDir: at('empty') }
    await expect(resolveModel('modles/lowrank-base-5m', options)).rejects.toThrow(
      /"modles\/lowrank-base-5m" is neither a directory \(.*\) nor in the Hub cache .*; did you mean models\/lowrank-base-5m\?$/,
    )
    await expect(resolveModel('org/nothing-near', options)).rejects.toThrow(/"hf download org\/nothing-near"$/)
  })

  it('is not doubted where it is one, or where nothing is known of it', async () => {
    expect(await resolveModel(at('model'))).toMatchObject({ path: at('model') })
    expect(await resolveModel(at('empty'))).toMatchObject({ path: at('empty') })
  })
})

describe('an adapter that is none', () => {
  it.each<[string, () => string, string]>([
    ['a model', () => at('model'), 'which is a model; give it as the model (--model)'],
    ['the directory of a run', () => at('run'), `which holds it in adapter/; give ${at('run/adapter')}`],
    ['a run that was cut', () => at('cut'), `the last is ${at('cut/checkpoint-10')}`],
    [
      'its file',
      () => at('run/adapter/adapter_model.safetensors'),
      `which is a file; give its directory, ${at('run/adapter')}`,
    ],
    ['a mistyped path', () => at('run/adaptor'), `which does not exist; did you mean ${at('run/adapter')}?`],
    [
      'a Hub id',
      () => 'org/name-of-adapter',
      'check the path. lowrank fetches no adapters from the Hub: use "hf download org/name-of-adapter"',
    ],
    ['an empty directory', () => at('empty'), 'which has no adapter_config.json; check the path'],
  ])('%s', async (_, path, message) => {
    const error = await readPeftConfig(path()).catch((reason: Error) => reason)
    expect((error as Error).message).toMatch(/^\[adapter\] expected the directory of an adapter, got /)
    expect((error as Error).message).toContain(message)
  })
})
