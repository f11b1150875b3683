/** @file Options of integrations stand beside those of training, and are checked with them. */

import { expect, it } from 'vitest'
import { OptionError, planTraining, type TrainLoraOptions, trainLora } from '../../src/index.js'
import { resolveAllOptions } from '../../src/integrations/resolve-options.js'
import { resolveTrainOptions } from '../../src/train/resolve-options.js'

const minimal = { model: 'org/name', dataset: [{ text: 'x' }] }

function problemsOf(options: object): string[] {
  try {
    resolveAllOptions({ ...minimal, ...options })
    return []
  } catch (error) {
    return (error as OptionError).problems.map(({ message }) => message)
  }
}

it("trainLora takes reportTo: 'none' and an empty list, in camelCase or as Python spells it", () => {
  expect(resolveAllOptions({ ...minimal, reportTo: 'none' })).toMatchObject({ reportTo: 'none' })
  expect(resolveAllOptions({ ...minimal, report_to: [] })).toMatchObject({ reportTo: [] })
  expect(resolveAllOptions({ ...minimal, training: { report_to: 'none' } })).not.toHaveProperty('training.reportTo')
})

it('trackers of transformers that are not supported are refused by name', () => {
  for (const name of ['wandb', 'comet_ml'])
    for (const reportTo of [name, [name]])
      expect(problemsOf({ reportTo })).toEqual([
        expect.stringMatching(
          /^\[train\] expected 'none'.* a list of trackers for reportTo, got .*, which is real but not supported yet; give a tracker in callbacks$/,
        ),
      ])
  expect(problemsOf({ reportTo: 'all' })).toEqual([expect.stringContaining('whatever happens to be installed')])
})

it('options of a tracker are checked, whether or not the run reports to it', () => {
  expect(problemsOf({ tensorboard: { logging_dri: 'x' } })).toEqual([
    expect.stringContaining('[tensorboard] unknown option "logging_dri"; did you mean "loggingDir"?'),
  ])
  expect(problemsOf({ reportTo: ['tensorboard'], tensorboard: { loggingDir: 7 } })).toEqual([
    expect.stringContaining('[tensorboard] expected a path for loggingDir, got 7'),
  ])
  expect(problemsOf({ training: { logging_dir: 'x' } })).toEqual([
    expect.stringContaining("set loggingDir of tensorboard beside training, with reportTo 'tensorboard'"),
  ])
})

it('reportTo within training is told to move, together with all else that is wrong', () => {
  expect(problemsOf({ training: { report_to: 'tensorboard', learningRate: -1 }, reporTo: 'none' })).toEqual([
    expect.stringContaining('[train] unknown option "reporTo"; did you mean "reportTo"?'),
    '[training] reportTo stands beside training, not in it; move it one level up',
    expect.stringContaining('for learningRate, got -1'),
  ])
})

it('a run rejects with what is wrong with its integrations before anybody is told of anything', async () => {
  const told: string[] = []
  const options = { ...minimal, reportTo: 'wandb', onEvent: ({ type }: { type: string }) => void told.push(type) }
  await expect(trainLora(options as TrainLoraOptions)).rejects.toThrow('wandb')
  await expect(trainLora(options as TrainLoraOptions)).rejects.toBeInstanceOf(OptionError)
  expect(told).toEqual([])
})

it('a plan takes the options of integrations and checks them', async () => {
  const model = { model_type: 'nothing' }
  await expect(planTraining({ model, reportTo: 'none' })).rejects.toThrow('nothing')
  await expect(planTraining({ model, reportTo: 'wandb' })).rejects.toThrow('for reportTo')
})

it('training by itself knows no option of an integration', () => {
  expect(() => resolveTrainOptions({ ...minimal, reportTo: 'none' })).toThrow('[train] reportTo')
})

it('what MLflow needs is asked for before a run begins, and its options are checked as all others', () => {
  const { MLFLOW_TRACKING_URI: before } = process.env
  delete process.env.MLFLOW_TRACKING_URI
  try {
    expect(problemsOf({ reportTo: 'mlflow' })).toEqual([expect.stringContaining('set MLFLOW_TRACKING_URI')])
    expect(problemsOf({ reportTo: ['mlflow'], mlflow: { tracking_uri: 'http://x', experimentNam: 'y' } })).toEqual([
      expect.stringContaining('[mlflow] unknown option "experimentNam"; did you mean "experimentName"?'),
    ])
    for (const trackingUri of ['sqlite:///m.db', './mlruns', 'file:///tmp/x'])
      expect(problemsOf({ reportTo: 'mlflow', mlflow: { trackingUri } })).toEqual([
        expect.stringContaining('start one with "mlflow server", or set offline: true'),
      ])
    expect(problemsOf({ reportTo: 'mlflow', mlflow: { trackingUri: 'databricks', experimentName: 'risk' } })).toEqual([
      expect.stringContaining('expected the path of an experiment in the workspace for experimentName, got "risk"'),
    ])
    expect(problemsOf({ reportTo: 'mlflow', mlflow: { trackingUri: 'http://x', token: 7 } })[0]).toContain(
      'got a number',
    )
    expect(problemsOf({ reportTo: 'mlflow', mlflow: { offline: true } })).toEqual([])
  } finally {
    if (before !== undefined) process.env.MLFLOW_TRACKING_URI = before
  }
})
