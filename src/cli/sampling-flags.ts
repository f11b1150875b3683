/** @file The flags of `generate` and `chat` that say how tokens are chosen and where an answer ends. Loads nothing of the engine. */

import { type Command, InvalidArgumentError, Option } from 'commander'
import { SAMPLING_OPTIONS, type SamplingOptions } from '../decoding/sampling-options.js'

export interface SamplingFlags extends Omit<SamplingOptions, 'doSample'> {
  readonly maxNewTokens: number
  readonly stop: readonly string[]
}

/** Options of sampling and their flags. */
export const SAMPLING_FLAGS = [
  ['temperature', '--temperature'],
  ['topK', '--top-k'],
  ['topP', '--top-p'],
  ['minP', '--min-p'],
  ['repetitionPenalty', '--repetition-penalty'],
  ['seed', '--seed'],
] as const satisfies readonly (readonly [keyof SamplingFlags, string])[]

export function addSamplingFlags(command: Command, maxNewTokens: number): Command {
  return command
    .option('--max-new-tokens <count>', 'length of the longest answer in tokens', positiveInteger, maxNewTokens)
    .option(
      '--temperature <number>',
      'draw tokens; below 1 the likely ones more often, 0: always the most likely',
      number,
    )
    .option(
      '--top-k <count>',
      `draw from so many of the most likely tokens; 0: from all (default: ${SAMPLING_OPTIONS.topK.default})`,
      number,
    )
    .option('--top-p <share>', 'draw from the most likely tokens that make up this share of the probability', number)
    .option('--min-p <share>', 'draw from tokens at least this share as probable as the most likely one', number)
    .option('--repetition-penalty <number>', 'above 1: discourage tokens that came before', number)
    .option('--seed <number>', `of the draws (default: ${SAMPLING_OPTIONS.seed.default})`, number)
    .addOption(repeatable('--stop <text>', 'end the answer before this text; may be repeated'))
}

/** A flag whose values come together as a list. @param none What help says of its absence. */
export function repeatable(flags: string, description: string, none = 'none'): Option {
  return new Option(flags, description)
    .argParser((value: string, earlier: string[]) => [...earlier, value])
    .default([], none)
}

export function positiveInteger(value: string): number {
  const parsed = Number(value)
  if (!Number.isSafeInteger(parsed) || parsed < 1)
    throw new InvalidArgumentError('Expected a whole number of at least 1.')
  return parsed
}

function number(value: string): number {
  const parsed = Number(value)
  if (value.trim() === '' || !Number.isFinite(parsed)) throw new InvalidArgumentError('Expected a number.')
  return parsed
}
