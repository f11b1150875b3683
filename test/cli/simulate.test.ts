/** @file `lowrank simulate`: what it prints, and how it answers mistakes. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Simulation } from '../../src/train/simulate.js'
import { TINY_CONFIG, temporaryDirectory } from '../support/tiny-model.js'
import { lowrank } from './run-cli.js'

const folder = temporaryDirectory()

beforeAll(() => writeFile(join(folder, 'config.json'), JSON.stringify(TINY_CONFIG)))

describe('lowrank simulate', () => {
  it('says first that nothing is measured, then shows steps, the curve, figures and memory', async () => {
    const args = ['simulate', '--model', folder, '--rows', '320', '--epochs', '1', '--set', 'training.warmupSteps=2']
    const { code, stdout, stderr } = await lowrank([...args, '--set', 'training.loggingSteps=1'])
    expect([code, stderr]).toEqual([0, ''])
    const lines = stdout.split('\n')
    expect(lines[0]).toBe('SIMULATED: no weights, no rows, no training; the loss is a formula and forecasts nothing')
    expect(lines[1]).toMatch(/^20 steps, 2 of them warm-up; 320 rows make 20 steps an epoch; [\d,]+ tokens in all$/)
    expect(lines[3]).toBe('Loss (simulated)')
    expect(stdout).toMatch(/\nstep +epoch +loss \(simulated\) +learning rate +tokens\n +\d+ +\d\.\d\d /)
    expect(stdout).toMatch(/\n +20 +1\.00 .*\n\nMemory of cpu, planned\n +loading .*\n/)
    expect(stdout).toMatch(/\nIt fits into [\d.]+ [MG]iB\n$/)
  })

  it('writes one JSON object with --json', async () => {
    const { code, stdout } = await lowrank(['simulate', '--model', folder, '--max-steps', '3', '--json'])
    expect(code).toBe(0)
    const simulation = JSON.parse(stdout) as Simulation
    expect(simulation).toMatchObject({ isSimulated: true, totalSteps: 3, rows: 1000 })
    expect(simulation.logs.at(-1)?.step).toBe(3)
  })

  it.each([
    [['simulate', '--rows', '5'], 'expected the directory, .gguf file or Hub id of a model for model, got nothing'],
    [['simulate', '--model', folder, '--rows', '1.5'], 'for --rows, got 1.5'],
    [
      ['simulate', '--model', folder, '--memory', '8'],
      'expected an amount of memory such as 8GiB for --memory, got "8"',
    ],
  ])('%j is refused', async (args, message) => {
    const { code, stderr } = await lowrank(args)
    expect(stderr).toContain(message)
    expect(code).not.toBe(0)
  })
})
