/**
 * @file Tokenizers of `@huggingface/transformers` and of its predecessor `@xenova/transformers`: lowrank takes their
 * objects, gives the same ids as with its own, and trains the same adapter. The packages are those of
 * test/peers/runtimes-without-scripts.txt. Without its scripts `@xenova/transformers` lacks the library of images that
 * its entry loads, so its tokenizers come from the file that has them.
 */

import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { asTokenizer, type ForeignTokenizer } from '../../src/tokenizer/adapt.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { trainLora } from '../../src/train/train-lora.js'
import { awkwardText, dice } from '../support/awkward-texts.js'

const runtimes = process.env.LOWRANK_TEST_RUNTIMES || undefined
if (runtimes === undefined && process.env.LOWRANK_TEST_PEERS === 'required') {
  throw new Error(
    '[test] expected LOWRANK_TEST_RUNTIMES to name a node_modules folder with test/peers/runtimes-without-scripts.txt, got nothing',
  )
}

const MODEL = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))

/**
 * What JavaScript's patterns take for other characters than the tokenizers of Rust, which ours follows: some spaces,
 * and halves of surrogate pairs.
 */
const DIFFERENT = /[\u0085\ufeff]|\p{Surrogate}/u

/** What the tests use of either package. */
interface TransformersJs {
  AutoTokenizer: { from_pretrained(name: string, options: object): Promise<ForeignTokenizer> }
  env: { localModelPath: string; allowRemoteModels: boolean; useFSCache: boolean }
}

const packages = {
  '@huggingface/transformers': async (folder: string): Promise<TransformersJs> =>
    await import(pathToFileURL(createRequire(join(folder, 'packages.js')).resolve('@huggingface/transformers')).href),
  '@xenova/transformers': async (folder: string): Promise<TransformersJs> => {
    const source = join(folder, '@xenova/transformers/src')
    const [tokenizers, environment] = await Promise.all(
      ['tokenizers.js', 'env.js'].map((file) => import(pathToFileURL(join(source, file)).href)),
    )
    return { AutoTokenizer: tokenizers.AutoTokenizer, env: environment.env }
  },
}

describe.skipIf(runtimes === undefined)('a tokenizer of transformers.js', () => {
  let folder: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lowrank-transformers-js-'))
    const { resolve } = createRequire(import.meta.url)
    for (const name of ['gpt2', 'llama2', 'llama3'])
      await cp(dirname(resolve(`@lenml/tokenizer-${name}/models/tokenizer.json`)), join(folder, name), {
        recursive: true,
      })
    await mkdir(join(folder, 'base'))
    await cp(join(MODEL, 'tokenizer_config.json'), join(folder, 'base/tokenizer_config.json'))
    // Merges as older versions write them, which is all that `@xenova/transformers` reads: 'a b' for ['a', 'b'].
    const { model, ...rest } = JSON.parse(await readFile(join(MODEL, 'tokenizer.json'), 'utf8'))
    const merges = model.merges.map((pair: string | string[]) => (typeof pair === 'string' ? pair : pair.join(' ')))
    await writeFile(join(folder, 'base/tokenizer.json'), JSON.stringify({ ...rest, model: { ...model, merges } }))
  })
  afterAll(() => rm(folder, { recursive: true }))

  describe.each(Object.entries(packages))('of %s', (_, load) => {
    let library: TransformersJs
    beforeAll(async () => {
      library = await load(runtimes as string)
      Object.assign(library.env, { localModelPath: folder, allowRemoteModels: false, useFSCache: false })
    })

    const open = async (name: string): Promise<{ object: ForeignTokenizer; foreign: Tokenizer; own: Tokenizer }> => {
      const object = await library.AutoTokenizer.from_pretrained(name, { local_files_only: true })
      return { object, foreign: asTokenizer(object), own: await loadTokenizer(join(folder, name)) }
    }

    it.each(['gpt2', 'llama2', 'llama3'])('gives the ids of %s, and the texts back, as ours does', async (name) => {
      const { foreign, own } = await open(name)
      expect([foreign.bosTokenId, foreign.eosTokenId]).toEqual([own.bosTokenId, own.eosTokenId])
      const special = [...own.specialTokens.keys()].slice(0, 3)
      const random = dice(17)
      const texts = [
        'Hello world',
        '',
        ' ',
        '   leading and  double   spaces ',
        "It's 1,024 na\u00efve\n\ttokens \u{1f680}\n\n",
        '\u65e5\u672c\u8a9e, \u0440\u0443\u0441\u0441\u043a\u0438\u0439, \u0627\u0644\u0639\u0631\u0628\u064a\u0629, \u05e2\u05d1\u05e8\u05d9\u05ea',
        'e\u0301 and \u00e9, \u{1f468}\u200d\u{1f469}\u200d\u{1f467}, \u00a0',
        ...special.flatMap((token) => [token, `a${token}b`, `a ${token} b`]),
        ...Array.from({ length: 400 }, () => awkwardText(random)).filter((text) => !DIFFERENT.test(text)),
      ]
      for (const text of texts) {
        for (const addSpecialTokens of [true, false]) {
          const ids = own.encode(text, { addSpecialTokens })
          expect(foreign.encode(text, { addSpecialTokens }), JSON.stringify(text)).toEqual(ids)
        }
      }
      for (const text of texts.slice(0, 7)) {
        const ids = own.encode(text, { addSpecialTokens: false })
        expect(foreign.decode(ids), JSON.stringify(text)).toBe(own.decode(ids))
      }
    })

    it('trains the adapter that our tokenizer trains, to the byte', async () => {
      const { object } = await open('base')
      const rows = Array.from({ length: 8 }, (_, i) => ({
        prompt: `Add ${i} and ${i + 1}: `,
        completion: `${2 * i + 1}`,
      }))
      const digests: string[] = []
      for (const tokenizer of [object, undefined]) {
        const outputDir = await mkdtemp(join(folder, 'run-'))
        const training = { maxSteps: 3, saveStrategy: 'no' } as const
        const { adapter, model } = await trainLora({ model: MODEL, dataset: rows, tokenizer, lora: { r: 4 }, training })
        await adapter?.save(outputDir)
        model.dispose()
        const bytes = await readFile(join(outputDir, 'adapter_model.safetensors'))
        digests.push(createHash('sha256').update(bytes).digest('hex'))
      }
      expect(digests[0]).toBe(digests[1])
    })
  })
})
