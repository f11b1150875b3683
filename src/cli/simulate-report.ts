/** @file What `lowrank simulate` shows: that nothing is measured, the steps, the curves, the memory. */

import { formatBytes } from '../bytes.js'
import { barChart } from '../progress/bar-chart.js'
import { LossChart } from '../progress/loss-chart.js'
import { formatCount, formatFigure, type Paint, paintFor } from '../progress/terminal.js'
import { spread } from '../train/loss-curve.js'
import { type SimulatedLog, type Simulation, simulateResolved } from '../train/simulate.js'
import { presetLines } from './preset.js'
import type { Simulated } from './simulate.js'
import { terminalTable } from './terminal-table.js'

/** Where nobody says how wide a line may be. */
const COLUMNS = 80
/** A chart needs some rows of a terminal; this is no terminal's. */
const ROWS = 24

export async function simulate({ run, simulation, json }: Simulated): Promise<void> {
  const result = await simulateResolved(run.options, simulation)
  const { stdout } = process
  const text = presetLines(run.preset) + describe(result, Math.min(120, stdout.columns ?? COLUMNS), paintFor(stdout))
  stdout.write(json ? `${JSON.stringify({ ...result, ...(run.preset && { preset: run.preset }) })}\n` : text)
}

function describe(simulation: Simulation, columns: number, paint: Paint): string {
  const { logs, totalSteps, stepsPerEpoch, warmupSteps, rows, numInputTokens, memory, plan } = simulation
  const chart = new LossChart()
  for (const { step, loss } of logs) chart.add(step, loss)
  const curve = chart.lines(columns, ROWS, paint)
  const bars = memory.map(({ moment, bytes }) => ({ label: moment, value: bytes, text: formatBytes(bytes) }))
  const warmup = warmupSteps === 0 ? '' : `, ${formatCount(warmupSteps)} of them warm-up`
  const lines = [
    `${paint('yellow', 'SIMULATED')}: no weights, no rows, no training; the loss is a formula and forecasts nothing`,
    `${formatCount(totalSteps)} steps${warmup}; ${formatCount(rows)} rows make ${formatCount(stepsPerEpoch)} steps an epoch; ${formatCount(numInputTokens)} tokens in all`,
    '',
    ...(curve.length === 0 ? [] : ['Loss (simulated)', ...curve, '']),
    ...terminalTable(
      [['step', 'epoch', 'loss (simulated)', 'learning rate', 'tokens'], ...spread(logs).map(cellsOf)],
      () => true,
    ),
    '',
    `Memory of ${plan.device}, planned`,
    ...barChart(bars, columns, paint),
    plan.fits
      ? `It fits into ${formatBytes(plan.memory)}`
      : `${paint('yellow', 'It does not fit')} into ${formatBytes(plan.memory)}; lowrank plan says what would`,
  ]
  return `${lines.join('\n')}\n`
}

function cellsOf({ step, epoch, loss, learningRate, numInputTokensSeen }: SimulatedLog): string[] {
  return [
    ...[formatCount(step), epoch.toFixed(2), formatFigure(loss)],
    ...[formatFigure(learningRate), formatCount(numInputTokensSeen)],
  ]
}
