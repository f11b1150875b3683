/** @file Directories of runs for tests, written as runs write them. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What a run of a test is to have. */
export interface GivenRun {
  readonly steps?: number
  readonly totalSteps?: number
  /** How its last session ended. */
  readonly state?: 'running' | 'completed' | 'aborted' | 'failed'
  readonly options?: Readonly<Record<string, unknown>>
  readonly warnings?: readonly string[]
  readonly prompts?: readonly string[]
  readonly texts?: (step: number) => string
  readonly loss?: (step: number) => number
  readonly name?: string
  readonly fail?: string
}

/** The line of a log after a step. */
export function logLine(step: number, loss: number, totalSteps = 1000): string {
  const figures = { loss, learningRate: 2e-4 * (1 - step / totalSteps), gradNorm: 1 + Math.sin(step) / 2 }
  const position = { step, totalSteps, epoch: step / 500, tokensPerSecond: 4000 + (step % 7) * 50, etaSeconds: 12 }
  return `${JSON.stringify({ type: 'log', ...position, ...figures, numInputTokensSeen: step * 900 })}\n`
}

/** Writes the directory of a run and gives its path. */
export function writeRun(directory: string, given: GivenRun = {}): string {
  const { steps = 200, totalSteps = steps, state = 'completed', prompts = [], warnings = [] } = given
  const { loss = (step: number) => 1 + 2 * Math.exp(-step / 60) + 0.15 * Math.sin(step * 1.7), texts } = given
  mkdirSync(directory, { recursive: true })
  let log = ''
  for (let step = 1; step <= steps; step++) {
    log += logLine(step, loss(step), totalSteps)
    if (step % 50 !== 0) continue
    const held = 1.1 + 2 * Math.exp(-step / 70)
    const metrics = {
      eval_loss: held,
      eval_books_loss: held * 1.05,
      eval_chat_loss: held * 0.9,
      eval_quiz_accuracy: 1 - held / 4,
    }
    const samples = prompts.map((prompt) => ({ prompt, text: texts?.(step) ?? `an answer after ${step} steps` }))
    log += `${JSON.stringify({ type: 'evaluate', step, totalSteps, epoch: step / 500, loss: held, perplexity: Math.exp(held), tokens: 900, seconds: 1, metrics, samples })}\n`
  }
  writeFileSync(join(directory, 'log.jsonl'), log)
  for (const step of [50, 100].filter((at) => at <= steps)) {
    const path = join(directory, `checkpoint-${step}`)
    mkdirSync(path, { recursive: true })
    writeFileSync(join(path, 'adapter_model.safetensors'), Buffer.alloc(2048))
    writeFileSync(join(path, 'optimizer.safetensors'), Buffer.alloc(4096))
  }
  const position = { step: 0, totalSteps, epoch: 0 }
  const options = {
    model: '/models/SmolLM2-135M',
    dataset: '/data/rows.jsonl',
    lora: { r: 16, targetModules: 'all-linear' },
    training: { learningRate: 2e-4, perDeviceTrainBatchSize: 8 },
    ...given.options,
  }
  const start = {
    runId: '11111111-2222-3333-4444-555555555555',
    startedAt: '2026-01-31T12:00:00.000Z',
    ...position,
    ...(given.name !== undefined && { runName: given.name }),
    options,
    versions: { lowrank: '0.1.0', node: '22.0.0' },
    trainableParameters: 1_234_567,
    totalParameters: 134_000_000,
    quantization: null,
    trainRows: 900,
    evalRows: 100,
    gradientCheckpointing: false,
    plannedMemory: 1e9,
    device: 'cpu',
  }
  const data = {
    split: 'train',
    lineage: [{ location: '/data/rows.jsonl', rows: 1000, size: 123_456, sha256: 'cd'.repeat(32) }],
    rows: 1000,
    conversations: 0,
    truncatedRows: 3,
    rowsCutToNothing: 0,
    rowsWithoutTarget: 1,
    tokens: 45_000,
    supervisedTokens: 30_000,
    longest: 700,
    maxLength: 512,
    warnings: [{ code: 'truncated', rows: 3, message: '3 rows lost their end to maxLength 512' }],
  }
  const session = { startedAt: start.startedAt, fromStep: 0, updatedAt: '2026-01-31T12:03:05.000Z', step: steps, state }
  const end = { ...position, step: steps, reason: state, loss: 1.2, seconds: 185 }
  const status = {
    version: 1,
    runId: start.runId,
    sessions: [session],
    start,
    data: [data],
    warnings,
    ...((state === 'completed' || state === 'aborted') && { end }),
    ...(state === 'failed' && { fail: { code: 'DIVERGED', message: given.fail ?? 'the loss is NaN' } }),
  }
  writeFileSync(join(directory, 'run.json'), `${JSON.stringify(status)}\n`)
  return directory
}
