/**
 * @file The tensor `rope_freqs.weight` of Llama 3.1 and later: what each rotary frequency is divided by. Converters
 * compute it from the `rope_scaling` of config.json, which they leave out; here that is found again, and holds only if
 * it gives the very factors of the file.
 */

import { closeSync, readSync } from 'node:fs'
import type { RawConfig } from '../architecture/config.js'
import { ModelError } from '../lowrank-error.js'
import { openRegularFileSync } from '../regular-file.js'
import type { WeightTensor } from '../weights/weight-tensor.js'

export const ROPE_FACTORS = 'rope_freqs.weight'

/** What every published model with such factors has; they differ in the factor. */
const LOW_FREQUENCY_FACTOR = 1
const HIGH_FREQUENCY_FACTOR = 4
const ORIGINAL_POSITIONS = 8192

/** Converters compute in float32. */
const TOLERANCE = 1e-5

/** The value of `rope_scaling`. @throws when no factor gives what the tensor holds */
export function llama3Scaling(tensor: WeightTensor, theta: number, headDim: number): RawConfig {
  const factors = readFactors(tensor, headDim / 2)
  const factor = Math.max(...factors)
  const differs = factors.some((value, i) => {
    const wanted = factorOf(theta ** ((-2 * i) / headDim), factor)
    return !(Math.abs(value - wanted) <= TOLERANCE * wanted)
  })
  if (differs) {
    throw new ModelError(
      `[gguf] ${tensor.path}: expected ${ROPE_FACTORS} to hold the factors of Llama 3.1's rope scaling, got others (up to ${factor}), ` +
        'which are not supported; use the safetensors version of the model',
    )
  }
  return {
    rope_type: 'llama3',
    factor,
    low_freq_factor: LOW_FREQUENCY_FACTOR,
    high_freq_factor: HIGH_FREQUENCY_FACTOR,
    original_max_position_embeddings: ORIGINAL_POSITIONS,
  }
}

/**
 * By how much a frequency is slowed down: those that turn slowly fully, fast ones not at all, those between in
 * proportion.
 */
function factorOf(frequency: number, factor: number): number {
  const turns = (ORIGINAL_POSITIONS * frequency) / (2 * Math.PI)
  if (turns < LOW_FREQUENCY_FACTOR) return factor
  if (turns > HIGH_FREQUENCY_FACTOR) return 1
  const smooth = (turns - LOW_FREQUENCY_FACTOR) / (HIGH_FREQUENCY_FACTOR - LOW_FREQUENCY_FACTOR)
  return 1 / ((1 - smooth) / factor + smooth)
}

function readFactors({ path, dtype, shape, fileOffset }: WeightTensor, count: number): number[] {
  if (dtype !== 'F32' || shape.length !== 1 || shape[0] !== count)
    throw new ModelError(
      `[gguf] ${path}: expected F32 [${count}] for ${ROPE_FACTORS}, got ${dtype} [${shape.join(', ')}]`,
    )
  const bytes = Buffer.alloc(4 * count)
  const file = openRegularFileSync('gguf', path)
  try {
    readSync(file, bytes, 0, bytes.length, fileOffset)
  } finally {
    closeSync(file)
  }
  return Array.from({ length: count }, (_, i) => bytes.readFloatLE(4 * i))
}
