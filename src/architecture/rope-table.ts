/**
 * @file Rotary frequencies, in the float32 steps of the reference implementation, and the table of cosines and sines
 * that the rope op reads.
 */

import type { Device } from '../tensor/device.js'
import { unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import type { RopeConfig, RopeScaling, YarnScaling } from './rope.js'

const { fround } = Math

/** Inverse frequencies [headDim / 2] of a sequence of `length` tokens. Only `dynamic` looks at the length. */
function inverseFrequencies({ theta, scaling }: RopeConfig, headDim: number, length: number): Float32Array {
  const base = scaling.type === 'dynamic' ? dynamicBase(theta, scaling, headDim, length) : theta
  const periods = Float32Array.from({ length: headDim / 2 }, (_, i) => base ** fround((2 * i) / headDim))
  switch (scaling.type) {
    case 'default':
    case 'dynamic':
      return periods.map((period) => 1 / period)
    case 'linear':
      return periods.map((period) => fround(1 / period) / scaling.factor)
    case 'llama3':
      return periods.map((period) => llama3Frequency(fround(1 / period), scaling))
    case 'yarn':
      return yarnFrequencies(periods, theta, scaling)
    default:
      return scaling satisfies never
  }
}

/** Dynamic NTK: theta grows with the length, so that the slowest frequency spans it and the fastest stays as it is. */
function dynamicBase(
  theta: number,
  { factor, originalMaxPositionEmbeddings }: Extract<RopeScaling, { type: 'dynamic' }>,
  headDim: number,
  length: number,
): number {
  if (length <= originalMaxPositionEmbeddings) return theta
  const stretched = fround(fround(fround(factor) * length) / originalMaxPositionEmbeddings)
  return fround(theta * fround(fround(stretched - fround(factor - 1)) ** fround(headDim / (headDim - 2))))
}

/** Llama 3.1: long wavelengths are slowed down, short ones kept, those between interpolated. */
function llama3Frequency(frequency: number, scaling: Extract<RopeScaling, { type: 'llama3' }>): number {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = scaling
  const wavelength = (2 * Math.PI) / frequency
  if (wavelength > originalMaxPositionEmbeddings / lowFreqFactor) return frequency / factor
  if (wavelength < originalMaxPositionEmbeddings / highFreqFactor) return frequency
  const smooth = (originalMaxPositionEmbeddings / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
  return ((1 - smooth) * frequency) / factor + smooth * frequency
}

/**
 * YaRN: the same idea by the rotations that a dimension makes within the original maximum, along a ramp from `betaFast`
 * to `betaSlow`.
 */
function yarnFrequencies(periods: Float32Array, theta: number, scaling: YarnScaling): Float32Array {
  const { factor, originalMaxPositionEmbeddings, betaFast, betaSlow, truncate } = scaling
  const headDim = 2 * periods.length
  const dimensionOf = (rotations: number): number =>
    (headDim * Math.log(originalMaxPositionEmbeddings / (rotations * 2 * Math.PI))) / (2 * Math.log(theta))
  const [fast, slow] = [dimensionOf(betaFast), dimensionOf(betaSlow)]
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0)
  const high = Math.min(truncate ? Math.ceil(slow) : slow, headDim - 1)
  const width = fround(low === high ? 0.001 : high - low)
  return periods.map((period, i) => {
    const ramp = Math.min(Math.max(fround(fround(i - fround(low)) / width), 0), 1)
    const kept = fround(1 - ramp)
    return fround(fround(1 / fround(factor * period)) * fround(1 - kept)) + fround(fround(1 / period) * kept)
  })
}

/** The table that the rope op reads; grows to the longest position asked for. */
export class RopeTable {
  readonly #config: RopeConfig
  readonly #headDim: number
  readonly #device: Device
  /** The length up to which all sequences have the same frequencies. */
  readonly #unscaledLength: number
  /** Row p as the last token of a sequence of p + 1 has it; up to `#unscaledLength` as all sequences have it. */
  #table: Tensor | undefined
  /** All rows as in a sequence of one length beyond, the last that was asked for. */
  #longTable: Tensor | undefined

  constructor(config: RopeConfig, headDim: number, device: Device) {
    const { scaling } = config
    this.#config = config
    this.#headDim = headDim
    this.#device = device
    this.#unscaledLength = scaling.type === 'dynamic' ? scaling.originalMaxPositionEmbeddings : Number.POSITIVE_INFINITY
  }

  /**
   * [P, headDim] float32: cosines, then sines. P >= `positionCount`, or `sequenceLength` where that is beyond what
   * `dynamic` leaves as it is. Both as in `RaggedInput`.
   */
  upTo(positionCount: number, sequenceLength?: number): Tensor {
    if (sequenceLength === undefined || sequenceLength <= this.#unscaledLength) return this.#grownTo(positionCount)
    // Decoding steps will follow a prompt and be recorded: their table has to be there by then.
    if (positionCount > sequenceLength) this.#grownTo(positionCount)
    return this.#ofLength(sequenceLength)
  }

  #grownTo(length: number): Tensor {
    if (this.#table && this.#table.rows >= length) return this.#table
    let positions = 256
    while (positions < length) positions *= 2
    const common = this.#frequencies(1)
    const table = this.#make(positions, (position) =>
      position < this.#unscaledLength ? common : this.#frequencies(position + 1),
    )
    this.#table?.dispose()
    this.#table = table
    return table
  }

  #ofLength(length: number): Tensor {
    if (this.#longTable?.rows === length) return this.#longTable
    const frequencies = this.#frequencies(length)
    this.#longTable?.dispose()
    this.#longTable = this.#make(length, () => frequencies)
    return this.#longTable
  }

  #frequencies(length: number): Float32Array {
    return inverseFrequencies(this.#config, this.#headDim, length)
  }

  #make(positions: number, frequenciesAt: (position: number) => Float32Array): Tensor {
    const { scaling } = this.#config
    const factor = scaling.type === 'yarn' ? fround(scaling.attentionFactor) : 1
    const half = this.#headDim / 2
    const values = new Float32Array(positions * 2 * half)
    for (let p = 0; p < positions; p++) {
      const frequencies = frequenciesAt(p)
      for (let i = 0; i < half; i++) {
        const angle = fround(p * (frequencies[i] as number))
        values[p * 2 * half + i] = factor * fround(Math.cos(angle))
        values[p * 2 * half + half + i] = factor * fround(Math.sin(angle))
      }
    }
    return unregisterFromScope(Tensor.from(this.#device, values, [positions, 2 * half]))
  }
}
