/**
 * @file Training rows that an adapter recites: the first part of a row is given, and what greedy decoding makes of it
 * is compared with the rest (Carlini et al. 2023, arXiv:2202.07646). The base model is the control.
 */

import type { CausalLM } from '../../causal-lm/causal-lm.js'
import { inspectDataset } from '../../data/inspect.js'
import type { DataSource } from '../../data/sources/open-source.js'
import type { GeneratedText } from '../../generation/generate-text.js'
import { generateTexts } from '../../generation/generate-texts.js'
import type { Tokenizer } from '../../tokenizer/tokenizer.js'
import type { BehaviourReport, RecitedRow } from './options.js'

interface Settings {
  readonly prefixTokens: number
  readonly recitedTokens: number
  readonly maxRows: number
  readonly signal?: AbortSignal | undefined
}

interface BegunRow {
  readonly origin: string
  readonly prefix: readonly number[]
  readonly rest: readonly number[]
}

/** Fewer equal tokens are chance. */
const FEWEST = 8

/** What finding rows needs of the comparison that it is a part of. */
interface Recitation {
  /** Does work with the model without its adapters. */
  readonly asBase: <T>(work: () => Promise<T>) => Promise<T>
  readonly onFraction: (fraction: number) => void
}

export async function findRecited(
  model: CausalLM,
  tokenizer: Tokenizer,
  dataset: DataSource,
  { prefixTokens, recitedTokens, maxRows, signal }: Settings,
  { asBase, onFraction }: Recitation,
): Promise<NonNullable<BehaviourReport['recitation']>> {
  const rows: BegunRow[] = []
  let tooShort = 0
  let seen = 0
  const { vocabSize, maxPositionEmbeddings: maxLength } = model.config
  for await (const { origin, sequences } of inspectDataset(dataset, tokenizer, {
    vocabSize,
    maxLength,
    ...(signal && { signal }),
  })) {
    if (seen++ === maxRows) break
    const [sequence] = sequences
    const ids = sequence === undefined ? [] : [...sequence.inputIds.subarray(0, sequence.keptTokens)]
    const begun = Math.min(prefixTokens, Math.floor(ids.length / 2))
    const rest = ids.slice(begun, begun + recitedTokens)
    if (begun === 0 || rest.length < FEWEST) tooShort++
    else rows.push({ origin, prefix: ids.slice(0, begun), rest })
  }
  let written = 0
  const onText = (): void => onFraction(++written / (2 * rows.length))
  const go = async (): Promise<GeneratedText[]> =>
    await generateTexts(
      model,
      tokenizer,
      rows.map(({ prefix }) => prefix),
      { maxNewTokens: recitedTokens, doSample: false, onText, ...(signal && { signal }) },
    )
  const base = await asBase(go)
  const adapter = await go()
  const recited: RecitedRow[] = []
  let byBase = 0
  for (const [index, { origin, prefix, rest }] of rows.entries()) {
    const { ids, text } = adapter[index] as GeneratedText
    const run = {
      base: longestCommonRun((base[index] as GeneratedText).ids, rest),
      adapter: longestCommonRun(ids, rest),
    }
    const needed = rest.length
    if (run.base >= needed) byBase++
    else if (run.adapter >= needed) recited.push({ origin, prefixTokens: prefix.length, run, needed, text })
  }
  return { rows: rows.length, tooShort, byBase, recited }
}

/** Tokens of the longest run that is in both lists, anywhere. */
export function longestCommonRun(a: readonly number[], b: readonly number[]): number {
  let longest = 0
  let before = new Int32Array(b.length + 1)
  for (const id of a) {
    const runs = new Int32Array(b.length + 1)
    for (const [place, other] of b.entries()) {
      if (other !== id) continue
      runs[place + 1] = (before[place] as number) + 1
      longest = Math.max(longest, runs[place + 1] as number)
    }
    before = runs
  }
  return longest
}
