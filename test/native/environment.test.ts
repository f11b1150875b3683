/**
 * @file The addon in whole environments: processes that end, worker threads that are ended. Each case is a process of
 * its own.
 */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { tryLoadAddon } from '../../src/tensor/addon.js'

const run = promisify(execFile)
const loaded = tryLoadAddon()
if ('error' in loaded) throw loaded.error

/** Helpers that every script begins with; `busy` queues about a second of work. */
const PRELUDE = `
const { createRequire } = require('node:module')
const addon = require(${JSON.stringify(loaded.path)})
const open = () => new addon.Stream({ device: 'cpu', threads: 2 })
const enqueue = (stream, op, words) => stream.enqueue(addon.ops[op].id, Float64Array.from(words), words.length)
const tensor = (stream, rows, cols) => [stream.allocate(rows * cols * 4), 0, 0, rows, cols, cols]
function busy(stream, rounds = 400) {
  const y = tensor(stream, 2000, 2000)
  enqueue(stream, 'fill', [...y, 0])
  const one = tensor(stream, 2000, 2000)
  enqueue(stream, 'fill', [...one, 1])
  for (let i = 0; i < rounds; i++) enqueue(stream, 'add', [...y, ...one, ...y])
  return Float64Array.from([y[0], 0, 0, 1, 2, 2])
}
`

/** Runs the script; resolves to what it printed. Rejects when it does not exit 0, by a crash for instance. */
async function script(body: string, ...nodeArguments: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [...nodeArguments, '-e', PRELUDE + body], { timeout: 180_000 })
  return stdout
}

/** The same inside a worker thread; \`parent\` is its port, the main thread prints what it says. */
function inWorker(body: string, main = ''): string {
  return `
const { Worker } = require('node:worker_threads')
const workerScript = ${JSON.stringify(`${PRELUDE}const { parentPort } = require('node:worker_threads');${body}`)}
function start() {
  const worker = new Worker(workerScript, { eval: true })
  worker.on('message', (message) => console.log(message))
  worker.on('error', (error) => { console.log('error', error.message); process.exitCode = 1 })
  return worker
}
${main || 'start()'}
`
}

describe('the event loop', () => {
  test('is kept alive by a pending read', async () => {
    expect(await script(`const s = open(); s.read(busy(s, 30), false).then((v) => console.log(v.join()))`)).toBe(
      '30,30\n',
    )
  })

  test('is kept alive by a pending sync', async () => {
    expect(await script(`const s = open(); busy(s, 30); s.sync().then(() => console.log('synced'))`)).toBe('synced\n')
  })

  test('is not kept alive by an open stream, nor by work that nobody waits for', async () => {
    expect(await script(`process.on('exit', () => console.log('exit')); const s = open(); busy(s, 3)`)).toBe('exit\n')
  })
})

describe('the end of a process', () => {
  test('does not wait for the queue', async () => {
    // Some twenty minutes of work, far more than the time limit of the script allows.
    const printed = await script(
      `const s = open(); s.read(busy(s, 500_000), false); setTimeout(() => { console.log('leaving'); process.exit(0) }, 50)`,
    )
    expect(printed).toBe('leaving\n')
  })

  test('the end of a process by an uncaught error keeps its exit code', async () => {
    await expect(script(`const s = open(); s.read(busy(s), false); throw new Error('mine')`)).rejects.toMatchObject({
      code: 1,
    })
  })

  test('is clean after streams were collected with work in their queues', async () => {
    const body = `
(async () => {
  for (let i = 0; i < 6; i++) { busy(open(), 20); await new Promise((resolve) => setTimeout(resolve, 5)); gc() }
  console.log('collected')
})()`
    expect(await script(body, '--expose-gc')).toBe('collected\n')
  })
})

describe('worker threads', () => {
  test('several compute at the same time, each with streams of its own', async () => {
    const body = `const s = open(); s.read(busy(s, 60), false).then((v) => parentPort.postMessage(v.join()))`
    const main = `for (let i = 0; i < 3; i++) start(); const s = open(); s.read(busy(s, 60), false).then((v) => console.log(v.join()))`
    expect(await script(inWorker(body, main))).toBe('60,60\n'.repeat(4))
  })

  test('can be terminated while work is queued and reads are pending', async () => {
    const body = `const s = open(); s.read(busy(s, 50_000), false); s.sync(); parentPort.postMessage('queued')`
    const main = `
(async () => {
  for (let i = 0; i < 4; i++) {
    const worker = start()
    await new Promise((resolve) => worker.once('message', resolve))
    await worker.terminate()
  }
  const s = open()
  console.log((await s.read(busy(s, 3), false)).join())
})()`
    expect(await script(inWorker(body, main))).toBe(`${'queued\n'.repeat(4)}3,3\n`)
  })

  test('can be terminated while another one computes', async () => {
    const body = `const s = open(); const loop = async () => { for (;;) parentPort.postMessage((await s.read(busy(s, 5), false)).join()) }; loop()`
    const main = `
(async () => {
  const workers = [start(), start()]
  const first = (worker) => new Promise((resolve) => worker.once('message', resolve))
  await Promise.all(workers.map(first))
  await workers[0].terminate()
  await first(workers[1])
  await first(workers[1])
  await workers[1].terminate()
  console.log('end')
})()`
    const lines = (await script(inWorker(body, main))).trim().split('\n')
    expect(lines.at(-1)).toBe('end')
    expect(new Set(lines.slice(0, -1))).toEqual(new Set(['5,5']))
  })

  test('end by themselves when nothing is pending, with an open stream', async () => {
    const body = `const s = open(); busy(s, 3); parentPort.postMessage('done')`
    expect(await script(inWorker(body, `start().on('exit', (code) => console.log('exit', code))`))).toBe(
      'done\nexit 0\n',
    )
  })
})

describe('a process that may start no more threads', () => {
  test('says so by name, with the limit, and goes on', async () => {
    const { stdout: size } = await run(process.execPath, [
      '-e',
      `${PRELUDE}open(); console.log(/VmSize:\\s*(\\d+)/.exec(require('node:fs').readFileSync('/proc/self/status', 'utf8'))[1])`,
    ])
    // Room for some stacks of 8 MiB, not for a hundred. The ranges of tensors are smaller then.
    const program = `${PRELUDE}
const kept = []
let message
try { for (let i = 0; i < 100; i++) kept.push(open()) } catch (error) { message = error.message }
console.log(message)
const words = tensor(kept[0], 1, 2)
enqueue(kept[0], 'fill', [...words, 3])
kept[0].read(Float64Array.from(words), false).then((values) => {
  console.log(values.join())
  while (kept.length > 0) kept.pop().close()
  open()
  console.log('opened again')
})`
    const limit = Number(size) + 80 * 1024
    const { stdout } = await run('sh', ['-c', `ulimit -v ${limit}; exec "$0" -e "$1"`, process.execPath, program])
    expect(stdout).toMatch(
      /^\[device\] expected a thread for the queue of a device, but the system starts no more \(Resource temporarily unavailable\): .*the process has \d+ MiB of addresses \(ulimit -v\); raise the limit, end other programs, close devices .*LOWRANK_NUM_THREADS\)\n3,3\nopened again\n$/,
    )
  })
})

describe('the memory that can be had', () => {
  test('is no more than the limits of the process leave: ulimit -v and -d', async () => {
    const program = `${PRELUDE}
const status = require('node:fs').readFileSync('/proc/self/status', 'utf8')
const kibibytes = (name) => Number(new RegExp(name + ':\\\\s*(\\\\d+)').exec(status)[1])
console.log(JSON.stringify([kibibytes('VmSize'), kibibytes('VmData'), addon.info().availableMemory]))`
    const measure = async (limit: string) => {
      const { stdout } = await run('sh', ['-c', `${limit}; exec "$0" -e "$1"`, process.execPath, program])
      return JSON.parse(stdout) as [number, number, number]
    }
    const [size, data, free] = await measure(':')
    for (const limit of [`ulimit -v ${size + 200 * 1024}`, `ulimit -d ${data + 200 * 1024}`]) {
      const [, , available] = await measure(limit)
      expect(available).toBeLessThan(Math.min(free, 260 * 2 ** 20))
      expect(available).toBeGreaterThan(0)
    }
  })
})

describe('environment variables', () => {
  const inherit = { ...process.env }

  test('LOWRANK_NUM_THREADS sets the default number of threads', async () => {
    const { stdout } = await run(process.execPath, ['-e', `${PRELUDE}console.log(addon.info().threads)`], {
      env: { ...inherit, LOWRANK_NUM_THREADS: '5' },
    })
    expect(stdout).toBe('5\n')
  })

  test.each(['0', 'two', '1.5', '1025'])('LOWRANK_NUM_THREADS=%s is refused', async (value) => {
    const program = `${PRELUDE}try { open2() } catch (error) { console.log(error.message) }; function open2() { new addon.Stream({ device: 'cpu' }) }`
    const { stdout } = await run(process.execPath, ['-e', program], { env: { ...inherit, LOWRANK_NUM_THREADS: value } })
    expect(stdout).toBe(`[device] expected a whole number from 1 to 1024 for LOWRANK_NUM_THREADS, got '${value}'\n`)
  })

  test('LOWRANK_MEMORY_BUDGET holds for the sum of all streams of the process', async () => {
    const program = `${PRELUDE}
const use = (stream, mebibytes) => { const y = [stream.allocate(mebibytes * 2 ** 20), 0, 4, mebibytes, 2 ** 20, 2 ** 20]; enqueue(stream, 'fill', [...y, 1]) }
const [a, b] = [open(), open()]
;(async () => {
  use(a, 20)
  await a.sync()
  use(b, 20)
  await b.sync().catch((error) => console.log(error.code, error.message))
  console.log(a.memory().budget, b.memory().budget)
  console.log(JSON.stringify(b.holders()))
  // Who finds the budget full waits for those that are closing, whatever they still have to do.
  for (let i = 0; i < 300; i++) use(a, 1)
  a.close()
  use(b, 20)
  await b.sync()
  console.log(b.memory().live)
})()`
    const { stdout } = await run(process.execPath, ['-e', program], {
      env: { ...inherit, LOWRANK_MEMORY_BUDGET: String(32 * 2 ** 20) },
    })
    expect(stdout.split('\n')).toEqual([
      'OUT_OF_MEMORY [fill] expected 20.0 MiB for y, but 0 bytes of the memory budget of 32.0 MiB are live, and other devices of ' +
        'this process have 32.0 MiB of it (other tensors 20.0 MiB, kept for later 12.0 MiB); use a smaller batch or maxLength, gradientCheckpointing or bfloat16, ' +
        'dispose of models that are not needed, or raise memoryBudget',
      '33554432 33554432',
      '{"own":"","others":"other tensors 20.0 MiB, kept for later 12.0 MiB","otherBytes":33554432}',
      '20971520',
      '',
    ])
  })
})
