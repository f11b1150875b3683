/** @file generation_config.json: what the makers of a model say of its generation. */

import { join } from 'node:path'
import type { GenerationDefaults } from '../decoding/generate-options.js'
import { SAMPLING_OPTIONS, type SamplingOptions } from '../decoding/sampling-options.js'
import { describeValue } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { expectOptions } from '../options/table.js'
import { readRegularFileIfThere } from '../regular-file.js'
import { type JsonObject, parseJsonObject } from '../weights/strict-json.js'

/** Its name in a model's directory. */
export const GENERATION_CONFIG_FILE = 'generation_config.json'

/** Where a value does not count: files say so that the filter is off. */
const isOff = (value: number): boolean => value <= 0
const NUMBERS = [
  ['temperature', 'temperature'],
  ['top_k', 'topK'],
  ['top_p', 'topP'],
  ['min_p', 'minP'],
  ['repetition_penalty', 'repetitionPenalty'],
] as const satisfies [string, keyof SamplingOptions][]

/** Fields that would choose other tokens, with the values that change nothing; null, false and empty ones never do. */
const NOT_DONE: Readonly<Record<string, readonly unknown[]>> = {
  bad_words_ids: [],
  begin_suppress_tokens: [],
  constraints: [],
  dola_layers: [],
  encoder_no_repeat_ngram_size: [0],
  encoder_repetition_penalty: [1],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  exponential_decay_length_penalty: [],
  force_words_ids: [],
  forced_bos_token_id: [],
  forced_eos_token_id: [],
  guidance_scale: [1],
  max_time: [],
  min_length: [0],
  min_new_tokens: [0],
  no_repeat_ngram_size: [0],
  num_beams: [1],
  num_return_sequences: [1],
  penalty_alpha: [0],
  sequence_bias: [],
  suppress_tokens: [],
  token_healing: [],
  top_h: [1],
  typical_p: [1],
  watermarking_config: [],
}
const LONGEST_VALUE = 60

/**
 * The fields that generate() knows, and the names of those that would choose other tokens and that it does not have.
 * Nothing when there is no such file.
 * @throws on a file that is no JSON object, and on known fields of another type.
 */
export async function readGenerationConfig(directory: string): Promise<GenerationDefaults | undefined> {
  const path = join(directory, GENERATION_CONFIG_FILE)
  const bytes = await readRegularFileIfThere(path, { where: 'loadModel' })
  if (bytes === undefined) return undefined
  const config = parseJsonObject('loadModel', path, bytes)
  const wrong = (name: string, expected: string): Error =>
    new ModelError(`[loadModel] ${path}: expected ${expected} for ${name}, got ${describeValue(config[name])}`)
  const sampling: SamplingOptions = {}
  for (const [name, option] of NUMBERS) {
    const value = config[name] ?? 0
    if (typeof value !== 'number') throw wrong(name, 'a number')
    if (!isOff(value)) sampling[option] = value
  }
  try {
    expectOptions('generate', sampling, SAMPLING_OPTIONS)
  } catch (cause) {
    throw new ModelError(`[loadModel] ${path}: ${(cause as Error).message}`, { cause })
  }
  const eos = config.eos_token_id ?? []
  const eosTokenIds = Array.isArray(eos) ? eos : [eos]
  if (!eosTokenIds.every((id) => Number.isInteger(id) && id >= 0)) throw wrong('eos_token_id', 'token ids')
  if (typeof (config.do_sample ?? false) !== 'boolean') throw wrong('do_sample', 'true or false')
  const stops = config.stop_strings ?? []
  const stopStrings: unknown[] = typeof stops === 'string' ? [stops] : Array.isArray(stops) ? stops : [stops]
  if (!stopStrings.every((stop) => typeof stop === 'string' && stop !== '')) throw wrong('stop_strings', 'texts')
  const ignored = ignoredFields(config)
  return {
    doSample: config.do_sample === true,
    sampling,
    eosTokenIds,
    ...(stopStrings.length > 0 && { stopStrings: stopStrings as string[] }),
    ...(ignored.length > 0 && { ignored }),
  }
}

function ignoredFields(config: JsonObject): string[] {
  return Object.entries(NOT_DONE).flatMap(([name, neutral]) => {
    const value = config[name] ?? false
    const isEmpty = value === false || (typeof value === 'object' && Object.keys(value).length === 0)
    if (isEmpty || neutral.includes(value)) return []
    const text = JSON.stringify(value)
    return [`${name} = ${text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}...` : text}`]
  })
}
