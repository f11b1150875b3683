/** @file generation_config.json: what the makers of a model say of its generation. */

import { join } from 'node:path'
import { describeValue } from '../errors.js'
import { type GenerationDefaults, readSamplingOptions, type SamplingOptions } from '../models/generate.js'
import { readRegularFileIfThere } from '../regular-file.js'
import { parseJsonObject } from './strict-json.js'

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

/**
 * The fields that generate() knows; others describe ways of generating that it does not have. Nothing when there is no such file.
 * @throws on a file that is no JSON object, and on known fields of another type.
 */
export async function readGenerationConfig(directory: string): Promise<GenerationDefaults | undefined> {
  const path = join(directory, GENERATION_CONFIG_FILE)
  const bytes = await readRegularFileIfThere(path, { where: 'loadModel' })
  if (bytes === undefined) return undefined
  const config = parseJsonObject('loadModel', path, bytes)
  const wrong = (name: string, expected: string): Error =>
    new Error(`[loadModel] ${path}: expected ${expected} for ${name}, got ${describeValue(config[name])}`)
  const sampling: SamplingOptions = {}
  for (const [name, option] of NUMBERS) {
    const value = config[name] ?? 0
    if (typeof value !== 'number') throw wrong(name, 'a number')
    if (!isOff(value)) sampling[option] = value
  }
  try {
    readSamplingOptions({ doSample: true, ...sampling })
  } catch (cause) {
    throw new Error(`[loadModel] ${path}: ${(cause as Error).message}`, { cause })
  }
  const eos = config.eos_token_id ?? []
  const eosTokenIds = Array.isArray(eos) ? eos : [eos]
  if (!eosTokenIds.every((id) => Number.isInteger(id) && id >= 0)) throw wrong('eos_token_id', 'token ids')
  if (typeof (config.do_sample ?? false) !== 'boolean') throw wrong('do_sample', 'true or false')
  return { doSample: config.do_sample === true, sampling, eosTokenIds }
}
