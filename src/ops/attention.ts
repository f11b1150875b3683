/**
 * @file attention: softmax attention within sequences (FlashAttention-2: Dao 2023, arXiv:2307.08691); no [N, N] matrix
 * is stored.
 */

import { keep } from '../autograd/gradient-checkpointing.js'
import { needsRecording, record, Saved } from '../autograd/tape.js'
import { LowrankError } from '../lowrank-error.js'
import { Tensor } from '../tensor/tensor.js'
import { expectCompute, expectDType, expectSameDevice, expectShape } from './check.js'
import { emptyLikeColumns } from './split-columns.js'

export interface AttentionOptions {
  headDim: number
  /** int32 [S + 1]: sequence s owns the queries [cuSeqlensQ[s], cuSeqlensQ[s + 1]). */
  cuSeqlensQ: Tensor
  /** int32 [S + 1]: and these keys; left out beside `blockTable`. */
  cuSeqlensK?: Tensor | undefined
  /**
   * int32 [S]: only the first so many of those keys are there, as in a cache with room; default all. Without gradients.
   * Needed beside `blockTable`.
   */
  seqUsedK?: Tensor | undefined
  /**
   * int32 [S, blocks]: keys in blocks (paged attention: Kwon et al. 2023, arXiv:2309.06180). Key j of sequence s is row
   * `blockTable[s, j / blockSize] * blockSize + j % blockSize` of k and v. Entries after the blocks that `seqUsedK`
   * needs are not read. Without gradients; the result has the bits that keys in a row give.
   */
  blockTable?: Tensor | undefined
  /** Keys per block: a power of two from 64 on, of which the rows of k are a multiple. Present beside `blockTable`. */
  blockSize?: number | undefined
  /**
   * Query i of a sequence sees the keys up to i + (keys - queries): aligned at the end, as a cache needs. Default true.
   */
  causal?: boolean
  /** Keys that a query sees, itself included; 0 (default): all. */
  window?: number
  /** Factor of q k^T; default 1 / sqrt(headDim). */
  scale?: number
  /** Scores become softcap * tanh(scores / softcap); 0 (default): not. */
  softcap?: number
}

/**
 * With `seqUsedK` the bits of a query's result depend on its keys alone, not on what else the call computes, but for
 * this: queries of a sequence are cut into blocks of 64 from the first one of the call on, and blocks of one or two are
 * summed in another order than larger ones. So a prompt may be computed in chunks that begin at multiples of 64.
 * @param q [Nq, H * headDim].
 * @param k [Nk, Hkv * headDim], H a multiple of Hkv: query head h reads key head h / (H / Hkv).
 * @param v like k. With `blockTable` both are [blocks * blockSize, Hkv * headDim].
 * @returns [Nq, H * headDim].
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const {
    headDim,
    cuSeqlensQ,
    cuSeqlensK,
    seqUsedK,
    blockTable,
    blockSize = 0,
    causal = true,
    window = 0,
    scale = 1 / Math.sqrt(headDim),
    softcap = 0,
  } = options
  const { device } = q
  expectSameDevice('attention', { q, k, v, cuSeqlensQ, cuSeqlensK, seqUsedK, blockTable })
  expectCompute('attention', 'q', q)
  for (const [name, tensor] of [
    ['k', k],
    ['v', v],
  ] as const)
    expectDType('attention', name, tensor, q.dtype)
  expectShape('attention', 'v', v, k.shape, 'like k')
  if (cuSeqlensK) expectShape('attention', 'cuSeqlensK', cuSeqlensK, cuSeqlensQ.shape, 'S + 1')
  if (blockTable) {
    expectShape('attention', 'blockTable', blockTable, [cuSeqlensQ.size - 1, undefined], 'S, blocks')
    expectDType('attention', 'blockTable', blockTable, 'int32')
  }
  if ((cuSeqlensK === undefined) !== (blockTable !== undefined) || (blockTable && !seqUsedK))
    throw new LowrankError(
      'INVALID_CALL',
      '[attention] expected cuSeqlensK, or blockTable and seqUsedK, got both, none or only blockTable; name one place of the keys',
    )
  if (seqUsedK) {
    expectShape('attention', 'seqUsedK', seqUsedK, [cuSeqlensQ.size - 1], 'S')
    expectDType('attention', 'seqUsedK', seqUsedK, 'int32')
  }
  const heads = q.cols / headDim
  const keyHeads = k.cols / headDim
  if (!Number.isInteger(heads) || !Number.isInteger(keyHeads) || heads % keyHeads !== 0) {
    throw new LowrankError(
      'INVALID_CALL',
      `[attention] expected whole heads of headDim ${headDim}, the query heads a multiple of the key heads, got q [${q.shape}], k [${k.shape}]`,
    )
  }
  const native = { headDim, causal, window, scale, softcap }
  const [y, lse] = keep(() => {
    const y = Tensor.activation(device, q.shape, q.dtype)
    const lse = Tensor.empty(device, [heads, q.rows], 'float32')
    device.enqueue('attention', {
      ...{ q, k, v, cuSeqlensQ, cuSeqlensK, seqUsedK, blockTable, y, lse, blockSize },
      options: native,
    })
    return [y, lse]
  }, true) as [Tensor, Tensor]
  if (needsRecording([q, k, v])) {
    if (seqUsedK)
      throw new LowrankError(
        'INVALID_CALL',
        '[attention] expected no seqUsedK where gradients are wanted; leave out the unused keys',
      )
    const saved = [q, k, v, y, lse, cuSeqlensQ, cuSeqlensK as Tensor].map((tensor) => new Saved(tensor, 'attention'))
    record('attention', [q, k, v], [y], saved, ([dy]) => {
      if (!dy) return []
      const [sq, sk, sv, sy, sLse, sCuQ, sCuK] = saved.map((item) => item.get()) as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
      ]
      const [dq, dk, dv] = emptyLikeColumns([sq, sk, sv]) as [Tensor, Tensor, Tensor]
      device.enqueue('attentionBackward', {
        dy,
        q: sq,
        k: sk,
        v: sv,
        cuSeqlensQ: sCuQ,
        cuSeqlensK: sCuK,
        y: sy,
        lse: sLse,
        dq,
        dk,
        dv,
        options: native,
      })
      return [dq, dk, dv]
    })
  }
  return y
}
