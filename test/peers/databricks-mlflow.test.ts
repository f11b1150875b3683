/** @file The tracking of the loopback workspace, driven by MLflow's own client for Python. */

import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { TRACKING } from '../../src/testing/routes/mlflow.js'
import { startWorkspace } from '../../src/testing/workspace.js'
import { describeWithPython, runPython } from './python.js'

describeWithPython("MLflow's client", () => {
  it('tracks a run in the loopback workspace, and reads back what it wrote', async () => {
    const workspace = await startWorkspace()
    const { DATABRICKS_HOST, DATABRICKS_TOKEN } = process.env
    try {
      Object.assign(process.env, { DATABRICKS_HOST: workspace.url, DATABRICKS_TOKEN: workspace.token })
      const { code, stdout, stderr } = await runPython([fileURLToPath(new URL('mlflow_client.py', import.meta.url))])
      expect(code, stderr.slice(-4000)).toBe(0)
      expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toEqual({
        experiment: '/Users/someone@example.com/peer',
        status: 'FINISHED',
        name: 'one',
        params: { lr: '0.1', r: '8' },
        metrics: { loss: 0.2, a: 1.5 },
        tag: 'peer',
        history: [0, 1, 2, 3, 4].map((step) => [step, 1 / (step + 1)]),
        changed: 'INVALID_PARAMETER_VALUE',
      })
      const [run] = workspace.state.of(TRACKING).runs.values()
      expect(run?.metrics).toHaveLength(7)
    } finally {
      for (const [name, value] of Object.entries({ DATABRICKS_HOST, DATABRICKS_TOKEN }))
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      await workspace.close()
    }
  })
})
