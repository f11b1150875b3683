/** @file Opens an export again and compares it with its source; one model is in memory at a time. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { type ComparedLines, compareIds, compareLogits, type ExportComparison, logitsOfLines } from './compare.js'
import type { ExportEvent } from './events.js'
import type { Reopened, ReopenJob } from './export-format.js'

/** What a comparison needs beside what it compares. */
interface Verification {
  readonly asked: ComparedLines
  readonly device: Device
  readonly computed: ComputeDType
  readonly signal: AbortSignal | undefined
  readonly onEvent: ((event: ExportEvent) => void) | undefined
}

/**
 * @param release is called once the logits of the source are there: leaves the base model without its adapter, or frees
 * it where it returns none.
 * @param reopen opens the export
 */
export async function verify(
  { asked, device, computed, signal, onEvent }: Verification,
  source: CausalLM,
  release: () => CausalLM | undefined,
  output: string,
  reopen: (job: ReopenJob) => Promise<Reopened>,
): Promise<ExportComparison> {
  const total = 2 * asked.prompts.reduce((sum, { ids }) => sum + ids.length, 0)
  let done = 0
  const onTokens = (tokens: number): void => {
    done += tokens
    onEvent?.({ type: 'compare', tokens: done, total })
  }
  const expected = await logitsOfLines(source, asked, signal, onTokens)
  const base = release()
  const scratch = await mkdtemp(join(tmpdir(), 'lowrank-export-'))
  let reopened: Reopened | undefined
  try {
    reopened = await reopen({ output, base, source: { dtype: computed, device }, scratch })
    const model = reopened.kind === 'model' ? reopened.model : reopened.adapter.model
    const got = await logitsOfLines(model, asked, signal, onTokens)
    return { ...compareIds(asked, reopened.tokenizer), ...compareLogits(asked, expected, got) }
  } finally {
    if (reopened?.kind === 'model') reopened.model.dispose()
    else reopened?.adapter.dispose()
    await rm(scratch, { recursive: true, force: true })
  }
}
