/** @file What tests of GGUF files share: a device, a directory for each test, and models whose every value counts. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach } from 'vitest'
import type { RawConfig } from '../../src/architecture/config.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { Device } from '../../src/tensor/device.js'
import type { ComputeDType } from '../../src/tensor/dtype.js'

/** A device that is closed after the tests of the file. */
export function deviceOfFile(): Device {
  const device = Device.open()
  afterAll(() => device.close())
  return device
}

/** Gives `use` an empty directory before each test, which is removed after it. */
export function directoryOfTest(use: (directory: string) => void): void {
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lowrank-gguf-'))
    use(directory)
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))
}

/** A random model whose biases and norms are not what they begin as. */
export async function livelyModel(config: RawConfig, device: Device, dtype: ComputeDType): Promise<CausalLM> {
  const model = createModel(config, { device, dtype, seed: 4 })
  for (const [name, parameter] of model.parameters()) {
    const scale = name.endsWith('.bias') || parameter.shape.length === 1 ? 0 : 5
    parameter.set((await parameter.read()).map((value, i) => (scale ? scale * value : value + 0.1 * Math.sin(i))))
  }
  return model
}

export async function logitsOf(model: CausalLM, ids: readonly number[]): Promise<Float32Array> {
  const { logits } = model.forward({ inputIds: [[...ids]] }, { logits: true })
  const values = await logits.read()
  logits.dispose()
  return values
}
