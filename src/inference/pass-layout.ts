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

/** Spans that are computed together. */
export interface Pass {
  readonly adapter: AdapterTensors | undefined
  /** Whether each span is the newest token of its sequence, which only the device knows. */
  readonly isGrowing: boolean
  readonly spans: readonly Span[]
}

/** N tokens of S sequences, with room for so many blocks of each. */
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
}

/** The passes of a step: prompts and growing answers apart, and each adapter by itself. */
export function passesOf({ chunks, rows }: BatchStep, oneByOne: boolean): Pass[] {
  const ofPrompts = new Map<unknown, Pass & { spans: Span[] }>()
  const ofAnswers = new Map<unknown, Pass & { spans: Span[] }>()
  const add = (passes: typeof ofPrompts, key: unknown, isGrowing: boolean, span: Span): void => {
    const pass = passes.get(key)
    if (pass) pass.spans.push(span)
    else passes.set(key, { adapter: span.row.adapter, isGrowing, spans: [span] })
  }
  let draws = 0
  for (const chunk of chunks) {
    const { row, first, end } = chunk
    const draw = endsPrompt(chunk) ? draws++ : undefined
    add(ofPrompts, oneByOne ? chunk : row.adapter, false, { row, first, end, draw })
  }
  for (const { row, position } of rows)
    add(ofAnswers, row.adapter, true, { row, first: position, end: position + 1, draw: draws++ })
  return [...ofPrompts.values(), ...ofAnswers.values()]
}

/**
 * The vectors of a pass. Growing answers get room for a power of two of blocks, so that many of their passes have one
 * shape.
 */
export function layOut({ spans, isGrowing }: Pass, pageSize: number): PassValues {
  const needed = Math.max(...spans.map(({ end }) => Math.ceil(end / pageSize)))
  const blocks = isGrowing ? 2 ** Math.ceil(Math.log2(needed)) : needed
  const total = spans.reduce((sum, { first, end }) => sum + end - first, 0)
  const [ids, positions, cacheRows] = [new Int32Array(total), new Int32Array(total), new Int32Array(total)]
  const [bounds, used] = [new Int32Array(spans.length + 1), new Int32Array(spans.length)]
  const table = new Int32Array(spans.length * blocks)
  let at = 0
  for (const [s, { row, first, end }] of spans.entries()) {
    for (let position = first; position < end; position++, at++) {
      if (!isGrowing) ids[at] = row.promptIds[position] as number
      positions[at] = position
      cacheRows[at] = (row.pages[Math.floor(position / pageSize)] as number) * pageSize + (position % pageSize)
    }
    bounds[s + 1] = at
    used[s] = end
    table.set(row.pages.slice(0, Math.ceil(end / pageSize)), s * blocks)
  }
  return { ids, positions, cacheRows, bounds, used, table }
}
