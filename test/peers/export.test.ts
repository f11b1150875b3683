/**
 * @file Exports in the programs that they are for: mlx-lm on MLX's CPU backend, transformers and PEFT, and Go's
 * text/template, in which Ollama's templates are.
 */

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { LoraOptions } from '../../src/adapters/lora-config.js'
import type { RawConfig } from '../../src/architecture/config.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { exportModel } from '../../src/export/export-model.js'
import { goTemplate, renderTurns, TURN_FAMILIES } from '../../src/export/turn-families.js'
import {
  TINY_CONFIG,
  TINY_GPT2_CONFIG,
  TINY_QWEN3_CONFIG,
  temporaryDirectory,
  tinyAdapter,
  tinyModel,
  writeTinyModel,
} from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

const script = fileURLToPath(new URL('export_logits.py', import.meta.url))
const IDS = [
  [1, 17, 300, 45, 45, 2, 511],
  [400, 3, 99, 0, 250],
]

const MODELS: [string, RawConfig, LoraOptions][] = [
  ['llama', TINY_CONFIG, { targetModules: ['q_proj', 'down_proj', 'lm_head'], rankPattern: { down_proj: 3 } }],
  ['qwen2', { ...TINY_CONFIG, model_type: 'qwen2' }, {}],
  ['qwen3', { ...TINY_QWEN3_CONFIG, attention_bias: false, tie_word_embeddings: true }, { useRslora: true }],
  ['mistral', { ...TINY_CONFIG, model_type: 'mistral', sliding_window: null }, { targetModules: ['v_proj'] }],
  ['gpt2', TINY_GPT2_CONFIG, { alphaPattern: { c_fc: 3 } }],
]

async function theirs(by: 'mlx' | 'transformers', model: string, adapter?: string): Promise<number[][][]> {
  const { code, stdout, stderr } = await runPython([script], JSON.stringify({ by, model, adapter, ids: IDS }))
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout) as number[][][]
}

async function ours(model: CausalLM): Promise<number[][]> {
  const rows: number[][] = []
  for (const ids of IDS) {
    const { logits } = model.forward({ inputIds: Int32Array.from(ids), cuSeqlens: [0, ids.length] }, { logits: true })
    rows.push([...(await logits.read())])
    logits.dispose()
  }
  return rows
}

/** Largest difference as a share of the largest logit. */
function share(expected: readonly number[][], got: readonly number[][][]): number {
  const flat = got.map((rows) => rows.flat())
  let difference = 0
  let largest = 0
  for (const [i, row] of expected.entries()) {
    for (const [j, value] of row.entries()) {
      difference = Math.max(difference, Math.abs(value - (flat[i]?.[j] ?? Number.NaN)))
      largest = Math.max(largest, Math.abs(value))
    }
  }
  return difference / largest
}

describeWithPython('exportModel', () => {
  const folder = temporaryDirectory()

  it.each(MODELS)('writes a %s that mlx-lm, transformers and PEFT compute alike', async (name, config, options) => {
    const base = await writeTinyModel(join(folder, name), { config })
    const adapter = join(folder, `${name}-adapter`)
    const made = await tinyModel({ config })
    const trained = tinyAdapter(made, options)
    trained.baseModelName = base
    await trained.save(adapter)
    made.dispose()
    made.device.close()
    const common = { adapter, computeDtype: 'float32', compareTokens: 16 } as const
    const place = (format: string): string => join(folder, `${name}-${format}`)
    for (const format of ['merged', 'mlx'] as const)
      await exportModel({ ...common, format, output: place(format), dtype: 'float32' })
    for (const format of ['peft', 'vllm', 'mlx-adapter'] as const)
      await exportModel({ ...common, format, output: place(format) })
    await exportModel({ model: base, format: 'mlx', output: place('mlx-base'), dtype: 'float32', compareTokens: 16 })
    const model = await loadModel(base, { dtype: 'float32' })
    await LoraAdapter.load(model, adapter)
    const expected = await ours(model)
    model.dispose()
    // float32 sums in other orders.
    const near = 2e-5
    expect(share(expected, await theirs('mlx', place('mlx')))).toBeLessThan(near)
    expect(share(expected, await theirs('mlx', place('mlx-base'), place('mlx-adapter')))).toBeLessThan(near)
    expect(share(expected, await theirs('transformers', place('merged')))).toBeLessThan(near)
    expect(share(expected, await theirs('transformers', base, place('peft')))).toBeLessThan(near)
    expect(share(expected, await theirs('transformers', base, place('vllm')))).toBeLessThan(near)
    expect(share(expected, await theirs('mlx', place('mlx-base')))).toBeGreaterThan(100 * near)
  })

  it("writes templates in Go's language that Go renders as the families are rendered here", async () => {
    const turns = (...roles: string[]) => roles.map((role, i) => ({ role, content: `Text ${i} of "${role}" {{ & <b>` }))
    const talks = [turns('user'), turns('system', 'user'), turns('system', 'user', 'assistant', 'user')]
    const asked = TURN_FAMILIES.flatMap((family) =>
      talks.map((messages) => {
        const system = messages[0]?.role === 'system' ? messages[0].content : ''
        const Messages = messages.map(({ role, content }) => ({ Role: role, Content: content }))
        return { expected: renderTurns(family, messages), given: [goTemplate(family), { Messages, System: system }] }
      }),
    )
    const render = fileURLToPath(new URL('go_render.py', import.meta.url))
    const { code, stdout, stderr } = await runPython([render], JSON.stringify(asked.map(({ given }) => given)))
    expect(code, stderr).toBe(0)
    expect(JSON.parse(stdout)).toEqual(asked.map(({ expected }) => expected))
  })
})
