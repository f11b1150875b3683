/** @file Steps on a model: forward passes over pages of keys and values. How tokens are drawn is in drawing.ts. */

import { AdapterSet, type AdapterTensors } from '../adapters/adapter-set.js'
import type { Decoder, ForwardContext, RaggedInput } from '../architecture/architecture.js'
import { noGrad } from '../autograd/tape.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { linear } from '../ops/linear.js'
import { gatherRows } from '../ops/rows.js'
import { withSumOrder } from '../ops/sum-order.js'
import { scope, unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { isPlainObject } from '../values.js'
import type { BatchExecutor, BatchStep, QueuedStep } from './batch-executor.js'
import { Drawing, type DrawnRow } from './drawing.js'
import type { InferenceToken } from './inference-request.js'
import { PagedCache } from './paged-cache.js'
import { layOut, type Pass, passesOf, type Span } from './pass-layout.js'
import { type PassTensors, passTensors, RecordedSteps } from './recorded-steps.js'

/** Logits of a pass, and for each of their rows who draws. */
interface QueuedLogits {
  readonly logits: Tensor
  /** Whether the next pass of the same shape writes to the same logits. */
  readonly isKept: boolean
  readonly rows: readonly DrawnRow[]
}

/** Tokens that show whether an adapter gives numbers; models have more positions than these. */
const PROBED_TOKENS = 8

interface ExecutorLimits {
  readonly pages: number
  readonly pageSize: number
  readonly maxSequences: number
  readonly maxModelLen: number
}

/** What lives until the device has a fault. */
interface DeviceState {
  readonly cache: PagedCache
  readonly drawing: Drawing
  readonly recorded: RecordedSteps
}

export class ModelExecutor implements BatchExecutor {
  readonly #model: CausalLM
  readonly #decoder: Decoder
  readonly #limits: ExecutorLimits
  /** Whether the length of a prompt changes how its tokens are rotated. */
  readonly #isDynamic: boolean
  #state: DeviceState

  constructor(model: CausalLM, decoder: Decoder, limits: ExecutorLimits) {
    this.#model = model
    this.#decoder = decoder
    this.#limits = limits
    this.#isDynamic = hasDynamicRope(model)
    this.#state = this.#newState()
  }

  queue(step: BatchStep): QueuedStep {
    const passes = noGrad(() => passesOf(step, this.#isDynamic).map((pass) => this.#queuePass(pass)))
    const queued = passes.filter((pass) => pass !== undefined)
    const { drawing } = this.#state
    return {
      draw: async (masks, additions) => {
        const parts = queued.map(({ logits, rows, isKept }) => {
          const tokens = drawing.draw(logits, rows, masks, additions)
          if (!isKept) logits.dispose()
          return tokens
        })
        const tokens: InferenceToken[] = []
        for (const part of await Promise.all(parts)) for (const { index, token } of part) tokens[index] = token
        return tokens
      },
    }
  }

  end(slot: number): void {
    this.#state.drawing.end(slot)
  }

  forget(adapter: AdapterTensors): void {
    this.#state.recorded.forget(adapter)
  }

  /** Whether the logits of some tokens are numbers with an adapter. */
  async isFinite(adapter: AdapterTensors): Promise<boolean> {
    const { device } = this.#model
    const tokens = Int32Array.from({ length: PROBED_TOKENS }, (_, i) => i % this.#model.config.vocabSize)
    const integers = (values: Int32Array): Tensor => Tensor.from(device, values, [values.length])
    const probe = noGrad(() =>
      scope(() => {
        const bounds = integers(Int32Array.of(0, PROBED_TOKENS))
        const input = {
          ...{ inputIds: integers(tokens), positions: integers(tokens.map((_, i) => i)) },
          ...{ positionCount: PROBED_TOKENS, sequenceLength: PROBED_TOKENS, cuSeqlensQ: bounds, cuSeqlensK: bounds },
        }
        const context = { gradientCheckpointing: false, trainable: false } as const
        const logits = AdapterSet.showing(this.#model, [{ parts: adapter }], () =>
          this.#headLogits(this.#decoder.forward(input, context)),
        )
        return { values: logits.read() }
      }),
    )
    return (await probe.values).every((value) => Number.isFinite(value))
  }

  async recover(): Promise<void> {
    const { device } = this.#model
    // The first call takes the fault; the second tells whether the device works.
    await device.sync().catch(() => undefined)
    await device.sync()
    this.dispose()
    this.#state = this.#newState()
  }

  dispose(): void {
    for (const part of Object.values(this.#state)) part.dispose()
  }

  #newState(): DeviceState {
    const { device, dtype, config } = this.#model
    const { pages, pageSize, maxSequences } = this.#limits
    return {
      cache: new PagedCache(device, dtype, config, pages, pageSize),
      drawing: new Drawing(device, maxSequences, config.vocabSize),
      recorded: new RecordedSteps(device),
    }
  }

  /** Queues a forward pass; the logits of those of its spans that draw. */
  #queuePass(pass: Pass): QueuedLogits | undefined {
    const { drawing, recorded } = this.#state
    const { adapters, isGrowing, spans } = pass
    const rows = spans.flatMap(({ row, draw, end }) => (draw === undefined ? [] : [drawing.rowOf(row, draw, end)]))
    const values = layOut(pass, this.#limits.pageSize)
    if (isGrowing) {
      const slots = spans.map(({ row }, at) => ({ at, slot: row.slot }))
      const prepare = ({ ids }: PassTensors): void => drawing.copyNewest(ids, slots)
      const compute = (tensors: PassTensors): Tensor =>
        withSumOrder('few', () => this.#growingLogits(adapters, tensors))
      return { rows, ...recorded.run(adapters, values, prepare, compute) }
    }
    const logits = scope(() => {
      const tensors = passTensors(this.#model.device, values)
      return this.#promptLogits(adapters, tensors, spans)
    })
    return logits && { rows, logits: unregisterFromScope(logits), isKept: false }
  }

  #growingLogits(adapters: Pass['adapters'], tensors: PassTensors): Tensor {
    // For all steps of the shape, so that what is recorded holds for them.
    const { maxModelLen, pageSize } = this.#limits
    const input = this.#input(tensors, Math.min(maxModelLen, tensors.table.cols * pageSize))
    return this.#showing(adapters, tensors.ranges, () =>
      this.#headLogits(this.#decoder.forward(input, this.#context())),
    )
  }

  #promptLogits(adapters: Pass['adapters'], tensors: PassTensors, spans: readonly Span[]): Tensor | undefined {
    const { promptIds } = (spans[0] as Span).row
    const input = {
      ...this.#input(tensors, Math.max(...spans.map(({ end }) => end))),
      ...(this.#isDynamic && { sequenceLength: promptIds.length }),
    }
    const hidden = this.#showing(adapters, tensors.ranges, () =>
      withSumOrder('many', () => this.#decoder.forward(input, this.#context())),
    )
    let end = 0
    const last = spans.flatMap(({ first, end: until, draw }) => {
      end += until - first
      return draw === undefined ? [] : [end - 1]
    })
    if (last.length === 0) return undefined
    const rows = Tensor.from(this.#model.device, Int32Array.from(last), [last.length])
    return this.#showing(adapters, tensors.drawRanges, () =>
      withSumOrder('few', () => this.#headLogits(gatherRows(hidden, rows))),
    )
  }

  /** Runs `fn` while the model has the adapters of a pass, each for its rows: `ranges`, [A, 2]. */
  #showing<T>(adapters: Pass['adapters'], ranges: Tensor, fn: () => T): T {
    const shown = adapters.flatMap((parts, i) =>
      parts ? [{ parts, rows: adapters.length === 1 ? undefined : ranges.slice(i, i + 1).reshape([2]) }] : [],
    )
    return AdapterSet.showing(this.#model, shown, fn)
  }

  #input({ ids, positions, cacheRows, bounds, used, table }: PassTensors, positionCount: number): RaggedInput {
    return {
      ...{ inputIds: ids, positions, positionCount, cacheRows },
      ...{ cuSeqlensQ: bounds, seqUsedK: used, blockTable: table, blockSize: this.#limits.pageSize },
    }
  }

  #context(): ForwardContext {
    return { gradientCheckpointing: false, trainable: false, cache: this.#state.cache }
  }

  #headLogits(hidden: Tensor): Tensor {
    return linear(hidden, [this.#decoder.head], { outputDType: 'float32' })
  }
}

/** Whether the length of a prompt changes how its tokens are rotated: beginnings are not the same then. */
export function hasDynamicRope({ rawConfig }: CausalLM): boolean {
  const scaling = [rawConfig.rope_scaling, rawConfig.rope_parameters].find(isPlainObject)
  return scaling?.rope_type === 'dynamic' || scaling?.type === 'dynamic'
}
