/**
 * @file What is packed for GGUF files, against PyPI's gguf and llama.cpp's own quantiser: the same bytes in the simple
 * formats, the same format for every tensor, and in the formats in "K" no worse a model.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { RawConfig } from '../../src/architecture/config.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import type { Example } from '../../src/data/examples.js'
import { columnImportance } from '../../src/export/column-importance.js'
import { FILE_TYPES, type GgufFileType } from '../../src/export/gguf-file-types.js'
import { writeGgufModel } from '../../src/export/gguf-model.js'
import { packRows } from '../../src/gguf/formats.js'
import { ggufName } from '../../src/gguf/names.js'
import { readGguf } from '../../src/gguf/reader.js'
import { Device } from '../../src/tensor/device.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { evaluateLoss } from '../../src/train/evaluate-loss.js'
import { dice } from '../support/awkward-texts.js'
import { cases, isLong } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer, writeTinyTokenizer } from '../support/tiny-tokenizer.js'
import { describeWithLlamaCpp, LLAMA_LIBRARIES } from './llama-cpp.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = fileURLToPath(new URL('gguf_peer.py', import.meta.url))
const SHIPPED = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))

/** What `read` of gguf_peer.py prints. */
interface ReadFile {
  readonly keys: Readonly<Record<string, unknown>>
  readonly types: Readonly<Record<string, readonly string[]>>
  readonly tensors: Readonly<Record<string, { type: string; shape: readonly number[]; sha256: string }>>
}

const EMPTY = { keys: {}, types: {} }

const folder = temporaryDirectory()
let device: Device
beforeAll(() => {
  device = Device.open()
})
afterAll(() => device.close())

async function peer(args: readonly string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await runPython([SCRIPT, ...args], input)
  expect(code, stderr.slice(-2000)).toBe(0)
  return stdout
}

const readFile = async (path: string): Promise<ReadFile> => JSON.parse(await peer(['read', path])) as ReadFile

/** What llama.cpp's quantiser makes of a file, by type. */
async function requantised(
  source: string,
  types: readonly GgufFileType[],
  importance?: Readonly<Record<string, number[]>>,
): Promise<Map<GgufFileType, string>> {
  const targets = new Map(types.map((type) => [type, `${source}.${type}${importance ? '.weighted' : ''}.llama.gguf`]))
  const named = [...targets].flatMap(([type, target]) => [source, target, String(FILE_TYPES[type].fileType)])
  await peer(['quantize', LLAMA_LIBRARIES, ...named], importance ? JSON.stringify(importance) : '')
  return targets
}

/** The format of every tensor. */
const formatsIn = ({ tensors }: ReadFile): Record<string, string> =>
  Object.fromEntries(Object.entries(tensors).map(([name, { type }]) => [name, type]))

/** Rows of 256: of many sizes, with zeros, equal values, ties, and numbers that float16 has no room for in full. */
function awkwardRows(count: number): Float32Array {
  const random = dice(19)
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())
  const rows = Float32Array.from({ length: 256 * count }, (_, i) => {
    const kind = Math.floor(i / 256) % 8
    if (kind === 0) return 0
    if (kind === 1) return 0.25
    if (kind === 2) return (random.below(17) - 8) / 16
    if (kind === 3) return 1e-6 * normal()
    if (kind === 4) return random.chance(0.9) ? 0 : 30 * normal()
    // Smaller ones have no reciprocal: what they are multiplied by is then infinite there.
    if (kind === 5) return 1e-30 * normal()
    return 10 ** (kind - 6) * normal()
  })
  // A block of one value that counts, and one of the other sign.
  rows[3] = -7
  rows[100] = 1e-3
  return rows
}

describeWithPython("PyPI's gguf", () => {
  it('packs rows into the same bytes', async () => {
    const values = awkwardRows(64)
    const formats = ['F16', 'BF16', 'Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1'] as const
    const lines = (await peer(['pack', ...formats], Buffer.from(values.buffer).toString('base64'))).trim().split('\n')
    expect(lines).toHaveLength(formats.length)
    for (const [i, format] of formats.entries()) {
      const ours = Buffer.from(await packRows('w', format, values))
      const theirs = Buffer.from(lines[i] as string, 'base64')
      const block = ours.length / 512
      const different = Array.from({ length: 512 }, (_, at) => at).filter(
        (at) => !ours.subarray(at * block, (at + 1) * block).equals(theirs.subarray(at * block, (at + 1) * block)),
      )
      expect(different, `blocks of 32 values in ${format}`).toEqual([])
    }
  })

  it('reads a file with its keys, their types, and tensors of the names, formats and shapes that we read', async () => {
    const model = await loadModel(SHIPPED, { device, dtype: 'float32' })
    const path = join(folder, 'read.gguf')
    const { formats } = await writeGgufModel(model, path, { type: 'Q4_0', tokenizerFrom: SHIPPED })
    model.dispose()
    const read = await readFile(path)
    const { keys, types, tensors } = read
    const tokenizer = await loadTokenizer(SHIPPED)
    expect(keys).toMatchObject({
      'general.architecture': 'llama',
      'general.name': 'lowrank-base-5m',
      'general.file_type': 2,
      'general.quantization_version': 2,
      'llama.block_count': 6,
      'llama.context_length': 512,
      'llama.embedding_length': 256,
      'llama.feed_forward_length': 640,
      'llama.attention.head_count': 4,
      'llama.attention.head_count_kv': 2,
      'llama.rope.freq_base': 10000,
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.eos_token_id': tokenizer.eosTokenId,
    })
    expect(keys['llama.attention.layer_norm_rms_epsilon']).toBeCloseTo(1e-5, 10)
    expect(types).toMatchObject({
      'general.file_type': ['UINT32'],
      'llama.block_count': ['UINT32'],
      'llama.rope.freq_base': ['FLOAT32'],
      'tokenizer.ggml.tokens': ['ARRAY', 'STRING'],
      'tokenizer.ggml.token_type': ['ARRAY', 'INT32'],
      'tokenizer.ggml.merges': ['ARRAY', 'STRING'],
      'tokenizer.ggml.eos_token_id': ['UINT32'],
    })
    const texts = keys['tokenizer.ggml.tokens'] as string[]
    expect(texts).toEqual(Array.from({ length: 4096 }, (_, id) => tokenizer.idToToken(id)))
    const ours = [...readGguf(path).tensors].map(([name, { shape }]) => [name, shape] as const)
    expect(Object.entries(tensors).map(([name, { shape }]) => [name, shape])).toEqual(ours)
    const counted: Record<string, number> = {}
    for (const format of Object.values(formatsIn(read))) counted[format] = (counted[format] ?? 0) + 1
    expect(counted).toEqual(formats)
  })
})

const SMALL: RawConfig = {
  vocab_size: 512,
  hidden_size: 256,
  // Rows that 256 does not divide: what is done with them is a rule of its own.
  intermediate_size: 288,
  num_hidden_layers: 9,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  tie_word_embeddings: false,
}
const MIXES: Record<string, RawConfig> = {
  llama: { ...SMALL, model_type: 'llama' },
  'llama of 80 layers': {
    ...SMALL,
    model_type: 'llama',
    intermediate_size: 32,
    num_hidden_layers: 80,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 32,
  },
  mistral: { ...SMALL, model_type: 'mistral', intermediate_size: 512 },
  'qwen2 with a tied head': { ...SMALL, model_type: 'qwen2', tie_word_embeddings: true },
  qwen3: { ...SMALL, model_type: 'qwen3', hidden_size: 160, head_dim: 64 },
  gpt2: { model_type: 'gpt2', vocab_size: 512, n_embd: 256, n_layer: 9, n_head: 4, n_positions: 128 },
}
const MIXED: readonly GgufFileType[] = ['Q4_K_M', 'Q5_K_M', 'Q6_K', 'Q4_0', 'Q5_0', 'Q8_0']

describeWithPython('the formats of the tensors', () => {
  describeWithLlamaCpp("are those of llama.cpp's quantiser", () => {
    it.each(Object.entries(MIXES))('%s', async (name, config) => {
      const directory = join(folder, name)
      await writeTinyTokenizer(directory, tinyByteLevelTokenizer())
      const model = createModel(config, { device, dtype: 'float32', seed: 8 })
      const write = async (type: GgufFileType, calibration?: number[][]): Promise<string> => {
        const path = join(directory, `${type}${calibration ? '.weighted' : ''}.gguf`)
        await writeGgufModel(model, path, { type, tokenizerFrom: directory, ...(calibration && { calibration }) })
        return path
      }
      const whole = await write('F32')
      const types = name === 'llama' ? MIXED : MIXED.slice(0, cases(2, MIXED.length))
      const theirs = await requantised(whole, types)
      for (const [type, path] of theirs)
        expect(formatsIn(await readFile(await write(type))), type).toEqual(formatsIn(await readFile(path)))
      if (name === 'llama') {
        const calibration = [[5, 17, 300, 42, 8, 99]]
        const weighted = await requantised(whole, types, await importanceOf(model, calibration))
        for (const [type, path] of weighted)
          expect(formatsIn(await readFile(await write(type, calibration))), `${type}, calibrated`).toEqual(
            formatsIn(await readFile(path)),
          )
      }
      model.dispose()
    })
  })
})

/** The importance of columns under llama.cpp's names. */
async function importanceOf(model: CausalLM, sequences: readonly number[][]): Promise<Record<string, number[]>> {
  const measured = await columnImportance(model, sequences)
  return Object.fromEntries([...measured].map(([name, values]) => [ggufName(name, 'llama') as string, [...values]]))
}

/** The shipped model with its feed-forward layers widened by zeros: the same function, in rows that 256 divides. */
async function widened(): Promise<CausalLM> {
  const source = await loadModel(SHIPPED, { device, dtype: 'float32' })
  const raw = JSON.parse(readFileSync(join(SHIPPED, 'config.json'), 'utf8')) as RawConfig
  const model = createModel({ ...raw, intermediate_size: 768 }, { device, dtype: 'float32' })
  const from = source.parameters()
  for (const [name, parameter] of model.parameters()) {
    const narrow = from.get(name)
    if (narrow === undefined) throw new Error(`[test] expected ${name} in the shipped model`)
    const values = await narrow.read()
    const [rows, cols] = [narrow.shape[0] as number, narrow.shape[1] ?? 1]
    const wide = new Float32Array(parameter.size)
    for (let row = 0; row < rows; row++)
      wide.set(values.subarray(row * cols, (row + 1) * cols), (row * wide.length) / (parameter.shape[0] as number))
    parameter.set(wide)
  }
  source.dispose()
  return model
}

/** Texts that the model itself would write: there every change of the weights costs something. */
async function ownTexts(model: CausalLM, count: number): Promise<Example[]> {
  const prompts = Array.from({ length: count }, (_, i) => [100 + 53 * i])
  const answers = await model.generate(prompts, { maxNewTokens: 128, doSample: true, temperature: 1, seed: 3 })
  return answers.map((ids, i) => exampleOf([...(prompts[i] as number[]), ...ids]))
}

function exampleOf(ids: readonly number[]): Example {
  const inputIds = Int32Array.from(ids)
  return { inputIds, labels: inputIds.slice(), numSupervised: ids.length - 1, promptLength: 1 }
}

describeWithPython('a trained model', () => {
  describeWithLlamaCpp("against llama.cpp's quantiser", () => {
    const types: readonly GgufFileType[] = ['Q8_0', 'Q5_0', 'Q4_0', 'Q6_K', 'Q5_K_M', 'Q4_K_M']
    let model: CausalLM
    let theirs: Map<GgufFileType, string>
    const ours = (type: GgufFileType): string => join(folder, `shipped.${type}.gguf`)

    beforeAll(async () => {
      model = await widened()
      for (const type of ['F32', ...types] as const)
        await writeGgufModel(model, ours(type), { type, tokenizerFrom: SHIPPED })
      theirs = await requantised(ours('F32'), types)
    })
    afterAll(() => model?.dispose())

    it('has the same bytes, but for the formats in K', async () => {
      for (const [type, path] of theirs) {
        const [mine, other] = [(await readFile(ours(type))).tensors, (await readFile(path)).tensors]
        expect(Object.keys(mine).sort(), type).toEqual(Object.keys(other).sort())
        const different = Object.keys(mine).filter((name) => mine[name]?.sha256 !== other[name]?.sha256)
        expect(
          different.filter((name) => !/_K$/.test(mine[name]?.type as string)),
          type,
        ).toEqual([])
        expect(formatsIn({ ...EMPTY, tensors: mine }), type).toEqual(formatsIn({ ...EMPTY, tensors: other }))
      }
    })

    const measure = async (of: CausalLM, examples: readonly Example[]): Promise<number> =>
      Math.exp((await evaluateLoss(of, examples)).loss)
    const perplexity = async (path: string, examples: readonly Example[]): Promise<number> => {
      const loaded = await loadModel(path, { device, dtype: 'float32' })
      const value = await measure(loaded, examples)
      loaded.dispose()
      return value
    }

    it('has a perplexity within 1 %', async () => {
      const tokenizer = await loadTokenizer(SHIPPED)
      const text = readFileSync(new URL('../../LICENSE', import.meta.url), 'utf8')
      const prose = (text.match(/.{1,1500}/gs) ?? []).map((part) => exampleOf(tokenizer.encode(part)))
      const own = await ownTexts(model, cases(20, 64))
      const whole = await measure(model, own)
      for (const type of types.slice(cases(5, 2))) {
        const [mine, other] = [ours(type), theirs.get(type) as string]
        for (const examples of [own, prose]) {
          const ratio = (await perplexity(mine, examples)) / (await perplexity(other, examples))
          expect(Math.abs(ratio - 1), `${type}, ${examples === own ? 'own' : 'prose'}`).toBeLessThan(0.01)
        }
        // The comparison tells good from bad: what is lost can be seen, and is little.
        const lost = (await perplexity(mine, own)) / whole
        expect(lost).toBeGreaterThan(1.0005)
        expect(lost).toBeLessThan(1.03)
      }
    })

    if (isLong) {
      it('has one within 1 % with an importance matrix', async () => {
        const own = await ownTexts(model, 20)
        const calibration = (await ownTexts(model, 40)).slice(20).map(({ inputIds }) => [...inputIds])
        const path = join(folder, 'shipped.calibrated.gguf')
        await writeGgufModel(model, path, { type: 'Q4_K_M', tokenizerFrom: SHIPPED, calibration })
        const other = await requantised(ours('F32'), ['Q4_K_M'], await importanceOf(model, calibration))
        const [mine, reference] = [await perplexity(path, own), await perplexity(other.get('Q4_K_M') as string, own)]
        expect(Math.abs(mine / reference - 1)).toBeLessThan(0.01)
        // What counts is kept better than without one.
        expect(mine).toBeLessThan(await perplexity(ours('Q4_K_M'), own))
      })
    }
  })
})
