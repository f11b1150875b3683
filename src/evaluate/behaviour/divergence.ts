/** @file Kullback-Leibler divergence of two next-token distributions over the whole vocabulary, from their logits. */

/**
 * `sum p (log p - log q)` in nats, p and q the softmax of each row of two lists of logits, in float64.
 * @param vocabSize columns V of both; `p` and `q` are [T, V].
 * @returns [T], each at least 0.
 */
export function divergences(p: Float32Array, q: Float32Array, vocabSize: number): Float64Array {
  const rows = p.length / vocabSize
  return Float64Array.from({ length: rows }, (_, row) => {
    const first = row * vocabSize
    const [logP, logQ] = [logSum(p, first, vocabSize), logSum(q, first, vocabSize)]
    let sum = 0
    for (let column = first; column < first + vocabSize; column++) {
      const log = (p[column] as number) - logP
      // A probability of zero adds nothing, whatever the other is.
      if (log > -745) sum += Math.exp(log) * (log - ((q[column] as number) - logQ))
    }
    return Math.max(0, sum)
  })
}

/** log sum exp of a row. */
export function logSum(logits: Float32Array, first: number, length: number): number {
  let most = Number.NEGATIVE_INFINITY
  for (let column = first; column < first + length; column++) most = Math.max(most, logits[column] as number)
  let sum = 0
  for (let column = first; column < first + length; column++) sum += Math.exp((logits[column] as number) - most)
  return most + Math.log(sum)
}
