/** @file How far an export lies from its source: ids of lines, logits, and the first token that would differ. */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { ModelError } from '../lowrank-error.js'
import { Random } from '../random.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'

/** Tokens of one line whose logits are compared, so that many lines have a part. */
const TOKENS_OF_LINE = 32

/** Where the token that a model finds most likely is another one in the export. */
export interface DifferentToken {
  /** Number of the line, from 0. */
  readonly line: number
  /** Token of the line, from 0, behind which the two would go on differently. */
  readonly position: number
  readonly expected: number
  readonly got: number
  /** By how much the source's logit of `expected` is above that of `got`. */
  readonly margin: number
}

/** What a comparison of an export with its source found. */
export interface ExportComparison {
  /** Lines that both tokenizers encoded; 0 where the export has no tokenizer. */
  readonly encodedLines: number
  /** How many of them have other ids in the export. */
  readonly differentLines: number
  /** Number of the first such line, from 0; null where there is none. */
  readonly firstDifferentLine: number | null
  /** Tokens whose logits were compared. */
  readonly comparedTokens: number
  /** Largest difference of a logit. */
  readonly logitDifference: number
  /** Largest absolute logit of the source. */
  readonly largestLogit: number
  /** Tokens behind which the most likely next token is the same. */
  readonly sameTokens: number
  /** The first of the others; null where there is none. */
  readonly firstDifferentToken: DifferentToken | null
}

/** What both models are asked. */
export interface ComparedLines {
  readonly lines: readonly string[]
  /** Ids of each line by the source's tokenizer; undefined where it has none. */
  readonly ids: readonly (readonly number[])[] | undefined
  /** Ids whose logits are compared, with the number of the line that they are of. */
  readonly prompts: readonly { readonly line: number; readonly ids: readonly number[] }[]
}

/** The lines, encoded and cut; without a tokenizer random ids take the place of those of the lines. */
export function encodeLines(
  model: CausalLM,
  tokenizer: Tokenizer | undefined,
  lines: readonly string[],
  compareTokens: number,
): ComparedLines {
  const { vocabSize, maxPositionEmbeddings } = model.config
  const random = new Random(0)
  const ids = tokenizer && lines.map((line) => tokenizer.encode(line))
  const outside = ids?.flat().find((id) => id >= vocabSize)
  if (outside !== undefined)
    throw new ModelError(
      `[export] expected a tokenizer whose ids are below ${vocabSize}, the model's vocabulary, got id ${outside}; is the tokenizer of this model?`,
    )
  const prompts: { line: number; ids: readonly number[] }[] = []
  let left = compareTokens
  for (let line = 0; line < lines.length && left > 0; line++) {
    const all = ids ? (ids[line] as number[]) : Array.from({ length: TOKENS_OF_LINE }, () => random.below(vocabSize))
    const cut = all.slice(0, Math.min(TOKENS_OF_LINE, maxPositionEmbeddings, left))
    left -= cut.length
    if (cut.length > 0) prompts.push({ line, ids: cut })
  }
  return { lines, ids, prompts }
}

/** Logits [tokens, V] of each prompt. */
export async function logitsOfLines(
  model: CausalLM,
  { prompts }: ComparedLines,
  signal: AbortSignal | undefined,
  onTokens: (tokens: number) => void,
): Promise<Float32Array[]> {
  const all: Float32Array[] = []
  for (const { ids } of prompts) {
    signal?.throwIfAborted()
    const { logits } = model.forward({ inputIds: Int32Array.from(ids), cuSeqlens: [0, ids.length] }, { logits: true })
    all.push(await logits.read())
    logits.dispose()
    onTokens(ids.length)
  }
  return all
}

/** Compares what both gave. @throws where a logit is no number */
export function compareLogits(
  asked: ComparedLines,
  expected: readonly Float32Array[],
  got: readonly Float32Array[],
): Omit<ExportComparison, 'encodedLines' | 'differentLines' | 'firstDifferentLine'> {
  let difference = 0
  let largest = 0
  let sameTokens = 0
  let tokens = 0
  let first: DifferentToken | null = null
  for (const [index, { line, ids }] of asked.prompts.entries()) {
    const a = expected[index] as Float32Array
    const b = got[index] as Float32Array
    const width = a.length / ids.length
    for (let position = 0; position < ids.length; position++) {
      const start = position * width
      let bestOfA = start
      let bestOfB = start
      for (let i = start; i < start + width; i++) {
        // NaN stays.
        difference = Math.max(difference, Math.abs((b[i] as number) - (a[i] as number)))
        largest = Math.max(largest, Math.abs(a[i] as number))
        if ((a[i] as number) > (a[bestOfA] as number)) bestOfA = i
        if ((b[i] as number) > (b[bestOfB] as number)) bestOfB = i
      }
      tokens++
      if (bestOfA === bestOfB) sameTokens++
      else
        first ??= {
          ...{ line, position, expected: bestOfA - start, got: bestOfB - start },
          margin: (a[bestOfA] as number) - (a[bestOfB] as number),
        }
    }
  }
  if (!Number.isFinite(difference))
    throw new ModelError(
      `[export] expected source and export to give numbers, got infinite or undefined logits of the ${Number.isFinite(largest) ? 'export' : 'source'}`,
    )
  return {
    comparedTokens: tokens,
    logitDifference: difference,
    largestLogit: largest,
    sameTokens,
    firstDifferentToken: first,
  }
}

/** Compares the ids of the lines. */
export function compareIds(
  { lines, ids }: ComparedLines,
  tokenizer: Tokenizer | undefined,
): Pick<ExportComparison, 'encodedLines' | 'differentLines' | 'firstDifferentLine'> {
  if (!tokenizer || !ids) return { encodedLines: 0, differentLines: 0, firstDifferentLine: null }
  const different = lines.flatMap((line, index) => {
    const own = tokenizer.encode(line)
    const expected = ids[index] as readonly number[]
    return own.length === expected.length && own.every((id, i) => id === expected[i]) ? [] : [index]
  })
  return { encodedLines: lines.length, differentLines: different.length, firstDifferentLine: different[0] ?? null }
}
