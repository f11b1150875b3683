/** @file Which tokens a forward pass computes, and the vectors that tell the device. Knows no tensors. */

import type { AdapterTensors } from '../adapters/adapter-set.js'
import { type BatchRow, type BatchStep, endsPrompt } from './batch-executor.js'

/** Tokens of one sequence in a pass: positions [first, end). */
export interface Span {
  readonly row: BatchRow
  readonly first: number
  readonly end: number
  /** The place of its draw in the step; undefined: none. */
  readonly draw: number | undefined
}

/** Spans that are computed together, those of one adapter side by side. */
export interface Pass {
  /** The adapters of the spans, each once, in their order; undefined: the base model. */
  readonly adapters: readonly (AdapterTensors | undefined)[]
  /** Whether each span is the newest token of its sequence, which only the device knows. */
  readonly isGrowing: boolean
  readonly spans: readonly Span[]
}

/** N tokens of S sequences and A adapters, with room for so many blocks of each sequence. */
export interface PassValues {
  /** [N]; newest tokens are left out. */
  readonly ids: Int32Array
  /** [N] */
  readonly positions: Int32Array
  /** [N]: where in the cache each token's key goes. */
  readonly cacheRows: Int32Array
  /** [S + 1]: where the tokens of each sequence begin. */
  readonly bounds: Int32Array
  /** [S]: keys that are there with this pass. */
  readonly used: Int32Array
  /** [S * blocks]: pages. */
  readonly table: Int32Array
  /** [A * 2]: the first token of each adapter, and the one after its last. */
  readonly ranges: Int32Array
  /** [A * 2]: the same of the tokens that draw, which alone have logits. */
  readonly drawRanges: Int32Array
}

/** Adapters in a pass: with more, sums would depend on the others; see `withSumOrder`. */
const MOST_ADAPTERS = 40

/**
 * The passes of a step: prompts and growing answers apart, whose sums have other orders. Adapters go together, but for
 * those that put weights or biases in the place of the model's.
 * @param oneByOne each prompt has a pass of its own
 */
export function passesOf({ chunks, rows }: BatchStep, oneByOne: boolean): Pass[] {
  let draws = 0
  const ofPrompts = chunks.map((chunk): Span => {
    const { row, first, end } = chunk
    return { row, first, end, draw: endsPrompt(chunk) ? draws++ : undefined }
  })
  const ofAnswers = rows.map(({ row, position }): Span => ({ row, first: position, end: position + 1, draw: draws++ }))
  const prompts = oneByOne ? ofPrompts.map((span) => [span]) : [ofPrompts]
  return [...prompts.flatMap((spans) => byAdapters(spans, false)), ...byAdapters(ofAnswers, true)]
}

function byAdapters(spans: readonly Span[], isGrowing: boolean): Pass[] {
  const groups = new Map<AdapterTensors | undefined, Span[]>()
  for (const span of spans) {
    const { adapter } = span.row
    const group = groups.get(adapter)
    if (group) group.push(span)
    else groups.set(adapter, [span])
  }
  // In the order of their first rows: shapes of passes come again more often than with one by names.
  const passes: [AdapterTensors | undefined, Span[]][][] = []
  let together: [AdapterTensors | undefined, Span[]][] = []
  for (const group of groups) {
    const isAlone = group[0] !== undefined && group[0].replacements.length > 0
    if (isAlone) passes.push([group])
    else together.push(group)
    if (together.length < MOST_ADAPTERS) continue
    passes.push(together)
    together = []
  }
  if (together.length > 0) passes.push(together)
  return passes.map((all) => ({
    adapters: all.map(([adapter]) => adapter),
    isGrowing,
    spans: all.flatMap(([, some]) => some),
  }))
}

/**
 * The vectors of a pass. Growing answers get room for a power of two of blocks, so that many of their passes have one
 * shape.
 */
export function layOut({ adapters, spans, isGrowing }: Pass, pageSize: number): PassValues {
  const needed = Math.max(...spans.map(({ end }) => Math.ceil(end / pageSize)))
  const blocks = isGrowing ? 2 ** Math.ceil(Math.log2(needed)) : needed
  const total = spans.reduce((sum, { first, end }) => sum + end - first, 0)
  const [ids, positions, cacheRows] = [new Int32Array(total), new Int32Array(total), new Int32Array(total)]
  const [bounds, used] = [new Int32Array(spans.length + 1), new Int32Array(spans.length)]
  const table = new Int32Array(spans.length * blocks)
  const [ranges, drawRanges] = [new Int32Array(adapters.length * 2), new Int32Array(adapters.length * 2)]
  let [at, draws] = [0, 0]
  for (const [s, { row, first, end, draw }] of spans.entries()) {
    const adapter = adapters.indexOf(row.adapter)
    if (s === 0 || row.adapter !== spans[s - 1]?.row.adapter) {
      ranges[2 * adapter] = at
      drawRanges[2 * adapter] = draws
    }
    for (let position = first; position < end; position++, at++) {
      if (!isGrowing) ids[at] = row.promptIds[position] as number
      positions[at] = position
      cacheRows[at] = (row.pages[Math.floor(position / pageSize)] as number) * pageSize + (position % pageSize)
    }
    if (draw !== undefined) draws++
    ranges[2 * adapter + 1] = at
    drawRanges[2 * adapter + 1] = draws
    bounds[s + 1] = at
    used[s] = end
    table.set(row.pages.slice(0, Math.ceil(end / pageSize)), s * blocks)
  }
  return { ids, positions, cacheRows, bounds, used, table, ranges, drawRanges }
}
