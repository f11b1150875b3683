/**
 * @file Models that are loaded and disposed again and again: what they took is back at once, not when the collector
 * comes.
 */

import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import type { RawConfig } from '../../src/architecture/config.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import { cases, isLong } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const CHILD = fileURLToPath(new URL('./reload-child.mjs', import.meta.url))

/** SmolLM2-135M; `npm test` takes a fifth of its layers. */
const SMOLLM2: RawConfig = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  vocab_size: 49152,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: isLong ? 30 : 6,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-5,
  rope_theta: 100000,
  tie_word_embeddings: true,
}

const folder = temporaryDirectory()

test("a model of SmolLM2's shape is loaded and disposed again and again within one and a half of its memory", async () => {
  const directory = join(folder, 'smollm2')
  const source = createModel(SMOLLM2, { dtype: 'bfloat16' })
  await saveModel(source, directory)
  source.dispose()
  const { size } = await stat(join(directory, 'model.safetensors'))
  const times = cases(12, 50)
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, directory, String(times)], {
    env: { ...process.env, LOWRANK_MEMORY_BUDGET: String(Math.round(1.5 * size)) },
  })
  const { before, after } = JSON.parse(stdout)
  expect(after.threads).toBe(0)
  // A device has two ranges of 64 GiB, or weights of hundreds of MiB.
  expect(after.addresses - before.addresses).toBeLessThan(1024)
  expect(after.resident - before.resident).toBeLessThan(size / 2 ** 21)
})
