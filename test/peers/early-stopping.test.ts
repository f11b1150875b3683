/** @file The best model and early stopping decide as the code of transformers does, on random sequences of metrics. */

import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { BestModel } from '../../src/train/best-model.js'
import { seededRandom } from '../support/values.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = fileURLToPath(new URL('early_stopping.py', import.meta.url))
const CASES = 200

interface Case {
  metric: string
  greaterIsBetter: boolean
  patience: number
  threshold: number
  /** Null: NaN. */
  values: (number | null)[]
}

interface Decision {
  isBest: boolean
  step: number | null
  /** Null: there is none, or none that is a number. */
  value: number | null
  counter: number
  stops: boolean
}

function randomCases(): Case[] {
  const random = seededRandom(31)
  const below = (limit: number) => Math.floor(((random() + 1) / 2) * limit)
  return Array.from({ length: CASES }, (_, index) => {
    // Few different values, so that some are equal and some differ by the threshold alone.
    const value = (): number => (index % 2 === 0 ? below(6) / 4 : random())
    return {
      metric: index % 3 === 0 ? 'eval_loss' : 'loss',
      greaterIsBetter: below(2) === 1,
      patience: 1 + below(5),
      threshold: [0, 0, 0.25, 0.1, 1][below(5)] as number,
      values: Array.from({ length: 1 + below(20) }, () => (below(8) === 0 ? null : value())),
    }
  })
}

function decide({ greaterIsBetter, patience, threshold, values }: Case): { decisions: Decision[]; state: unknown } {
  const best = new BestModel({ metric: 'eval_loss', greaterIsBetter, patience, threshold })
  const decisions = values.map((value, index): Decision => {
    const { isBest } = best.observe(index + 1, value ?? Number.NaN)
    return {
      isBest,
      step: best.best?.step ?? null,
      value: best.best?.value ?? null,
      counter: best.earlyStopping?.counter ?? Number.NaN,
      stops: best.isOver,
    }
  })
  return { decisions, state: best.earlyStopping?.state() }
}

describeWithPython('decisions beside transformers', () => {
  it(`are the same on ${CASES} random sequences, with thresholds, ties and NaN`, async () => {
    const cases = randomCases()
    const { code, stdout, stderr } = await runPython([SCRIPT], JSON.stringify(cases))
    expect(code, stderr).toBe(0)
    const theirs = JSON.parse(stdout) as { decisions: Decision[]; state: unknown }[]
    expect(theirs).toHaveLength(CASES)
    for (const [index, given] of cases.entries()) {
      const { decisions = [], state } = theirs[index] ?? {}
      const ours = decide(given)
      // A run ends there: transformers' flag stays, whatever a callback is told of behind that.
      const end = decisions.findIndex(({ stops }) => stops)
      const upTo = end < 0 ? decisions.length : end + 1
      expect(ours.decisions.slice(0, upTo), `case ${index}: ${JSON.stringify(given)}`).toEqual(decisions.slice(0, upTo))
      if (end < 0 || end === decisions.length - 1) expect(ours.state).toEqual(state)
    }
    // Else the cases would show little.
    const all = theirs.flatMap(({ decisions }) => decisions)
    expect(all.filter(({ stops }) => stops).length).toBeGreaterThan(50)
    expect(all.filter(({ isBest, counter }) => isBest && counter > 0).length).toBeGreaterThan(20)
  })
})
