/** @file Steps on a model: forward passes over pages of keys and values. How tokens are drawn is in drawing.ts. */

import { AdapterSet, type AdapterTensors } from '../adapters/adapter-set.js'
import type { Decoder } from '../architecture/architecture.js'
import { noGrad } from '../autograd/tape.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { linear } from '../ops/linear.js'
import { gatherRows } from '../ops/rows.js'
import { scope, unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { isPlainObject } from '../values.js'
import { type BatchExecutor, type BatchRow, type BatchStep, endsPrompt, type QueuedStep } from './batch-executor.js'
import { Drawing, type DrawnRow } from './drawing.js'
import type { InferenceToken } from './inference-request.js'
import { PagedCache } from './paged-cache.js'

/** Tokens of one sequence in a forward pass: positions [first, end). */
interface Span {
  readonly row: BatchRow
  readonly first: number
  readonly end: number
  /** Whether its token is the newest of the sequence, which only the device knows. */
  readonly isNewest: boolean
  /** The place of its draw in the step; undefined: none. */
  readonly draw: number | undefined
}

/** Logits of a pass, and for each of their rows who draws. */
interface QueuedLogits {
  readonly logits: Tensor
  readonly rows: readonly DrawnRow[]
}

export interface ExecutorLimits {
  readonly pages: number
  readonly pageSize: number
  readonly maxSequences: number
}

export class ModelExecutor implements BatchExecutor {
  readonly #model: CausalLM
  readonly #decoder: Decoder
  readonly #limits: ExecutorLimits
  /** Whether the length of a prompt changes how its tokens are rotated. */
  readonly #isDynamic: boolean
  #cache: PagedCache
  #drawing: Drawing

  constructor(model: CausalLM, decoder: Decoder, limits: ExecutorLimits) {
    this.#model = model
    this.#decoder = decoder
    this.#limits = limits
    this.#isDynamic = hasDynamicRope(model)
    this.#cache = this.#newCache()
    this.#drawing = this.#newDrawing()
  }

  queue(step: BatchStep): QueuedStep {
    const passes = noGrad(() => passesOf(step, this.#isDynamic).map((spans) => this.#pass(spans)))
    const drawn = passes.filter((pass) => pass !== undefined)
    const drawing = this.#drawing
    return {
      draw: async (masks) => {
        const parts = drawn.map(({ logits, rows }) => drawing.draw(logits, rows, masks))
        const tokens: InferenceToken[] = []
        for (const part of parts) for (const { index, token } of await part) tokens[index] = token
        return tokens
      },
    }
  }

  end(slot: number): void {
    this.#drawing.end(slot)
  }

  async recover(): Promise<void> {
    const { device } = this.#model
    // The first call takes the fault; the second tells whether the device works.
    await device.sync().catch(() => undefined)
    await device.sync()
    this.dispose()
    this.#cache = this.#newCache()
    this.#drawing = this.#newDrawing()
  }

  dispose(): void {
    this.#cache.dispose()
    this.#drawing.dispose()
  }

  #newCache(): PagedCache {
    const { device, dtype, config } = this.#model
    return new PagedCache(device, dtype, config, this.#limits.pages, this.#limits.pageSize)
  }

  #newDrawing(): Drawing {
    return new Drawing(this.#model.device, this.#limits.maxSequences, this.#model.config.vocabSize)
  }

  /** Queues a forward pass; the logits of those of its spans that draw. */
  #pass(spans: readonly Span[]): QueuedLogits | undefined {
    const { adapter } = (spans[0] as Span).row
    return scope(() => AdapterSet.showing(this.#model, adapter, () => this.#forward(spans)))
  }

  #forward(spans: readonly Span[]): QueuedLogits | undefined {
    const { pageSize } = this.#limits
    const blocks = Math.max(...spans.map(({ end }) => Math.ceil(end / pageSize)))
    const total = spans.reduce((sum, { first, end }) => sum + end - first, 0)
    const [ids, positions, cacheRows] = [new Int32Array(total), new Int32Array(total), new Int32Array(total)]
    const [bounds, keys] = [new Int32Array(spans.length + 1), new Int32Array(spans.length + 1)]
    const [used, table] = [new Int32Array(spans.length), new Int32Array(spans.length * blocks)]
    const [last, rows]: [number[], DrawnRow[]] = [[], []]
    const newest: { at: number; slot: number }[] = []
    let at = 0
    for (const [s, { row, first, end, isNewest, draw }] of spans.entries()) {
      for (let position = first; position < end; position++, at++) {
        if (isNewest) newest.push({ at, slot: row.slot })
        else ids[at] = row.promptIds[position] as number
        positions[at] = position
        cacheRows[at] = (row.pages[Math.floor(position / pageSize)] as number) * pageSize + (position % pageSize)
      }
      bounds[s + 1] = at
      keys[s + 1] = (s + 1) * blocks * pageSize
      used[s] = end
      table.set(row.pages.slice(0, Math.ceil(end / pageSize)), s * blocks)
      if (draw === undefined) continue
      last.push(at - 1)
      rows.push(this.#drawing.rowOf(row, draw, end))
    }
    const inputIds = this.#integers(ids)
    this.#drawing.copyNewest(inputIds, newest)
    const { promptIds } = (spans[0] as Span).row
    const length = this.#isDynamic && newest.length === 0 ? promptIds.length : undefined
    const hidden = this.#decoder.forward(
      {
        inputIds,
        positions: this.#integers(positions),
        positionCount: Math.max(...used),
        ...(length !== undefined && { sequenceLength: length }),
        cacheRows: this.#integers(cacheRows),
        cuSeqlensQ: this.#integers(bounds),
        cuSeqlensK: this.#integers(keys),
        seqUsedK: this.#integers(used),
      },
      { gradientCheckpointing: false, trainable: false, cache: this.#cache.view(this.#integers(table)) },
    )
    if (rows.length === 0) return undefined
    const chosen = last.length === total ? hidden : gatherRows(hidden, this.#integers(Int32Array.from(last)))
    const logits = linear(chosen, [this.#decoder.head], { outputDType: 'float32' })
    return { logits: unregisterFromScope(logits), rows }
  }

  #integers(values: Int32Array): Tensor {
    return Tensor.from(this.#model.device, values, [values.length])
  }
}

/** Whether the length of a prompt changes how its tokens are rotated: beginnings are not the same then. */
export function hasDynamicRope({ rawConfig }: CausalLM): boolean {
  const scaling = [rawConfig.rope_scaling, rawConfig.rope_parameters].find(isPlainObject)
  return scaling?.rope_type === 'dynamic' || scaling?.type === 'dynamic'
}

/** The forward passes of a step: prompts and growing answers apart, and each adapter by itself. */
function passesOf({ chunks, rows }: BatchStep, isDynamic: boolean): Span[][] {
  const passes = new Map<unknown, Span[]>()
  const add = (key: unknown, span: Span): void => {
    const spans = passes.get(key)
    if (spans) spans.push(span)
    else passes.set(key, [span])
  }
  let draws = 0
  const base = {}
  const ofPrompts = new Map<AdapterTensors | undefined, object>()
  for (const chunk of chunks) {
    const { row, first, end } = chunk
    const own = ofPrompts.get(row.adapter) ?? {}
    ofPrompts.set(row.adapter, own)
    add(isDynamic ? chunk : own, { row, first, end, isNewest: false, draw: endsPrompt(chunk) ? draws++ : undefined })
  }
  for (const { row, position } of rows)
    add(row.adapter ?? base, { row, first: position, end: position + 1, isNewest: true, draw: draws++ })
  return [...passes.values()]
}
