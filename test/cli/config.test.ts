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

const optionsOf = async (...args: Parameters<typeof readConfig>) => (await readConfig(...args)).options
const refusal = async (...args: Parameters<typeof readConfig>): Promise<string> => {
  const error = await readConfig(...args).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(UsageError)
  // What caused it may quote the text.
  expect((error as Error).cause).toBeUndefined()
  return (error as Error).message
}

describe('readConfig', () => {
  it('reads numbers as numbers and keeps the spelling of keys', async () => {
    expect(await optionsOf(path)).toEqual({ model: 'dir', training: { learning_rate: 2e-4, packing: true } })
  })

  it('lets settings replace what the file says, in either spelling', async () => {
    const config = await optionsOf(path, ['training.learningRate=1e-3', 'model=other', 'training.packing=false'])
    expect(config).toEqual({ model: 'other', training: { learning_rate: 1e-3, packing: false } })
  })

  it('adds settings that the file does not have, with YAML values', async () => {
    const config = await optionsOf(path, ['lora.targetModules=[q_proj, v_proj]', 'lora.r=8', 'dataset=a=b.jsonl'])
    expect(config).toMatchObject({ lora: { targetModules: ['q_proj', 'v_proj'], r: 8 }, dataset: 'a=b.jsonl' })
  })

  it('refuses settings without a key or a value, and paths through values', async () => {
    for (const setting of ['lora.r', '=8', 'lora..r=8', '__proto__.r=8']) {
      const key = JSON.stringify(setting.replace('8', ''))
      expect(await refusal(path, [setting])).toBe(
        `[config] expected key=value for --set, got ${key}; for example --set lora.r=8`,
      )
    }
    expect(await refusal(path, ['lora.r', 'lora.bias=none', 'lora.loraAlpha=[1'])).toBe(
      '[config] 2 options are wrong:\n' +
        '  - [config] expected key=value for --set, got "lora.r"; for example --set lora.r=8\n' +
        '  - [config] expected a YAML value in --set lora.loraAlpha=..., got a text that is none; put quotes around a text with ' +
        ': # [ ] { } & * ! | > or % in it',
    )
    expect(await refusal(path, ['model.r=8'])).toBe(
      '[config] expected model to hold options for --set model.r, got "dir"',
    )
  })

  it('refuses what YAML means and JavaScript would make something else of, by its place', async () => {
    const file = join(folder, 'changed.yaml')
    for (const [text, what] of [
      ['model: m\nlora:\n  <<: {r: 4}\n', 'A merge key (<<); write the options out at line 3, column 3'],
      ['model: m\n? [a, b]\n: c\n', 'A key that is no text at line 2, column 3'],
      ['model: m\n? {a: b}\n: c\n', 'A key that is no text at line 2, column 3'],
      ['null: d\n', 'A key that is no text at line 1, column 1'],
      [
        'training: {chatTemplateKwargs: {a: 12345678901234567890}}\n',
        'A whole number of more than 9007199254740991; put quotes around it at line 1, column 36',
      ],
      ['model: m\n---\ndataset: d\n', 'A second document; remove the --- before it at line 2, column 1'],
      [`model: ${'['.repeat(20_000)}${']'.repeat(20_000)}\n`, 'Too many levels within each other at line 1, column '],
    ] as const) {
      await writeFile(file, text)
      expect(await refusal(file)).toContain(`[config] expected a readable YAML file, got ${file}: ${what}`)
    }
    for (const setting of ['training.chatTemplateKwargs={a: 12345678901234567890}', 'lora={<<: {r: 4}}'])
      expect(await refusal(path, [setting])).toContain('expected a YAML value in --set ')
    await writeFile(file, 'model: m\ntraining: {chatTemplateKwargs: {a: "<<", "<<": 9007199254740991}}\n')
    expect(await optionsOf(file)).toMatchObject({ training: { chatTemplateKwargs: { '<<': 9007199254740991 } } })
  })

  it('puts flags over settings and the file, whatever name an option has there', async () => {
    const file = join(folder, 'names.yaml')
    await writeFile(file, 'model_name_or_path: a\ntraining: { max_seq_length: 5, evaluation_strategy: epoch }\n')
    const flags = [
      { flag: '--model', path: ['model'], value: 'b' },
      { flag: '--max-length', path: ['training', 'maxLength'], value: 7 },
    ]
    expect(await optionsOf(file, ['training.maxLength=6', 'training.eval_strategy=no'], flags)).toEqual({
      model_name_or_path: 'b',
      training: { max_seq_length: 7, evaluation_strategy: 'no' },
    })
  })

  it('knows where each option came from', async () => {
    const file = join(folder, 'origins.yaml')
    await writeFile(file, '# comment\nmodel: a\n\nlora: {\n  "r": 8,\n  loraAlpha: 16 }\ntraining:\n  seed: 1\n')
    const { originOf } = await readConfig(
      file,
      ['lora.r=4', 'training={maxSteps: 3}'],
      [{ flag: '--lr', path: ['training', 'learningRate'], value: 1 }],
    )
    expect(originOf(['model'])).toBe(`line 2 of ${file}`)
    expect(originOf(['lora', 'lora_alpha'])).toBe(`line 6 of ${file}`)
    expect(originOf(['lora', 'r'])).toBe('--set lora.r')
    expect(originOf(['lora', 'rank'])).toBe(`line 4 of ${file}`)
    expect(originOf(['training', 'maxSteps'])).toBe('--set training')
    // The whole of training was replaced, and what stood in it.
    expect(originOf(['training', 'seed'])).toBe('--set training')
    expect(originOf(['training', 'learning_rate'])).toBe('--lr')
    expect(originOf(['dataset'])).toBeUndefined()
  })

  it.each<[string, string | Uint8Array, string]>([
    ['a.yaml', 'model: a\nmodel: b\n', 'a.yaml: Map keys must be unique at line 2, column 1'],
    ['b.yaml', 'model: [a\n', 'must be sufficiently indented and end with a ] at line 2, column 1'],
    ['c.yaml', 'model: *name\n', 'an alias (*name) has no anchor (&name) before it'],
    [
      'd.yaml',
      'model: !env NAME\n',
      'A tag (!name) that is not known here; put quotes around a text at line 1, column 8',
    ],
    ['e.yaml', 'a: 1\n---\nb: 1\n', 'A second document'],
    ['f.yaml', '- model\n', 'expected options such as "model: DIRECTORY" in'],
    ['g.yaml', '', 'got an empty file'],
    ['h.yaml', '"model: a"\n', 'got a text'],
    ['i.yaml', Buffer.from('\ufeffmodel: a', 'utf16le'), 'in UTF-16; save it as UTF-8'],
    ['j.yaml', Buffer.from([0x6d, 0x3a, 0x20, 0xff]), 'which is not UTF-8'],
    ['k.yaml', ' '.repeat(1 << 21), 'k.yaml'],
    ['rows.jsonl', '{}', 'which is data; give it with --dataset'],
    ['model.gguf', 'GGUF', 'which is a model; give it with --model'],
  ])('refuses %s and says what is wrong with it', async (name, content, message) => {
    const file = join(folder, name)
    await writeFile(file, content)
    expect(await refusal(file)).toContain(message)
  })

  it('answers paths that are none with the nearest file, and directories with the flag that they are for', async () => {
    expect(await refusal(join(folder, 'run.yml'))).toMatch(/which does not exist; did you mean .*run\.yaml\?$/)
    expect(await refusal(join(folder, 'rum.yaml'))).toMatch(/did you mean .*run\.yaml\?$/)
    expect(await refusal(join(folder, 'elsewhere', 'x.yaml'))).toMatch(/does not exist; lowrank init writes one$/)
    expect(await refusal(folder)).toContain('which is a directory; a model is given with --model')
  })
})

describe('a secret in a configuration', () => {
  const secret = 'plain-secret-of-a-mirror'

  it.each<[string, string]>([
    ['in a list that is not closed', `token: [${secret}`],
    ['as an alias', `token: *${secret}`],
    ['in a wrong escape', `token: "\\q${secret}"`],
    ['in the header of a block', `token: |${secret}`],
    ['as a tag', `token: !${secret} x`],
    ['as a directive', `%TAG ${secret}\n---\ntoken: x`],
    ['behind a tab', `token:\n\t- ${secret}`],
    ['as a key that comes twice', `${secret}: 1\n${secret}: 2`],
    ['as the whole file', secret],
    ['as an anchor', `token: &${secret}`],
  ])('is not shown: %s', async (_, text) => {
    const file = join(folder, 'secret.yaml')
    await writeFile(file, text)
    const read = await readConfig(file).catch((error: Error) => error)
    const shown = read instanceof Error ? `${read.message}\n${read.stack}` : ''
    expect(shown).not.toContain(secret)
  })

  it.each([`token=[${secret}`, `token=*${secret}`, `${secret} token=1=`, `token:${secret}`, `token.x=${secret}`])(
    'is not shown in an error about --set %s',
    async (setting) => {
      const file = join(folder, 'secret.yaml')
      await writeFile(file, `token: ${secret}\n`)
      expect(await refusal(file, [setting])).not.toContain(secret)
    },
  )
})
