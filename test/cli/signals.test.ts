/**
 * @file Signals while JavaScript is busy, as processes: the engine ends them by the second request, and the first one
 * is not lost.
 */

import { existsSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { childOf, containerCommand } from '../support/namespaces.js'
import { temporaryDirectory, tinyAdapter, tinyModel, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { mainScript } from './run-cli.js'
import { busyAt, endLeftBehind, onTerminal, press, type Running, settings, shownAtEnd, start } from './running.js'

endLeftBehind()

const folder = temporaryDirectory()
const at = (...names: string[]) => join(folder, ...names)
let model: string

beforeAll(async () => {
  model = await writeTinyModel(at('model'))
  const template = '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}'
  await writeFile(at('model', 'chat_template.jinja'), template)
  await writeFile(
    at('rows.jsonl'),
    tinyRows(40)
      .map((row) => `${JSON.stringify(row)}\n`)
      .join(''),
  )
})

const trainArguments = (out: string): string[] => {
  const settings = {
    model,
    dataset: at('rows.jsonl'),
    outputDir: at(out),
    dtype: 'float32',
    'lora.r': 4,
    'training.maxSteps': 100_000,
    'training.gradientAccumulationSteps': 1,
    'training.loggingSteps': 1,
    'training.saveSteps': 1_000_000,
  }
  return ['train', ...Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])]
}

const train = (out: string, env: Record<string, string>): Running =>
  start(process.execPath, [mainScript, ...trainArguments(out), '--json'], env)

const checkpoints = async (out: string): Promise<string[]> =>
  (await readdir(at(out))).filter((name) => name.startsWith('checkpoint-'))

describe('while JavaScript does not come back from a step', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('the second %s ends the process, by that signal', async (name) => {
    const running = train(`twice-${name}`, busyAt('stdout', '"type":"step"'))
    await running.shows('BUSY')
    const count = await press(running, () => process.kill(running.pid, name))
    expect(count).toBeGreaterThan(1)
    expect(await running.ended).toEqual({ code: null, signal: name })
    // The lock of the process that was ended so is no hindrance.
    const again = train(`twice-${name}`, busyAt('stdout', '"type":"step"'))
    await again.shows('BUSY')
  })

  it('the first SIGINT is not lost: the run ends after that step, with a checkpoint', async () => {
    const go = at('go')
    const running = train('once', busyAt('stdout', '"type":"step"', go))
    await running.shows('BUSY')
    // One request, as timeout and npm send it: to the group and to the process.
    for (let i = 0; i < 2; i++) process.kill(running.pid, 'SIGINT')
    await writeFile(go, '')
    expect(await running.ended).toEqual({ code: 1, signal: null })
    expect(running.output()).toMatch(/"code":"STOPPED","message":"stopped at step \d+; go on with --resume"/)
    expect(await checkpoints('once')).toHaveLength(1)
  })

  it('a terminal that hangs up, however often, ends nothing, and a SIGTERM after it does', async () => {
    const running = train('hang-up', busyAt('stdout', '"type":"step"'))
    await running.shows('BUSY')
    const sent: string[] = []
    await press(running, () => {
      const name = sent.length < 3 ? 'SIGHUP' : 'SIGTERM'
      sent.push(name)
      process.kill(running.pid, name)
    })
    expect(sent.slice(0, 4)).toEqual(['SIGHUP', 'SIGHUP', 'SIGHUP', 'SIGTERM'])
    expect(await running.ended).toEqual({ code: null, signal: 'SIGTERM' })
  })

  it('the second signal ends the process after a first that was seen, while JavaScript does not come back from a step', async () => {
    const running = train('seen', busyAt('stdout', '"type":"end"'))
    await running.shows('"type":"step"')
    process.kill(running.pid, 'SIGINT')
    await running.shows('BUSY')
    expect(running.output()).toContain('Stopping after this step; a second Ctrl-C stops at once')
    await press(running, () => process.kill(running.pid, 'SIGTERM'))
    expect(await running.ended).toEqual({ code: null, signal: 'SIGTERM' })
  })

  it.skipIf(containerCommand === undefined)('the first process of a container is ended too, with 128 + n', async () => {
    const [program = '', ...args] = containerCommand ?? []
    const out = 'first-process'
    const line = [...args, process.execPath, mainScript, ...trainArguments(out), '--json']
    const running = start(program, line, busyAt('stdout', '"type":"step"'))
    await running.shows('BUSY')
    const inside = childOf(running.pid)
    expect(await press(running, () => process.kill(inside, 'SIGINT'))).toBeGreaterThan(1)
    expect(await running.ended).toEqual({ code: 130, signal: null })
    // Started again it takes over the lock that it has left.
    const loading = start(program, line, busyAt('stdout', '"type":"prepare"'))
    await loading.shows('BUSY')
    process.kill(childOf(loading.pid), 'SIGTERM')
    expect(await loading.ended).toEqual({ code: 143, signal: null })
  })
})

describe('on a terminal', () => {
  it.each([
    ['while rows are encoded, the first', 'Data', 1],
    ['in a step, the second', ' 2/100000', 2],
  ])('Ctrl-C ends busy JavaScript and leaves no bar and the terminal as it was: %s', async (what, text, least) => {
    const running = onTerminal(trainArguments(`terminal-${least}`), busyAt('stderr', text))
    await running.shows('BUSY')
    const count = await press(running, () => running.child.stdin?.write('\u0003'))
    expect(count, what).toBeGreaterThanOrEqual(least)
    const [before, after] = running.output().match(settings) ?? []
    expect(after).toBe(before)
    expect(await shownAtEnd(running)).toBe('code 130')
  })

  it('Ctrl-C removes the bar of a merge, and leaves nothing under the name of its output', async () => {
    const adapter = at('adapter')
    const base = await tinyModel()
    await tinyAdapter(base).save(adapter)
    base.device.close()
    const output = at('merged')
    const args = ['merge', '--model', model, '--adapter', adapter, '--output', output]
    const running = onTerminal(args, busyAt('stderr', 'Merging'))
    await running.shows('BUSY')
    await press(running, () => running.child.stdin?.write('\u0003'))
    expect(await shownAtEnd(running)).toBe('code 130')
    expect(existsSync(output)).toBe(false)
  })

  it('Ctrl-C twice ends an answer whose JavaScript does not come back', async () => {
    // Busy with the first piece of an answer: the terminal is out of raw mode only while one comes.
    const source = `
      import { writeSync } from 'node:fs'
      const { write } = process.stdout
      process.stdout.write = function (...args) {
        const result = write.apply(this, args)
        if (process.listenerCount('SIGINT') > 0) {
          writeSync(1, 'BUSY')
          for (;;);
        }
        return result
      }`
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(source)}` }
    const running = onTerminal(['chat', '--model', model], env)
    await running.shows('> ')
    running.child.stdin?.write('hello\r')
    await running.shows('BUSY')
    const count = await press(running, () => running.child.stdin?.write('\u0003'))
    expect(count).toBeGreaterThan(1)
    expect(running.output()).toContain('code 130')
    const [before, after] = running.output().match(settings) ?? []
    expect(after).toBe(before)
  })
})
