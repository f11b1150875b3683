/** @file Models in MLflow's Python client: what tests ask of it, and what they compare it with. */

import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { CausalLM } from '../../src/index.js'
import { runPython } from './python.js'

export const IDS = [[17, 300, 41, 5, 222, 9, 400]]
/** What sums of float32 in another order may make of the largest logit; as of adapters in PEFT. */
export const TOLERANCE = 2e-5

/** What mlflow_model.py tells of a case. */
export interface Seen {
  readonly class: string
  readonly logits: readonly number[]
  readonly [key: string]: unknown
}

interface Case {
  readonly uri: string
  readonly ids: readonly (readonly number[])[]
  readonly base?: string
}

/** Loads model directories in Python. */
export async function inPython(cases: readonly Case[], more: object = {}): Promise<Seen[]> {
  const script = fileURLToPath(new URL('mlflow_model.py', import.meta.url))
  const { code, stdout, stderr } = await runPython([script], JSON.stringify({ cases, ...more }))
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout.trim().split('\n').at(-1) as string)
}

/** The logits of `IDS` by this engine. */
export async function logitsOf(model: CausalLM): Promise<Float32Array> {
  const { logits } = model.forward({ inputIds: IDS }, { logits: true })
  const values = await logits.read()
  logits.dispose()
  return values
}
