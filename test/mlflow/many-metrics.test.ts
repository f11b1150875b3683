/** @file Many points, with faults and a process that is killed: none is lost and none comes twice. */

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { syncMlflow } from '../../src/mlflow.js'
import { TRACKING } from '../../src/testing/routes/mlflow.js'
import { FAULTS, startWorkspace } from '../../src/testing.js'
import { isLong } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const script = fileURLToPath(new URL('log-steps.mjs', import.meta.url))
/** 20 figures each: 204,000 points. */
const STEPS = isLong ? 10_200 : 600
const PACE = 1000

/** Logs steps in a process, which is killed behind a step if one is given. */
async function logSteps(directory: string, first: number, env: NodeJS.ProcessEnv, killedAt?: number): Promise<void> {
  const child = spawn(process.execPath, [script, directory, `${first}`, `${STEPS}`, `${PACE}`], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (killedAt !== undefined && text.split('\n').some((line) => Number(line) >= killedAt)) child.kill('SIGKILL')
  })
  const signal = await new Promise((resolve) => child.on('close', (_, name) => resolve(name)))
  expect(signal).toBe(killedAt === undefined ? null : 'SIGKILL')
}

it(`${STEPS * 20} points at 1,000 steps a second with faults and two kills are all there, each once`, async () => {
  const workspace = await startWorkspace()
  const directory = temporaryDirectory()
  const batch = /log-batch/
  for (let skip = 1; skip < 60; skip += 6) {
    workspace.fail({ path: batch, skip, with: 'lost-answer' })
    workspace.fail({ path: batch, skip: skip + 2, with: FAULTS.unavailable() })
    workspace.fail({ path: batch, skip: skip + 4, with: 'reset' })
  }
  const env = {
    MLFLOW_TRACKING_URI: workspace.url,
    MLFLOW_TRACKING_TOKEN: workspace.token,
    MLFLOW_EXPERIMENT_NAME: '/Users/me@example.com/many',
  }
  try {
    // Each goes on from a checkpoint that lies before the kill.
    await logSteps(directory, 1, env, STEPS / 3)
    await logSteps(directory, STEPS / 3 - 99, env, STEPS / 1.5)
    await logSteps(directory, STEPS / 1.5 - 99, env)
    workspace.heal()
    await syncMlflow(directory, { trackingUri: workspace.url, token: workspace.token })
    const runs = [...workspace.state.of(TRACKING).runs.values()]
    expect(runs).toHaveLength(1)
    const points = new Map<string, number[]>()
    for (const { key, step } of runs[0]?.metrics ?? []) points.get(key)?.push(step) ?? points.set(key, [step])
    const all = Array.from({ length: STEPS }, (_, index) => index + 1)
    const perStep = [...points].filter(([key]) => !key.startsWith('train_'))
    expect(perStep).toHaveLength(20)
    for (const [key, steps] of perStep) expect(steps, key).toEqual(all)
    expect(runs[0]?.status).toBe('FINISHED')
  } finally {
    await workspace.close()
  }
})
