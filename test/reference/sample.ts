/**
 * @file The choice of a token in float64, by sorting everything: transformers' logits processors one after the other.
 */

import { philox } from './philox.js'

export interface SampleCase {
  temperature: number
  topK: number
  topP: number
  minP: number
  repetitionPenalty: number
  seed: number
}

/** Ids that may be drawn with their probabilities: from the largest down where they are ranked, else by id. */
export function candidates(
  logits: readonly number[],
  seen: ReadonlySet<number>,
  { temperature, topK, topP, minP, repetitionPenalty }: SampleCase,
): { id: number; p: number }[] {
  let items = logits.map((logit, id) => {
    const penalised = !seen.has(id) ? logit : logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty
    return { id, score: Math.fround(Math.fround(penalised) / (temperature || 1)) }
  })
  const ranked = items.toSorted((a, b) => b.score - a.score || a.id - b.id)
  const largest = (ranked[0] as { score: number }).score
  if (temperature === 0) return [{ id: (ranked[0] as { id: number }).id, p: 1 }]
  if (topK > 0 || topP < 1) items = ranked
  if (topK > 0) {
    const last = (ranked[Math.min(topK, ranked.length) - 1] as { score: number }).score
    items = items.filter(({ score }) => score >= last)
  }
  const weights = items.map(({ score }) => Math.exp(score - largest))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  if (topP < 1) {
    let before = 0
    items = items.filter((_, i) => {
      const kept = i === 0 || before < topP * total
      before += weights[i] as number
      return kept
    })
  }
  items = items.filter(({ score }) => Math.exp(score - largest) >= minP)
  const kept = items.map(({ id, score }) => ({ id, p: Math.exp(score - largest) }))
  const sum = kept.reduce((all, { p }) => all + p, 0)
  return kept.map(({ id, p }) => ({ id, p: p / sum }))
}

/** The id that a draw gives, and how far it was from giving a neighbour. */
export function draw(
  items: readonly { id: number; p: number }[],
  { seed }: SampleCase,
  sequence: number,
  step: number,
): { id: number; margin: number } {
  const words = philox([sequence, 0, step, 0xffffffff], [seed % 2 ** 32, Math.floor(seed / 2 ** 32)])
  let left = ((words[0] as number) + (words[1] as number) / 2 ** 32) / 2 ** 32
  for (const { id, p } of items) {
    if (left < p) return { id, margin: Math.min(left, p - left) }
    left -= p
  }
  return { id: items.at(-1)?.id ?? -1, margin: 0 }
}

/** Log-softmax of the chosen id and of the `count` largest ids, padded with id -1 and -infinity. */
export function topLogProbs(
  logits: readonly number[],
  chosen: number,
  count: number,
): { chosen: number; ids: number[]; logProbs: number[] } {
  const largest = Math.max(...logits)
  const lse = largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0))
  const best = logits
    .map((logit, id) => ({ logit, id }))
    .filter(({ logit }) => logit > Number.NEGATIVE_INFINITY)
    .sort((a, b) => b.logit - a.logit || a.id - b.id)
    .slice(0, count)
  const padding = Array.from({ length: count - best.length }, () => -1)
  return {
    chosen: (logits[chosen] as number) - lse,
    ids: [...best.map(({ id }) => id), ...padding],
    logProbs: [...best.map(({ logit }) => logit - lse), ...padding.map(() => Number.NEGATIVE_INFINITY)],
  }
}
