/** @file Softmax attention in float64, pair by pair, with its analytic gradients. */

import { add, dot, type Matrix, matrix, set } from './matrix.js'

export interface AttentionCase {
  headDim: number
  causal: boolean
  window: number
  scale: number
  softcap: number
  /** Lengths of the sequences on the query and on the key side. */
  queries: readonly number[]
  keys: readonly number[]
}

interface Pair {
  key: number
  p: number
  /** d score / d (scale q.k): 1 without softcap. */
  slope: number
}

/** Calls `visit` per query and head with the keys that it sees and their probabilities. */
function forEachQuery(
  q: Matrix,
  k: Matrix,
  options: AttentionCase,
  visit: (query: number, head: number, kvHead: number, pairs: Pair[], lse: number) => void,
): void {
  const { headDim, causal, window, scale, softcap } = options
  const heads = q.cols / headDim
  const group = heads / (k.cols / headDim)
  let q0 = 0
  let k0 = 0
  options.queries.forEach((count, sequence) => {
    const keyCount = options.keys[sequence] as number
    for (let i = 0; i < count; i++) {
      for (let head = 0; head < heads; head++) {
        const last = i + keyCount - count
        const pairs: Pair[] = []
        const kvHead = Math.floor(head / group)
        for (let j = 0; j < keyCount; j++) {
          if ((causal && j > last) || (window > 0 && j <= last - window)) continue
          const [from, to] = [(q0 + i) * q.cols + head * headDim, (k0 + j) * k.cols + kvHead * headDim]
          const score = dot(q.values, from, k.values, to, headDim) * scale
          const t = softcap > 0 ? Math.tanh(score / softcap) : 0
          pairs.push({ key: k0 + j, p: softcap > 0 ? softcap * t : score, slope: 1 - t * t })
        }
        const largest = pairs.reduce((most, pair) => Math.max(most, pair.p), Number.NEGATIVE_INFINITY)
        const total = pairs.reduce((sum, pair) => sum + Math.exp(pair.p - largest), 0)
        const lse = pairs.length > 0 ? largest + Math.log(total) : Number.NEGATIVE_INFINITY
        for (const pair of pairs) pair.p = Math.exp(pair.p - lse)
        visit(q0 + i, head, kvHead, pairs, lse)
      }
    }
    q0 += count
    k0 += keyCount
  })
}

/** y [Nq, H hd] and lse [H, Nq]. */
export function attention(q: Matrix, k: Matrix, v: Matrix, options: AttentionCase): { y: Matrix; lse: Matrix } {
  const { headDim } = options
  const y = matrix(q.rows, q.cols)
  const lse = matrix(q.cols / headDim, q.rows)
  forEachQuery(q, k, options, (query, head, kvHead, pairs, logSum) => {
    set(lse, head, query, logSum)
    for (const { key, p } of pairs)
      add(y.values, query * y.cols + head * headDim, p, v.values, key * v.cols + kvHead * headDim, headDim)
  })
  return { y, lse }
}

export function attentionBackward(
  dy: Matrix,
  q: Matrix,
  k: Matrix,
  v: Matrix,
  options: AttentionCase,
): { dq: Matrix; dk: Matrix; dv: Matrix } {
  const { headDim, scale } = options
  const dq = matrix(q.rows, q.cols)
  const dk = matrix(k.rows, k.cols)
  const dv = matrix(v.rows, v.cols)
  forEachQuery(q, k, options, (query, head, kvHead, pairs) => {
    const ofQuery = query * q.cols + head * headDim
    const ofKey = (key: number): number => key * k.cols + kvHead * headDim
    const dp = pairs.map(({ key }) => dot(dy.values, ofQuery, v.values, ofKey(key), headDim))
    const mean = pairs.reduce((total, { p }, i) => total + p * (dp[i] as number), 0)
    pairs.forEach(({ key, p, slope }, i) => {
      const ds = p * ((dp[i] as number) - mean) * slope * scale
      add(dq.values, ofQuery, ds, k.values, ofKey(key), headDim)
      add(dk.values, ofKey(key), ds, q.values, ofQuery, headDim)
      add(dv.values, ofKey(key), p, dy.values, ofQuery, headDim)
    })
  })
  return { dq, dk, dv }
}
