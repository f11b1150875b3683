/** @file `lowrank merge`: a directory that needs no adapter, what is said of it, and how mistakes are answered. */

import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { MergeReport } from '../../src/adapters/merge.js'
import { openCheckpoint } from '../../src/checkpoint/weights-on-disk.js'
import { createTokenizer } from '../../src/tokenizer/tokenizer.js'
import { readTensorBytes } from '../../src/weights/safetensors.js'
import { relativeDifference } from '../support/golden.js'
import { temporaryDirectory, tinyAdapter, tinyModel, writeTinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'
import { lowrank, program } from './run-cli.js'

const BF16_CASE = fileURLToPath(new URL('../golden/cases/llama-bf16-file', import.meta.url))
const folder = temporaryDirectory()
const base = join(folder, 'base')
const adapter = join(folder, 'adapter')

beforeAll(async () => {
  await writeTinyModel(base)
  const model = await tinyModel()
  const trained = tinyAdapter(model)
  trained.baseModelName = base
  await trained.save(adapter)
  model.dispose()
  model.device.close()
})

const generated = async (model: string, ...more: string[]): Promise<string> =>
  (await lowrank(['generate', '--model', model, '--prompt', 'one two three', '--max-new-tokens', '12', ...more])).stdout

describe('lowrank merge', () => {
  it('writes a model that answers as model and adapter do, and says how near', async () => {
    const output = join(folder, 'merged')
    const { code, stdout, stderr } = await lowrank(['merge', '--adapter', adapter, '--output', output])
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const lines = stdout.split('\n')
    expect(lines[0]).toBe(`Merged 14 projections into ${output} (bfloat16)`)
    expect(lines[1]).toMatch(
      /^Logits differ from those of the unmerged model by at most [\d.e-]+ and reach [\d.]+, over 64 tokens$/,
    )
    expect(lines[2]).toBe(`Try it: ${program} generate --model ${output} --prompt "..."`)
    expect((await readdir(output)).sort()).toEqual([
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ])
    const exact = join(folder, 'exact')
    await lowrank(['merge', '--adapter', adapter, '--output', exact, '--dtype', 'float32'])
    expect(await generated(exact)).toBe(await generated(base, '--adapter', adapter))
  })

  it('answers with the tokenizer and template that are beside the adapter, merges them in, and says so', async () => {
    const trained = join(folder, 'with-tokenizer')
    await cp(adapter, trained, { recursive: true })
    const { tokenizer, config } = tinyByteLevelTokenizer()
    await writeFile(join(trained, 'tokenizer.json'), JSON.stringify(tokenizer))
    const template = '{% for m in messages %}<s>{{ m.content }}{% endfor %}'
    await writeFile(join(trained, 'tokenizer_config.json'), JSON.stringify({ ...config, chat_template: template }))
    await writeFile(join(base, 'generation_config.json'), JSON.stringify({ num_beams: 3 }))
    onTestFinished(() => rm(join(base, 'generation_config.json')))
    const said = `Tokenizer and chat template are those in ${trained}\n`
    const asked = ['--adapter', trained, '--prompt', 'one', '--max-new-tokens', '4']
    const answer = await lowrank(['generate', ...asked, '--chat', '--json'])
    expect(answer.stderr).toBe(
      `${said}warning: generation_config.json of ${base} asks for num_beams = 3, which is not done here; answers may differ from those of transformers\n`,
    )
    expect(JSON.parse(answer.stdout).promptTokens).toBe(createTokenizer(tokenizer, config).encode('<s>one').length)
    const output = join(folder, 'merged-tokenizer')
    expect((await lowrank(['merge', '--adapter', trained, '--output', output])).stderr).toBe(said)
    expect(JSON.parse(await readFile(join(output, 'tokenizer_config.json'), 'utf8')).chat_template).toBe(template)
    expect(JSON.parse(await readFile(join(output, 'generation_config.json'), 'utf8'))).toEqual({ num_beams: 3 })
  })

  it('writes one JSON object with --json, on given prompts and a given base', async () => {
    const moved = join(folder, 'moved')
    await mkdir(moved)
    await cp(base, moved, { recursive: true })
    const output = join(folder, 'json')
    const args = ['--adapter', adapter, '--model', moved, '--output', output, '--max-shard-size', '60KB', '--json']
    const { code, stdout } = await lowrank(['merge', ...args, '--prompt', 'one', '--prompt', 'two three'])
    expect(code).toBe(0)
    const report = JSON.parse(stdout) as MergeReport
    expect(report).toMatchObject({ directory: output, dtype: 'bfloat16', mergedModules: 14, dequantizedModules: 0 })
    expect(report.files).toContain('model.safetensors.index.json')
    expect(report.comparedTokens).toBeGreaterThan(1)
    expect(report.comparedTokens).toBeLessThan(12)
    expect(report.logitDifference).toBeGreaterThan(0)
  })

  it('merges onto the decoded weights of NF4 with --quantization, and keeps 16 bits of a base that has them', async () => {
    const output = join(folder, 'nf4')
    const args = ['--model', BF16_CASE, '--adapter', join(BF16_CASE, 'adapter'), '--output', output, '--json']
    const { stdout } = await lowrank(['merge', ...args, '--quantization', 'nf4'])
    const report = JSON.parse(stdout) as MergeReport
    expect(report).toMatchObject({ dtype: 'bfloat16', untied: false })
    expect(report.dequantizedModules).toBeGreaterThanOrEqual(report.mergedModules)
    const { tensors } = await openCheckpoint(output)
    expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['BF16']))
  })

  it('computes on the device that --device names', async () => {
    const env = { LOWRANK_ADDON: fileURLToPath(new URL('../../build/Release/lowrank-emulator.node', import.meta.url)) }
    const weights: Float32Array[] = []
    for (const device of ['cpu', 'cuda-emulator']) {
      const output = join(folder, device)
      const args = ['--adapter', adapter, '--output', output, '--dtype', 'float32', '--device', device]
      expect(await lowrank(['merge', ...args], { env })).toMatchObject({ code: 0, stderr: '' })
      const entry = (await openCheckpoint(output)).tensors.get('model.layers.1.mlp.down_proj.weight')
      const bytes = await readTensorBytes(entry as NonNullable<typeof entry>)
      weights.push(new Float32Array(Uint8Array.from(bytes).buffer))
    }
    const [onCpu, onGpu] = weights as [Float32Array, Float32Array]
    expect(onCpu).toHaveLength(48 * 88)
    // Sums of r = 4 products in another order.
    expect(relativeDifference(onGpu, onCpu)).toBeLessThan(5e-7)
  })

  it.each<[string, string[], number, string]>([
    ['no adapter', ['--output', 'x'], 2, 'error: [merge] expected --adapter DIR, got none\n'],
    [
      'everything that is wrong at once',
      ['--dtype', 'int8', '--max-shard-size', '100000', '--quantization', 'nf5'],
      2,
      'error: [merge] 5 options are wrong:\n' +
        "  - [merge] expected 'bfloat16', 'float16' or 'float32' for --dtype, got \"int8\"\n" +
        '  - [merge] expected a size with its unit, as 5GB, for --max-shard-size, got "100000"\n' +
        '  - [merge] expected \'nf4\' for --quantization, got "nf5"\n' +
        '  - [merge] expected --adapter DIR, got none\n' +
        '  - [merge] expected --output DIR, got none\n' +
        'lowrank merge --help says more\n',
    ],
    ['no such dtype', ['--adapter', adapter, '--output', 'x', '--dtype', 'int8'], 2, 'for --dtype, got "int8"'],
    [
      'no such device',
      ['--adapter', adapter, '--output', 'x', '--device', 'gpu'],
      2,
      "[merge] expected 'cpu', 'cuda', 'cuda:N' or 'auto' for --device, got \"gpu\"",
    ],
    [
      'a GPU without the engine for it',
      ['--adapter', adapter, '--output', 'x', '--device', 'cuda:999'],
      1,
      '[device] expected a',
    ],
    [
      'a directory that is in use',
      ['--adapter', adapter, '--output', adapter],
      1,
      `got ${adapter}, which holds SHA256SUMS, adapter_config.json, adapter_model.safetensors; choose another, or remove it`,
    ],
  ])('%s', async (_, args, expectedCode, message) => {
    const { code, stderr } = await lowrank(['merge', ...args])
    expect(stderr).toContain(message)
    expect(code).toBe(expectedCode)
  })
})
