/**
 * @file The importance matrix: how much an error in each column of a matrix counts, which is the mean square of what
 * the column is multiplied by. Measured on calibration texts.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { OptionError } from '../lowrank-error.js'
import { Turns } from '../turns.js'

/** Tokens whose inputs are in memory at a time. */
const WINDOW = 128

/** What is watched while it is measured. */
export interface MeasureOptions {
  readonly signal?: AbortSignal | undefined
  /** Called after each piece of a sequence. */
  readonly onTokens?: ((tokens: number, total: number) => void) | undefined
}

/**
 * The mean squares of the inputs of every projection but the head, by the name of its weight. Sequences are cut where
 * they are longer than what fits into memory at a time.
 * @throws on ids that the model does not have
 */
export async function columnImportance(
  model: CausalLM,
  sequences: readonly (readonly number[])[],
  { signal, onTokens }: MeasureOptions = {},
): Promise<Map<string, Float32Array>> {
  const { vocabSize } = model.config
  const pieces = sequences.flatMap((ids) => cut(ids))
  if (pieces.length === 0 || pieces.flat().some((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize)))
    throw new OptionError(`[gguf] expected calibration to give token ids in [0, ${vocabSize}), got none or others`)
  const turns = new Turns(signal)
  const sums = new Map<string, Float64Array>()
  const total = pieces.reduce((sum, { length }) => sum + length, 0)
  let done = 0
  for (const ids of pieces) {
    for (const { name, values } of await inputsOf(model, ids)) {
      const cols = values.length / ids.length
      const sum = sums.get(name) ?? new Float64Array(cols)
      sums.set(name, sum)
      for (let row = 0; row < ids.length; row++) {
        for (let i = 0, at = row * cols; i < cols; i++, at++)
          sum[i] = (sum[i] as number) + (values[at] as number) * (values[at] as number)
        if (turns.isOver) await turns.next()
      }
    }
    signal?.throwIfAborted()
    done += ids.length
    onTokens?.(done, total)
  }
  return new Map([...sums].map(([name, sum]) => [name, Float32Array.from(sum, (value) => value / total)]))
}

function cut(ids: readonly number[]): number[][] {
  return Array.from({ length: Math.ceil(ids.length / WINDOW) }, (_, i) => ids.slice(i * WINDOW, (i + 1) * WINDOW))
}

interface Input {
  readonly name: string
  readonly values: Float32Array
}

/** [N, K] of every projection, the head left out: llama.cpp's own matrices have none for it either. */
async function inputsOf(model: CausalLM, ids: readonly number[]): Promise<Input[]> {
  const reads: Promise<Input>[] = []
  const observed = [...model.modules.linears.values()].filter((linear) => linear !== model.head)
  for (const linear of observed) {
    linear.observe = (x) => {
      reads.push(x.read().then((values) => ({ name: `${linear.path}.weight`, values: values as Float32Array })))
    }
  }
  try {
    const { logits } = model.forward({ inputIds: Int32Array.from(ids), cuSeqlens: [0, ids.length] }, { logits: true })
    logits.dispose()
  } finally {
    for (const linear of observed) linear.observe = undefined
  }
  return await Promise.all(reads)
}
