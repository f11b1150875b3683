/** @file `lowrank report --watch --open` beside a run that goes on, both as processes. */

import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { readPage, textOf } from '../report/read-page.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { mainScript } from './run-cli.js'
import { busyAt, endLeftBehind, start } from './running.js'

endLeftBehind()

const directory = temporaryDirectory()
const at = (...names: string[]): string => join(directory, ...names)

it('the page of a run follows it until it has ended, and is opened once', async () => {
  const model = await writeTinyModel(at('model'))
  writeFileSync(at('rows.json'), JSON.stringify(tinyRows(20)))
  // What the system opens pages with writes down what it is given.
  writeFileSync(at('xdg-open'), `#!/bin/sh\necho "$1" >> '${at('opened')}'\n`)
  chmodSync(at('xdg-open'), 0o755)
  const settings = ['lora.r=2', 'training.maxSteps=3', 'training.loggingSteps=1', 'training.packing=false']
  const train = start(
    process.execPath,
    [
      mainScript,
      'train',
      ...['--model', model, '--dataset', at('rows.json'), '--output', at('run'), '--dtype', 'float32', '--json'],
      ...settings.flatMap((setting) => ['--set', setting]),
    ],
    busyAt('stdout', '"type":"step"', at('go-on')),
  )
  await train.shows('BUSY')
  const watch = start(process.execPath, [mainScript, 'report', at('run'), '--watch', '--interval', '1', '--open'], {
    PATH: `${directory}:${process.env.PATH}`,
  })
  await watch.shows(`Wrote ${at('run', 'report.html')}`)
  const page = (): string => readFileSync(at('run', 'report.html'), 'utf8')
  expect(page()).toContain('<meta http-equiv="refresh" content="1">')
  const lead = textOf(readPage(page()).querySelector('header'))
  writeFileSync(at('go-on'), '')
  expect(await train.ended).toEqual({ code: 0, signal: null })
  expect(await watch.ended).toEqual({ code: 0, signal: null })
  expect(page()).not.toContain('http-equiv="refresh"')
  expect(textOf(readPage(page()).querySelector('header'))).not.toBe(lead)
  if (process.platform === 'linux')
    expect(readFileSync(at('opened'), 'utf8')).toBe(`file://${at('run', 'report.html')}\n`)
})
