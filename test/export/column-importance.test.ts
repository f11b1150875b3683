/** @file The importance matrix: mean squares of inputs, and what it does to a file. */

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { columnImportance } from '../../src/export/column-importance.js'
import { writeGgufModel } from '../../src/export/gguf-model.js'
import { rmsNorm } from '../../src/ops/rms-norm.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { TINY_CONFIG, temporaryDirectory, tinyModel, writeTinyModel } from '../support/tiny-model.js'

const folder = temporaryDirectory()

test('has the mean squares of the inputs of every projection but the head', async () => {
  const model = await tinyModel()
  const ids = [5, 17, 3, 200, 411, 17]
  const importance = await columnImportance(model, [ids.slice(0, 4), ids.slice(4)])
  expect([...importance.keys()].sort()).toEqual(
    [...model.parameters().keys()].filter((name) => /_proj\.weight$/.test(name)).sort(),
  )
  // The inputs of the first projections: embeddings, normalised.
  const embedding = await model.parameters().get('model.embed_tokens.weight')!.read()
  const { hidden_size: width, rms_norm_eps: eps } = TINY_CONFIG as { hidden_size: number; rms_norm_eps: number }
  const rows = Float32Array.from(ids.flatMap((id) => Array.from(embedding.subarray(id * width, (id + 1) * width))))
  const norm = model.parameters().get('model.layers.0.input_layernorm.weight')!
  const { y } = rmsNorm(Tensor.from(model.device, rows, [ids.length, width]), norm, { eps })
  const values = await y.read()
  const wanted = Array.from({ length: width }, (_, i) =>
    ids.reduce((sum, __, row) => sum + (values[row * width + i] as number) ** 2 / ids.length, 0),
  )
  const found = importance.get('model.layers.0.self_attn.q_proj.weight')!
  found.forEach((value, i) => {
    expect(Math.abs(value - wanted[i]!)).toBeLessThan(1e-5 * Math.max(...wanted))
  })
  expect(importance.get('model.layers.0.self_attn.k_proj.weight')).toEqual(found)
  expect(importance.get('model.layers.1.mlp.down_proj.weight')).toHaveLength(88)
  model.dispose()
})

test('refuses calibration without tokens, or with those of another model', async () => {
  const model = await tinyModel()
  for (const ids of [[], [[]], [[3, 512]], [[1.5]]])
    await expect(columnImportance(model, ids)).rejects.toThrow(
      '[gguf] expected calibration to give token ids in [0, 512)',
    )
  model.dispose()
})

test('brings the logits of calibration texts nearer', async () => {
  const config = { ...TINY_CONFIG, hidden_size: 256, intermediate_size: 512 }
  await writeTinyModel(join(folder, 'model'))
  const model = await tinyModel({ config })
  // Some inputs are much larger than others, as in trained models.
  for (const [name, parameter] of model.parameters()) {
    if (/layernorm/.test(name)) parameter.set((await parameter.read()).map((_, i) => (i % 16 === 0 ? 5 : 0.2)))
  }
  const ids = Array.from({ length: 60 }, (_, i) => (i * 37) % 500)
  const logitsOf = async (one: typeof model): Promise<Float32Array> => {
    const { logits } = one.forward({ inputIds: [ids] }, { logits: true })
    return (await logits.read()) as Float32Array
  }
  const logits = await logitsOf(model)
  const errorOf = async (calibration?: number[][]): Promise<number> => {
    const path = join(folder, 'model.gguf')
    await writeGgufModel(model, path, {
      type: 'Q4_K_M',
      tokenizerFrom: join(folder, 'model'),
      ...(calibration && { calibration }),
    })
    const written = await loadModel(path, { device: model.device, dtype: 'float32' })
    const found = await logitsOf(written)
    written.dispose()
    return Math.sqrt(found.reduce((sum, value, i) => sum + (value - logits[i]!) ** 2, 0) / found.length)
  }
  expect(await errorOf([ids])).toBeLessThan(0.9 * (await errorOf()))
  model.dispose()
})
