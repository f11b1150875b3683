/**
 * @file Scoring: log probabilities of continuations on top of a key/value cache, in which a beginning of all contexts,
 * and a context with several continuations, is computed once.
 */

import type { Decoder } from '../architecture/architecture.js'
import { noGrad } from '../autograd/tape.js'
import { argmax } from '../ops/argmax.js'
import { linear } from '../ops/linear.js'
import { linearLogProbs } from '../ops/linear-log-probs.js'
import { gatherRows } from '../ops/rows.js'
import type { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { scope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { KvCache } from './kv-cache.js'

/** A context and what may follow it. */
export interface ContextGroup {
  readonly context: Int32Array
  /** `index` is the place of the item in the caller's list. */
  readonly continuations: readonly { readonly index: number; readonly ids: Int32Array }[]
}

/** How likely a continuation is. */
export interface ContinuationScore {
  /** The natural logarithm of the continuation's probability after its context: the sum of `tokenLogProbs`. */
  readonly logProb: number
  /** That of each of its tokens after all before it. */
  readonly tokenLogProbs: Float32Array
  /** Whether greedy decoding would write it: each token is the most likely one, the first where several are. */
  readonly isGreedy: boolean
}

/** Rows whose logits are there at a time. */
const LOGIT_ROWS = 64

/** A sequence of a pass: its keys lie in the cache from `start` on, and `from` of its tokens are there already. */
interface Sequence {
  readonly ids: Int32Array
  readonly start: number
  readonly from: number
}

/** What is asked of one token: how likely `label` is after it. `row`: of the hidden states of a pass. */
interface Question {
  readonly row: number
  readonly label: number
}

export class Scoring {
  readonly #decoder: Decoder
  readonly #device: Device
  readonly #dtype: ComputeDType
  readonly #prefixIds: Int32Array
  readonly #hooks: { expectUnchanged(): void; onEnd(): void }
  #prefix: KvCache | undefined
  #isDisposed = false

  constructor(
    decoder: Decoder,
    device: Device,
    dtype: ComputeDType,
    prefix: Int32Array,
    hooks: { expectUnchanged(): void; onEnd(): void },
  ) {
    this.#decoder = decoder
    this.#device = device
    this.#dtype = dtype
    this.#prefixIds = prefix
    this.#hooks = hooks
  }

  dispose(): void {
    if (!this.#isDisposed) this.#hooks.onEnd()
    this.#isDisposed = true
    this.#prefix?.dispose()
  }

  /** The score of each continuation, with its index. */
  async score(groups: readonly ContextGroup[]): Promise<[index: number, score: ContinuationScore][]> {
    this.#hooks.expectUnchanged()
    const queued = noGrad(() => scope(() => this.#queue(groups)))
    const answers = await readAnswers(queued)
    // First all first tokens, then the further tokens of those continuations that have any.
    let further = groups.reduce((sum, { continuations }) => sum + continuations.length, 0)
    let first = 0
    return groups.flatMap(({ continuations }) =>
      continuations.map(({ index, ids }): [number, ContinuationScore] => {
        const rest = answers.slice(further, further + ids.length - 1)
        further += ids.length - 1
        const all = [answers[first++], ...rest] as Answer[]
        const tokenLogProbs = Float32Array.from(all, ({ logProb }) => logProb)
        const logProb = tokenLogProbs.reduce((sum, value) => sum + value, 0)
        return [index, { logProb, tokenLogProbs, isGreedy: all.every(({ mostLikely }, i) => mostLikely === ids[i]) }]
      }),
    )
  }

  #queue(groups: readonly ContextGroup[]): Tensor[] {
    const shared = this.#prefixIds.length
    const branches = groups.map(({ continuations }) => continuations.filter(({ ids }) => ids.length > 1))
    // The context's own keys come first; each branch has a copy of them, with room for its tokens behind.
    let rows = 0
    const place = (count: number): number => {
      const start = rows
      rows += count
      return start
    }
    const contexts = groups.map(
      ({ context }): Sequence => ({ ids: context, start: place(context.length), from: shared }),
    )
    const grown = branches.flatMap((some, g) =>
      some.map(({ ids }): Sequence & { group: number } => {
        const context = (groups[g] as ContextGroup).context
        // The last token predicts nothing that is asked for.
        const whole = Int32Array.from([...context, ...ids.subarray(0, -1)])
        return { ids: whole, start: place(whole.length), from: context.length, group: g }
      }),
    )
    const cache = this.#cache(rows)
    try {
      if (shared > 0) {
        const upTo = (start: number): number[] => Array.from({ length: shared }, (_, i) => start + i)
        const to = contexts.flatMap(({ start }) => upTo(start))
        cache.copyRows(this.#sharedKeys(), this.#integers(contexts.flatMap(() => upTo(0))), this.#integers(to))
      }
      const hidden = this.#pass(cache, rows, contexts)
      const ends = endsOf(contexts)
      const firsts = groups.flatMap(({ continuations }, g) =>
        continuations.map(({ ids }): Question => ({ row: (ends[g] as number) - 1, label: ids[0] as number })),
      )
      const results = this.#ask(hidden, firsts)
      if (grown.length === 0) return results
      const copies = grown.flatMap(({ group, start, from }) =>
        Array.from({ length: from }, (_, i) => [(contexts[group] as Sequence).start + i, start + i] as const),
      )
      cache.copyRows(cache, this.#integers(copies.map(([from]) => from)), this.#integers(copies.map(([, to]) => to)))
      const further = this.#pass(cache, rows, grown)
      const labels = branches.flatMap((some) => some.flatMap(({ ids }) => [...ids.subarray(1)]))
      return [
        ...results,
        ...this.#ask(
          further,
          labels.map((label, row) => ({ row, label })),
        ),
      ]
    } finally {
      // What is queued keeps its memory until it has run.
      cache.dispose()
    }
  }

  /** The hidden states of those tokens that are not in the cache yet, [N, D]. `sequences` lie one behind the other. */
  #pass(cache: KvCache, rows: number, sequences: readonly Sequence[]): Tensor {
    const skipped = (sequences[0] as Sequence).start > 0 ? 1 : 0
    const cuSeqlensQ = [...Array<number>(skipped).fill(0), 0, ...endsOf(sequences)]
    const cuSeqlensK = [...Array<number>(skipped).fill(0), ...sequences.map(({ start }) => start)]
    const last = sequences.at(-1) as Sequence
    cuSeqlensK.push(Math.min(rows, last.start + last.ids.length))
    const used = [...Array<number>(skipped).fill(0), ...sequences.map(({ ids }) => ids.length)]
    const tokens = sequences.flatMap(({ ids, from, start }) =>
      Array.from(ids.subarray(from), (id, i) => ({ id, position: from + i, row: start + from + i })),
    )
    const sequenceLength = Math.max(...sequences.map(({ ids }) => ids.length))
    return this.#decoder.forward(
      {
        inputIds: this.#integers(tokens.map(({ id }) => id)),
        positions: this.#integers(tokens.map(({ position }) => position)),
        positionCount: sequenceLength,
        sequenceLength,
        cacheRows: this.#integers(tokens.map(({ row }) => row)),
        cuSeqlensQ: this.#integers(cuSeqlensQ),
        cuSeqlensK: this.#integers(cuSeqlensK),
        seqUsedK: this.#integers(used),
      },
      { gradientCheckpointing: false, trainable: false, cache },
    )
  }

  /** Pairs of vectors: log probabilities of the labels of some questions, and the ids that are most likely. */
  #ask(hidden: Tensor, questions: readonly Question[]): Tensor[] {
    const results: Tensor[] = []
    for (let first = 0; first < questions.length; first += LOGIT_ROWS) {
      const some = questions.slice(first, first + LOGIT_ROWS)
      results.push(
        ...scope(() => {
          // Questions about the same token stand one behind the other: its logits are made once for what is likeliest.
          const distinct = [...new Set(some.map(({ row }) => row))]
          const places = new Map(distinct.map((row, i) => [row, i]))
          const asked = gatherRows(hidden, this.#integers(some.map(({ row }) => row)))
          const labels = this.#integers(some.map(({ label }) => label))
          const logProbs = linearLogProbs(asked, labels, this.#decoder.head)
          const own = gatherRows(hidden, this.#integers(distinct))
          const mostLikely = argmax(linear(own, [this.#decoder.head], { outputDType: 'float32' }))
          const order = this.#integers(some.map(({ row }) => places.get(row) as number))
          return [logProbs, mostLikely, order]
        }),
      )
    }
    return results
  }

  /** Keys and values of the beginning that all contexts share. */
  #sharedKeys(): KvCache {
    if (this.#prefix) return this.#prefix
    this.#prefix = this.#cache(this.#prefixIds.length)
    this.#pass(this.#prefix, this.#prefixIds.length, [{ ids: this.#prefixIds, start: 0, from: 0 }])
    return this.#prefix
  }

  #cache(rows: number): KvCache {
    const { numHiddenLayers: layers, numKeyValueHeads, headDim } = this.#decoder.config
    const shape = { layers, width: numKeyValueHeads * headDim, sequences: 1 }
    return new KvCache(this.#device, this.#dtype, shape, rows)
  }

  #integers(values: ArrayLike<number>): Tensor {
    return Tensor.from(this.#device, Int32Array.from(values), [values.length])
  }
}

/** Where the new tokens of each sequence end. */
function endsOf(sequences: readonly Sequence[]): number[] {
  let end = 0
  return sequences.map(({ ids, from }) => {
    end += ids.length - from
    return end
  })
}

interface Answer {
  readonly logProb: number
  readonly mostLikely: number
}

/** @param queued vectors in threes, as `#ask` makes them; they are freed. */
async function readAnswers(queued: readonly Tensor[]): Promise<Answer[]> {
  const answers: Answer[] = []
  for (let i = 0; i < queued.length; i += 3) {
    const [logProbs, mostLikely, order] = queued.slice(i, i + 3) as [Tensor, Tensor, Tensor]
    const [values, ids, places] = [await logProbs.read(), await mostLikely.readInt32(), await order.readInt32()]
    for (const [k, logProb] of values.entries())
      answers.push({ logProb, mostLikely: ids[places[k] as number] as number })
  }
  for (const tensor of queued) tensor.dispose()
  return answers
}
