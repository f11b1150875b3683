/**
 * @file What configs say of rotary positions: theta and the scalings for contexts longer than a model was made for.
 * rope-table.ts computes with it.
 */

import { ConfigReader, type RawConfig } from './config.js'

/** How rotary frequencies are made. */
export interface RopeConfig {
  readonly theta: number
  readonly scaling: RopeScaling
}

/**
 * `yarn` is of Peng et al. 2023 (arXiv:2309.00071).
 *
 * With `dynamic` (dynamic NTK) frequencies fall with the sequence once it is longer than the model was made for:
 * 1. In a forward pass the longest sequence of the batch counts for all its tokens. Earlier batches do not:
 *    transformers keeps the frequencies of the longest one that it saw until one below the original maximum comes, and
 *    so depends on the order of batches.
 * 2. In generation the prompts are such a batch, and every later token is rotated for the length that its own sequence
 *    has with it. Keys stay in the cache as they were rotated, as in transformers.
 */
export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'dynamic'
      readonly factor: number
      /** The length that the model was made for: `max_position_embeddings`. */
      readonly originalMaxPositionEmbeddings: number
    }
  | {
      readonly type: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalMaxPositionEmbeddings: number
    }
  | YarnScaling

export interface YarnScaling {
  readonly type: 'yarn'
  readonly factor: number
  readonly originalMaxPositionEmbeddings: number
  /**
   * Rotations within the original maximum above which a frequency is kept, and below which it is divided by `factor`.
   */
  readonly betaFast: number
  readonly betaSlow: number
  /** Whether the bounds between these are moved outwards to whole dimensions. */
  readonly truncate: boolean
  /** Multiplies cosines and sines, and so sharpens attention by its square. */
  readonly attentionFactor: number
}

const KNOWN = ['default', 'linear', 'dynamic', 'llama3', 'yarn'] as const

/**
 * Reads both spellings: `rope_parameters` of today, and `rope_theta` + `rope_scaling` (whose type is under `rope_type`,
 * or `type` in old files).
 * @throws on a scaling that is not supported, naming it, and where both spellings are there and differ.
 */
export function readRopeConfig(config: ConfigReader, where: string, maxPositionEmbeddings: number): RopeConfig {
  const parameters = config.object('rope_parameters')
  const legacyScaling = config.object('rope_scaling')
  const legacyTheta = config.has('rope_theta') ? config.positive('rope_theta') : undefined
  const read = (raw: RawConfig, field: string) => readSpelling(raw, `${where}, ${field}`, maxPositionEmbeddings)
  const { theta, scaling } = parameters
    ? read(parameters, 'rope_parameters')
    : read(legacyScaling ?? {}, 'rope_scaling')
  if (parameters && legacyScaling) {
    const other = read(legacyScaling, 'rope_scaling')
    if (JSON.stringify(other.scaling) !== JSON.stringify(scaling))
      throw config.error('rope_scaling', 'what rope_parameters says, or nothing,', legacyScaling)
  }
  if (theta !== undefined && legacyTheta !== undefined && theta !== legacyTheta)
    throw config.error('rope_theta', `${theta}, as rope_parameters says, or nothing,`, legacyTheta)
  const base = theta ?? legacyTheta ?? 10000
  // Its bounds are divided by the logarithm.
  if (scaling.type === 'yarn' && base <= 1) throw config.error('rope_theta', 'a number above 1 for yarn', base)
  return { theta: base, scaling }
}

/**
 * What a scaling makes of `max_position_embeddings`, which is the length before it with `dynamic`, before or after it
 * with `yarn`, after it else.
 */
export function longestSequence({ scaling }: RopeConfig, maxPositionEmbeddings: number): number {
  if (scaling.type !== 'dynamic' && scaling.type !== 'yarn') return maxPositionEmbeddings
  return Math.max(maxPositionEmbeddings, Math.floor(scaling.factor * scaling.originalMaxPositionEmbeddings))
}

function readSpelling(
  raw: RawConfig,
  where: string,
  maxPositionEmbeddings: number,
): { theta: number | undefined; scaling: RopeScaling } {
  const reader = new ConfigReader(raw, where)
  const theta = reader.has('rope_theta') ? reader.positive('rope_theta') : undefined
  const typeName = reader.has('rope_type') ? 'rope_type' : 'type'
  const type = reader.choice(typeName, KNOWN, 'default')
  if (typeName === 'rope_type') reader.expectValue('type', [type])
  const scaling = readScaling(reader, type, maxPositionEmbeddings)
  // transformers reads it for llama3 and yarn alone.
  reader.expectValue('original_max_position_embeddings', [raw.original_max_position_embeddings])
  reader.expectValue('partial_rotary_factor', [1])
  reader.finish()
  return { theta, scaling }
}

function readScaling(reader: ConfigReader, type: (typeof KNOWN)[number], maxPositionEmbeddings: number): RopeScaling {
  switch (type) {
    case 'default':
      return { type }
    case 'linear':
      return { type, factor: reader.positive('factor') }
    case 'dynamic':
      return { type, factor: reader.positive('factor'), originalMaxPositionEmbeddings: maxPositionEmbeddings }
    case 'llama3': {
      const lowFreqFactor = reader.positive('low_freq_factor')
      const highFreqFactor = reader.positive('high_freq_factor')
      if (highFreqFactor <= lowFreqFactor)
        throw reader.error('high_freq_factor', `a number above low_freq_factor = ${lowFreqFactor}`, highFreqFactor)
      const originalMaxPositionEmbeddings = reader.integer('original_max_position_embeddings')
      return { type, factor: reader.positive('factor'), lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings }
    }
    case 'yarn':
      return readYarn(reader, maxPositionEmbeddings)
    default:
      return type satisfies never
  }
}

function readYarn(reader: ConfigReader, maxPositionEmbeddings: number): YarnScaling {
  const originalMaxPositionEmbeddings = reader.integer('original_max_position_embeddings', maxPositionEmbeddings)
  const impliedFactor = reader.isNull('factor') ? maxPositionEmbeddings / originalMaxPositionEmbeddings : undefined
  const factor = reader.positive('factor', impliedFactor)
  // Zero is as good as absent to transformers, in all four.
  const betaFast = reader.nonNegative('beta_fast', 32) || 32
  const betaSlow = reader.nonNegative('beta_slow', 1) || 1
  const mscale = reader.number('mscale', 0)
  const mscaleAllDim = reader.number('mscale_all_dim', 0)
  const scaleBy = (weight: number): number => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1)
  const inferred = mscale && mscaleAllDim ? scaleBy(mscale) / scaleBy(mscaleAllDim) : scaleBy(1)
  return {
    type: 'yarn',
    factor,
    originalMaxPositionEmbeddings,
    betaFast,
    betaSlow,
    truncate: reader.boolean('truncate', !reader.isNull('truncate')),
    attentionFactor: reader.positive('attention_factor', inferred),
  }
}
