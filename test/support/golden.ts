/** @file Reads the golden cases of test/golden: what PyTorch, transformers and PEFT computed. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readSafetensorsHeader, readTensorBytes } from '../../src/weights/safetensors.js'

const CASES = fileURLToPath(new URL('../golden/cases', import.meta.url))

/** case.json, as far as the tests read it. */
export interface GoldenInfo {
  name: string
  focus: string
  method: 'lora' | 'full'
  has_legacy_config: boolean
  /** 'nf4': quantised on load; 'file': the file holds NF4. */
  quantization?: 'nf4' | 'file'
  micro_batches: number
  trainable_parameters: number
  optimizer: { lr: number; betas: [number, number]; eps: number; weight_decay: number; steps: number }
  generation: { prompt: number[]; ids: number[] }
}

export interface GoldenCase {
  directory: string
  adapterDirectory: string | undefined
  /** Another adapter of the same model. */
  secondDirectory: string | undefined
  info: GoldenInfo
}

export interface GoldenTensor {
  shape: number[]
  values: Float32Array | Int32Array | Uint8Array
}

export function goldenCases(): GoldenCase[] {
  return readdirSync(CASES)
    .sort()
    .map((name) => {
      const directory = join(CASES, name)
      const existing = (path: string): string | undefined => (existsSync(path) ? path : undefined)
      return {
        directory,
        adapterDirectory: existing(join(directory, 'adapter')),
        secondDirectory: existing(join(directory, 'adapter-second')),
        info: JSON.parse(readFileSync(join(directory, 'case.json'), 'utf8')) as GoldenInfo,
      }
    })
}

export async function readGolden({ directory }: GoldenCase): Promise<Map<string, GoldenTensor>> {
  return await readTensors(join(directory, 'golden.safetensors'))
}

export async function readTensors(path: string): Promise<Map<string, GoldenTensor>> {
  const { tensors } = await readSafetensorsHeader(path)
  const result = new Map<string, GoldenTensor>()
  for (const [name, entry] of tensors) {
    const bytes = (await readTensorBytes(entry)).slice()
    const { buffer } = bytes
    const views = { I32: () => new Int32Array(buffer), F32: () => new Float32Array(buffer), U8: () => bytes }
    result.set(name, { shape: entry.shape, values: views[entry.dtype as keyof typeof views]() })
  }
  return result
}

/** [B, T] as rows of numbers. */
export function rowsOf({ shape, values }: GoldenTensor): number[][] {
  const [rows, cols] = shape as [number, number]
  return Array.from({ length: rows }, (_, row) => [...values.subarray(row * cols, (row + 1) * cols)])
}

/** The largest difference, relative to the largest expected value. */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) throw new Error(`expected ${expected.length} values, got ${actual.length}`)
  let difference = 0
  let largest = 0
  for (let i = 0; i < expected.length; i++) {
    const distance = Math.abs((actual[i] as number) - (expected[i] as number))
    if (!(distance <= difference)) difference = distance
    largest = Math.max(largest, Math.abs(expected[i] as number))
  }
  return difference / largest
}
