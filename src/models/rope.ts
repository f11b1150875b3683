/** @file Rotary frequencies and tables, with the scalings of Llama configs. */

import type { Device } from '../tensor/device.js'
import { unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { ConfigReader, type RawConfig } from './config.js'

/** How rotary frequencies are made. */
export interface RopeConfig {
  readonly theta: number
  readonly scaling: RopeScaling
}

export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalMaxPositionEmbeddings: number
    }

const KNOWN = ['default', 'linear', 'llama3'] as const

/**
 * Reads both spellings: `rope_parameters` of today, and `rope_theta` + `rope_scaling` (whose type is under `rope_type`, or `type` in old files).
 * @throws on a scaling that is not supported, naming it, and where both spellings are there and differ.
 */
export function readRopeConfig(config: ConfigReader, where: string): RopeConfig {
  const parameters = config.object('rope_parameters')
  const legacyScaling = config.object('rope_scaling')
  const legacyTheta = config.has('rope_theta') ? config.number('rope_theta') : undefined
  const { theta, scaling } = readSpelling(
    parameters ?? legacyScaling ?? {},
    parameters ? 'rope_parameters' : 'rope_scaling',
    where,
  )
  if (parameters && legacyScaling) {
    const other = readSpelling(legacyScaling, 'rope_scaling', where)
    if (JSON.stringify(other.scaling) !== JSON.stringify(scaling))
      throw config.error('rope_scaling', 'what rope_parameters says, or nothing,', legacyScaling)
  }
  if (theta !== undefined && legacyTheta !== undefined && theta !== legacyTheta)
    throw config.error('rope_theta', `${theta}, as rope_parameters says, or nothing,`, legacyTheta)
  return { theta: theta ?? legacyTheta ?? 10000, scaling }
}

function readSpelling(
  raw: RawConfig,
  field: string,
  where: string,
): { theta: number | undefined; scaling: RopeScaling } {
  const reader = new ConfigReader(raw, `${where}, ${field}`)
  const theta = reader.has('rope_theta') ? reader.number('rope_theta') : undefined
  const typeName = reader.has('rope_type') ? 'rope_type' : 'type'
  const type = reader.choice(typeName, KNOWN, 'default')
  if (typeName === 'rope_type') reader.expectValue('type', [type])
  const scaling = readScaling(reader, type)
  if (type !== 'llama3') reader.expectValue('original_max_position_embeddings', [raw.original_max_position_embeddings])
  reader.expectValue('partial_rotary_factor', [1])
  reader.finish()
  return { theta, scaling }
}

function readScaling(reader: ConfigReader, type: (typeof KNOWN)[number]): RopeScaling {
  switch (type) {
    case 'default':
      return { type }
    case 'linear':
      return { type, factor: reader.number('factor') }
    case 'llama3':
      return {
        type,
        factor: reader.number('factor'),
        lowFreqFactor: reader.number('low_freq_factor'),
        highFreqFactor: reader.number('high_freq_factor'),
        originalMaxPositionEmbeddings: reader.integer('original_max_position_embeddings'),
      }
    default:
      return type satisfies never
  }
}

/** Inverse frequencies [headDim / 2], in float32 steps as the reference implementation computes them. */
function inverseFrequencies({ theta, scaling }: RopeConfig, headDim: number): Float32Array {
  const frequencies = new Float32Array(headDim / 2)
  for (let i = 0; i < frequencies.length; i++) {
    const frequency = Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / headDim)))
    frequencies[i] = scaleFrequency(frequency, scaling)
  }
  return frequencies
}

function scaleFrequency(frequency: number, scaling: RopeScaling): number {
  if (scaling.type === 'default') return frequency
  if (scaling.type === 'linear') return frequency / scaling.factor
  // Llama 3.1: long wavelengths are slowed down, short ones kept, those between interpolated.
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = scaling
  const wavelength = (2 * Math.PI) / frequency
  if (wavelength > originalMaxPositionEmbeddings / lowFreqFactor) return frequency / factor
  if (wavelength < originalMaxPositionEmbeddings / highFreqFactor) return frequency
  const smooth = (originalMaxPositionEmbeddings / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
  return ((1 - smooth) * frequency) / factor + smooth * frequency
}

/** The table that the rope op reads; grows to the longest position asked for. */
export class RopeTable {
  readonly #frequencies: Float32Array
  readonly #device: Device
  #table: Tensor | undefined

  constructor(config: RopeConfig, headDim: number, device: Device) {
    this.#frequencies = inverseFrequencies(config, headDim)
    this.#device = device
  }

  /** [P, headDim] float32 with P >= length: cosines, then sines. */
  upTo(length: number): Tensor {
    if (this.#table && this.#table.rows >= length) return this.#table
    let positions = 256
    while (positions < length) positions *= 2
    const half = this.#frequencies.length
    const values = new Float32Array(positions * 2 * half)
    for (let p = 0; p < positions; p++) {
      for (let i = 0; i < half; i++) {
        const angle = Math.fround(p * (this.#frequencies[i] as number))
        values[p * 2 * half + i] = Math.cos(angle)
        values[p * 2 * half + half + i] = Math.sin(angle)
      }
    }
    const table = unregisterFromScope(Tensor.from(this.#device, values, [positions, 2 * half]))
    this.#table?.dispose()
    this.#table = table
    return table
  }
}
