/** @file The flags of `generate` and `chat` that say how tokens are chosen and where an answer ends. Loads nothing of the engine. */

import { type Command, InvalidArgumentError } from 'commander'
import type { SamplingOptions } from '../models/generate.js'

export interface SamplingFlags extends Omit<SamplingOptions, 'doSample'> {
  readonly maxNewTokens: number
  readonly stop: readonly string[]
}

export function addSamplingFlags(command: Command, maxNewTokens: number): Command {
  return command
    .option('--max-new-tokens <count>', 'length of the longest answer in tokens', positiveInteger, maxNewTokens)
    .option(
      '--temperature <number>',
      'draw tokens; below 1 the likely ones more often, 0: always the most likely',
      number,
    )
    .option('--top-k <count>', 'draw from so many of the most likely tokens; 0: from all (default 50)', number)
    .option('--top-p <share>', 'draw from the most likely tokens that make up this share of the probability', number)
    .option('--min-p <share>', 'draw from tokens at least this share as probable as the most likely one', number)
    .option('--repetition-penalty <number>', 'above 1: discourage tokens that came before', number)
    .option('--seed <number>', 'of the draws (default 0)', number)
    .option('--stop <text>', 'end the answer before this text; may be repeated', collect, [])
}

export function collect(value: string, earlier: string[]): string[] {
  return [...earlier, value]
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
