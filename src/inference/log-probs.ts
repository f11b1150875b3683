/** @file Log probabilities of a row of logits, on the host. */

import type { TokenLogprob } from './inference-request.js'

/** The log probability of `id`, and the `count` most likely ids with theirs. */
export function logProbsOf(
  logits: Float32Array,
  id: number,
  count: number,
): { logprob: number; topLogprobs: TokenLogprob[] } {
  let largest = Number.NEGATIVE_INFINITY
  for (const value of logits) if (value > largest) largest = value
  let sum = 0
  for (const value of logits) sum += Math.exp(value - largest)
  const logprobOf = (index: number): number => (logits[index] as number) - largest - Math.log(sum)
  const top: number[] = []
  for (const [index, value] of logits.entries()) {
    if (top.length === count && (count === 0 || value <= (logits[top[count - 1] as number] as number))) continue
    let place = top.length
    while (place > 0 && (logits[top[place - 1] as number] as number) < value) place--
    top.splice(place, 0, index)
    if (top.length > count) top.pop()
  }
  return { logprob: logprobOf(id), topLogprobs: top.map((index) => ({ id: index, logprob: logprobOf(index) })) }
}
