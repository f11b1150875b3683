/** @file The model directory of an adapter and of a whole model: what is in it, its hash, and what is refused. */

import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { changedFiles } from '../../src/checkpoint/checksums.js'
import { type ModelDirectory, packAdapter, packModel, writeModelDirectory } from '../../src/mlflow.js'
import { packageVersion } from '../../src/version.js'
import { rejection, temporaryDirectory, tinyAdapter, tinyModel, writeTinyModel } from '../support/tiny-model.js'

const folder = temporaryDirectory()
const base = join(folder, 'base')
const adapter = join(folder, 'adapter')
let copies = 0

beforeAll(async () => {
  await writeTinyModel(base)
  const model = await tinyModel()
  const made = tinyAdapter(model)
  made.baseModelName = base
  await made.save(adapter)
  model.dispose()
  model.device.close()
})

/** A copy of a directory, whose adapter_config.json or config.json may say something else. */
async function copy(
  from: string,
  changes: Record<string, unknown> = {},
  file = 'adapter_config.json',
): Promise<string> {
  const directory = join(folder, `copy-${copies++}`)
  await cp(from, directory, { recursive: true })
  if (Object.keys(changes).length === 0) return directory
  const path = join(directory, file)
  await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), ...changes }))
  return directory
}

function textOf(model: ModelDirectory, path: string): string {
  const { source } = model.files.find((file) => file.path === path) ?? {}
  return Buffer.from(source as Uint8Array).toString()
}

const PLANTED = 'hf_abcdefghijklmnopqrstuvwxyz012345'
const REVISION = '0123456789abcdef0123456789abcdef01234567'

/** Packed as an adapter of a model of the Hub. */
const ON_HUB = { baseModel: 'acme/base', baseRevision: REVISION }

describe('the model directory of an adapter', () => {
  it('has the layout of MLflow, and refers to the weights without copying them', async () => {
    const { files, totalBytes } = await packAdapter(adapter)
    expect(files.map(({ path }) => path)).toEqual([
      'LICENSE.txt',
      'MLmodel',
      'components/tokenizer/tokenizer.json',
      'components/tokenizer/tokenizer_config.json',
      'conda.yaml',
      'input_example.json',
      'peft/SHA256SUMS',
      'peft/adapter_config.json',
      'peft/adapter_model.safetensors',
      'python_env.yaml',
      'requirements.txt',
      'serving_input_example.json',
    ])
    const weights = files.find(({ path }) => path === 'peft/adapter_model.safetensors')
    expect(weights?.source).toBe(join(adapter, 'adapter_model.safetensors'))
    expect(totalBytes).toBe(files.reduce((sum, { size }) => sum + size, 0))
  })

  it('says in MLmodel what goes in and comes out, and takes base and tokenizer of the Hub at their commit', async () => {
    const packed = await packAdapter(adapter, { ...ON_HUB, runId: 'r1', modelId: 'm-1', inputExample: 'How are you?' })
    const text = textOf(packed, 'MLmodel')
    const mlmodel = parse(text)
    expect(mlmodel).toEqual(packed.mlmodel)
    expect(mlmodel).toEqual({
      flavors: {
        python_function: {
          env: { conda: 'conda.yaml', virtualenv: 'python_env.yaml' },
          loader_module: 'mlflow.transformers',
          python_version: '3.11.7',
        },
        transformers: {
          code: null,
          components: ['tokenizer'],
          instance_type: 'TextGenerationPipeline',
          task: 'text-generation',
          tokenizer_type: 'AutoTokenizer',
          transformers_version: '5.24.0',
          peft_adaptor: 'peft',
          pipeline_model_type: 'AutoModelForCausalLM',
          source_model_name: 'acme/base',
          source_model_revision: REVISION,
          tokenizer_name: 'acme/base',
          tokenizer_revision: REVISION,
        },
      },
      is_signature_from_type_hint: false,
      metadata: {
        lowrank: {
          kind: 'adapter',
          base_model: 'acme/base',
          base_model_revision: REVISION,
          r: 4,
          lora_alpha: 8,
          version: packageVersion(),
          content_hash: packed.hash,
        },
      },
      mlflow_version: '3.17.2',
      model_id: 'm-1',
      model_size_bytes: packed.totalBytes - Buffer.byteLength(text),
      model_uuid: packed.hash.slice(0, 32),
      run_id: 'r1',
      utc_time_created: expect.stringMatching(/^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/),
      prompts: null,
      saved_input_example_info: {
        artifact_path: 'input_example.json',
        serving_input_path: 'serving_input_example.json',
        type: 'json_object',
      },
      signature: {
        inputs: '[{"type":"string","required":true}]',
        outputs: '[{"type":"string","required":true}]',
        params: '[{"name":"max_new_tokens","default":256,"shape":null,"type":"long"}]',
      },
      type_hint_from_example: false,
    })
    expect(textOf(packed, 'input_example.json')).toBe('["How are you?"]')
    expect(textOf(packed, 'serving_input_example.json')).toBe('{"inputs":["How are you?"]}')
    // Its tokenizer would not be looked at.
    expect(packed.files.some(({ path }) => path.startsWith('components/'))).toBe(false)
  })

  it('names the base that the options name in the settings of the adapter too, with checksums that are right', async () => {
    const directory = join(folder, 'renamed')
    await writeModelDirectory(await packAdapter(adapter, ON_HUB), directory)
    const before = JSON.parse(await readFile(join(adapter, 'adapter_config.json'), 'utf8'))
    const after = JSON.parse(await readFile(join(directory, 'peft/adapter_config.json'), 'utf8'))
    expect(after).toEqual({ ...before, base_model_name_or_path: 'acme/base', revision: REVISION })
    const names = ['adapter_config.json', 'adapter_model.safetensors']
    expect(await changedFiles('test', join(directory, 'peft'), names)).toEqual([])
    expect(await readFile(join(directory, 'peft/SHA256SUMS'), 'utf8')).toMatch(/^[0-9a-f]{64} {2}adapter_config/)
  })

  it('names a base of this machine by its path, and takes its tokenizer along', async () => {
    const { mlmodel } = await packAdapter(adapter)
    expect(mlmodel).toMatchObject({
      flavors: { transformers: { local_base_model_path: base, source_model_name: base, peft_adaptor: 'peft' } },
    })
    expect(JSON.stringify(mlmodel)).not.toContain('source_model_revision')
  })

  it('asks for the versions that its logits are compared with, in pip, virtualenv and conda alike', async () => {
    const packed = await packAdapter(adapter)
    const packages = textOf(packed, 'requirements.txt').trimEnd().split('\n')
    const tested = await readFile(new URL('../peers/requirements.txt', import.meta.url), 'utf8')
    expect(packages).toHaveLength(7)
    for (const name of packages) expect(tested.split('\n')).toContain(name)
    expect(packages.map((name) => name.split('==')[0])).toContain('peft')
    expect(parse(textOf(packed, 'python_env.yaml'))).toMatchObject({ dependencies: ['-r requirements.txt'] })
    expect(parse(textOf(packed, 'conda.yaml'))).toMatchObject({
      dependencies: ['python=3.11.7', 'pip', { pip: packages }],
    })
  })

  it('has a card and its licence as MLflow lays them down', async () => {
    const directory = await copy(adapter)
    const header = 'license: other\nlicense_name: acme-terms\nlicense_link: https://example.com/terms\n'
    await writeFile(join(directory, 'README.md'), `---\n${header}---\n\n# An adapter\n`)
    const packed = await packAdapter(directory)
    expect(textOf(packed, 'model_card.md')).toBe('\n# An adapter\n')
    expect(textOf(packed, 'model_card_data.yaml')).toBe(header)
    expect(textOf(packed, 'LICENSE.txt')).toContain('It is other, acme-terms, https://example.com/terms.')
    expect(packed.files.map(({ path }) => path)).toContain('peft/README.md')
    await writeFile(join(directory, 'LICENSE'), 'All rights reserved')
    const paths = (await packAdapter(directory)).files.map(({ path }) => path)
    expect(paths).toContain('LICENSE')
    expect(paths).not.toContain('LICENSE.txt')
  })
})

describe('a model directory for conversations', () => {
  const CHAT = { task: 'llm/v1/chat' } as const

  it("has the signature and the example of OpenAI's interface, and says its task where servers look", async () => {
    const directory = await copy(base)
    await writeFile(join(directory, 'chat_template.jinja'), '{{ messages }}')
    const packed = await packModel(directory, { ...CHAT, inputExample: 'Good day' })
    const { signature, flavors, metadata } = packed.mlmodel as Record<string, Record<string, never>>
    expect(flavors?.transformers).toMatchObject({ task: 'text-generation', inference_task: 'llm/v1/chat' })
    expect(metadata).toMatchObject({ task: 'llm/v1/chat' })
    const [messages] = JSON.parse(signature?.inputs ?? '')
    expect(messages).toMatchObject({
      name: 'messages',
      required: true,
      type: 'array',
      items: { properties: { role: { type: 'string', required: true } } },
    })
    expect(JSON.parse(textOf(packed, 'serving_input_example.json'))).toEqual({
      messages: [{ role: 'user', content: 'Good day' }],
    })
    expect(packed.hash).not.toBe((await packModel(directory, { inputExample: 'Good day' })).hash)
  })

  it('is refused without a chat template, and where MLflow would take another one than that of training', async () => {
    expect(await rejection(packAdapter(adapter, CHAT))).toContain('expected a tokenizer with a chat template')
    expect(await rejection(packModel(base, CHAT))).toContain('expected a tokenizer with a chat template')
    const own = await copy(adapter)
    for (const name of ['tokenizer.json', 'tokenizer_config.json']) await cp(join(base, name), join(own, name))
    expect(await rejection(packAdapter(own, { ...ON_HUB, ...CHAT }))).toContain(
      'MLflow takes the tokenizer and chat template of acme/base from the Hub',
    )
    expect((await packAdapter(adapter, { ...ON_HUB, ...CHAT })).hash).toMatch(/^[0-9a-f]{64}$/)
  })
})

describe('the hash of a model directory', () => {
  it('is the same for the same adapter, whatever run it is of and when it is packed', async () => {
    const { hash } = await packAdapter(adapter)
    expect(hash).toMatch(/^[0-9a-f]{64}$/)
    expect((await packAdapter(adapter, { runId: 'r2', modelId: 'm-2' })).hash).toBe(hash)
    expect((await packAdapter(await copy(adapter))).hash).toBe(hash)
  })

  it('is another one for one byte of the weights, another base, or another example', async () => {
    const directory = await copy(adapter)
    const path = join(directory, 'adapter_model.safetensors')
    const bytes = await readFile(path)
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
    await writeFile(path, bytes)
    await rm(join(directory, 'SHA256SUMS'))
    const without = await copy(adapter)
    await rm(join(without, 'SHA256SUMS'))
    const packed = await Promise.all([
      packAdapter(without),
      packAdapter(directory),
      packAdapter(without, ON_HUB),
      packAdapter(without, { inputExample: 'Hi' }),
    ])
    expect(new Set(packed.map(({ hash }) => hash)).size).toBe(4)
  })
})

describe('an adapter that MLflow could not load', () => {
  it.each([
    [{ use_dora: true }, /use_dora is not supported yet, got true/],
    [{ trainable_token_indices: [1] }, /trainable_token_indices is not supported yet/],
    [{ peft_type: 'IA3' }, /peft_type/],
    [
      { base_model_name_or_path: null },
      /expected a base model in .*adapter_config\.json, got none; name it with baseModel/,
    ],
    [{ base_model_name_or_path: 'acme/base' }, /expected the commit of the base model acme\/base on the Hub/],
    [{ base_model_name_or_path: '/models/base.gguf' }, /got the GGUF file \/models\/base\.gguf/],
    [{ base_model_name_or_path: '/no/such/model' }, /expected a tokenizer beside the adapter or in its base model/],
  ])('is refused with what is wrong: %j', async (changes, message) => {
    expect(await rejection(packAdapter(await copy(adapter, changes)))).toMatch(message)
  })

  it.each([
    ['the example', (_: string) => ({ inputExample: `Ask with ${PLANTED}` })],
    [
      'the base model',
      (_: string) => ({ baseModel: `https://me:${PLANTED}@example.com/base`, baseRevision: REVISION }),
    ],
    [
      'the card',
      (directory: string) => {
        writeFileSync(join(directory, 'README.md'), `# Get it with ${PLANTED}`)
        return {}
      },
    ],
  ])('is refused where %s holds a token, which no error shows', async (_, plant) => {
    const directory = await copy(adapter)
    const message = await rejection(packAdapter(directory, plant(directory)))
    expect(message).toContain('expected no token or password')
    expect(message).not.toContain(PLANTED)
  })

  it('is left where a signal stops the packing', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    expect(await rejection(packAdapter(adapter, { signal }))).toBe('enough')
  })

  it('is refused where its weights are damaged, or are none', async () => {
    const directory = await copy(adapter)
    const path = join(directory, 'adapter_model.safetensors')
    const bytes = await readFile(path)
    await writeFile(path, bytes.subarray(0, bytes.length - 4))
    expect(await rejection(packAdapter(directory))).toContain(path)
    await rm(path)
    expect(await rejection(packAdapter(directory))).toContain(path)
    expect(await rejection(packAdapter(join(folder, 'nowhere')))).toContain('nowhere')
  })
})

describe('the model directory of a whole model', () => {
  it('has weights and tokenizer, and asks for no PEFT', async () => {
    const packed = await packModel(base, { baseModel: 'acme/base', baseRevision: REVISION })
    expect(packed.files.map(({ path }) => path)).toEqual([
      'LICENSE.txt',
      'MLmodel',
      'components/tokenizer/tokenizer.json',
      'components/tokenizer/tokenizer_config.json',
      'conda.yaml',
      'input_example.json',
      'model/config.json',
      'model/model.safetensors',
      'python_env.yaml',
      'requirements.txt',
      'serving_input_example.json',
    ])
    expect(packed.mlmodel).toMatchObject({
      flavors: { transformers: { model_binary: 'model', pipeline_model_type: 'LlamaForCausalLM' } },
      metadata: { lowrank: { kind: 'model', base_model: 'acme/base', base_model_revision: REVISION } },
    })
    expect(textOf(packed, 'requirements.txt')).not.toContain('peft')
  })

  it('is refused without weights, without a tokenizer, and with weights in NF4', async () => {
    const bare = await copy(base)
    await rm(join(bare, 'tokenizer.json'))
    expect(await rejection(packModel(bare))).toContain(`expected a tokenizer in ${bare}, got none`)
    const quantized = await copy(base, { quantization_config: { load_in_4bit: true } }, 'config.json')
    expect(await rejection(packModel(quantized))).toContain('expected dense weights')
    expect(await rejection(packModel(adapter))).toContain(adapter)
  })
})

describe('writeModelDirectory', () => {
  it('writes every file as it was packed, and into no directory that holds something', async () => {
    const packed = await packAdapter(adapter)
    const directory = join(folder, 'written')
    await writeModelDirectory(packed, directory)
    for (const { path, size, sha256 } of packed.files) {
      const bytes = await readFile(join(directory, path))
      expect([bytes.length, createHash('sha256').update(bytes).digest('hex')]).toEqual([size, sha256])
    }
    expect(await rejection(writeModelDirectory(packed, directory))).toContain('which holds')
  })
})
