/**
 * @file The flags of `generate` and `chat` that say how tokens are chosen and where an answer ends. Loads nothing of
 * the engine.
 */

import { GENERATE_OPTIONS, SAMPLING_OPTIONS, type SamplingOptions } from '../decoding/sampling-options.js'
import type { TextGenerationOptions } from '../generation/generate-text.js'
import { describeDefault } from '../options/flags.js'
import { either, exactly, integer, listOf, textOf } from '../options/rules.js'
import type { OptionEntry } from '../options/table.js'
import type { FlagTable } from './command.js'
import { UsageError } from './usage-error.js'

export interface SamplingFlags extends Readonly<Omit<SamplingOptions, 'doSample'>> {
  readonly maxNewTokens: number
  readonly stop: readonly string[]
}

const { temperature, topK, topP, minP, repetitionPenalty, seed } = SAMPLING_OPTIONS

/** What stands in the model's generation_config.json comes before a default. */
function otherwise({ default: value }: OptionEntry): { otherwise: string } {
  return { otherwise: `the model's, else ${describeDefault(value)}` }
}

export const SAMPLING_FLAGS = {
  maxNewTokens: {
    ...GENERATE_OPTIONS.maxNewTokens,
    default: GENERATE_OPTIONS.maxNewTokens.default as number,
    rule: integer({ min: 1 }),
    flag: { name: '--max-new-tokens', argument: 'count', group: 'Answer' },
  },
  stop: {
    rule: listOf(textOf(''), 'strings that are not empty'),
    default: [],
    otherwise: 'none',
    help: 'end the answer before this text',
    flag: { name: '--stop', argument: 'text', isRepeatable: true },
  },
  temperature: {
    rule: {
      ...either(exactly(0, ''), temperature.rule),
      expected: 'a number from 1e-20 to 1e20 (0 takes the most likely token)',
    },
    ...otherwise(temperature),
    help: 'draw tokens; below 1 the likely ones more often, 0: always the most likely',
    flag: { name: '--temperature', argument: 'number', group: 'Sampling' },
  },
  topK: {
    rule: topK.rule,
    ...otherwise(topK),
    help: topK.help,
    flag: { name: '--top-k', argument: 'count' },
  },
  topP: {
    rule: topP.rule,
    ...otherwise(topP),
    help: topP.help,
    flag: { name: '--top-p', argument: 'share' },
  },
  minP: {
    rule: minP.rule,
    ...otherwise(minP),
    help: minP.help,
    flag: { name: '--min-p', argument: 'share' },
  },
  repetitionPenalty: {
    rule: repetitionPenalty.rule,
    ...otherwise(repetitionPenalty),
    help: repetitionPenalty.help,
    flag: { name: '--repetition-penalty', argument: 'number' },
  },
  seed: { ...seed, flag: { name: '--seed', argument: 'number' } },
} as const satisfies FlagTable<SamplingFlags>

/** @throws UsageError where flags of drawing stand beside a temperature that draws nothing */
export function expectDrawing(command: string, { temperature, topK, topP, minP }: SamplingFlags): void {
  const given = Object.entries({ '--top-k': topK, '--top-p': topP, '--min-p': minP }).filter(
    ([, value]) => value !== undefined,
  )
  if (temperature !== 0 || given.length === 0) return
  const names = given.map(([flag]) => flag).join(' and ')
  throw new UsageError(
    `[${command}] expected ${names} with a --temperature above 0, got 0, which always takes the most likely token; remove one`,
  )
}

/** What the flags say to `generateText`. */
export function samplingOf({ stop, temperature, ...others }: SamplingFlags): TextGenerationOptions {
  const { maxNewTokens, topK, topP, minP, repetitionPenalty, seed } = others
  return {
    ...(temperature === 0 ? { doSample: false } : { temperature }),
    maxNewTokens,
    topK,
    topP,
    minP,
    repetitionPenalty,
    seed,
    stopStrings: stop.length > 0 ? stop : undefined,
  }
}
