/**
 * @file An output directory belongs to one run: its lock, and links and checkpoints that must not or cannot be removed.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { OWNER_PATTERN, ownedName } from '../../src/file-owner.js'
import { DirectoryLock } from '../../src/train/directory-lock.js'
import { type LockProof, lockOwnFile } from '../../src/train/lock-proof.js'
import { OutputDirectory } from '../../src/train/output-directory.js'
import { cases } from '../support/long.js'
import { childOf, containerCommand } from '../support/namespaces.js'
import {
  ofType,
  rejection,
  type TinyRunOptions,
  temporaryDirectory,
  trainTiny,
  withoutDocuments,
  writeTinyModel,
} from '../support/tiny-model.js'

/** Paths that cannot be renamed or removed. */
const stuck = vi.hoisted(() => ({ rename: /^$/, rm: /^$/ }))

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>()
  const refuse = (path: string, pattern: RegExp) => {
    if (pattern.test(path)) throw Object.assign(new Error('EBUSY: busy'), { code: 'EBUSY' })
  }
  return {
    ...real,
    rename: async (from: string, to: string) => {
      refuse(from, stuck.rename)
      return await real.rename(from, to)
    },
    rm: async (path: string, options: object) => {
      refuse(path, stuck.rm)
      return await real.rm(path, options)
    },
  }
})

const directory = temporaryDirectory()
const at = (...names: string[]) => join(directory, ...names)
const locks = (outputDir: string) => readdirSync(outputDir).filter((name) => name.startsWith('.lowrank-lock-'))
let model: string

beforeAll(async () => {
  model = await writeTinyModel(at('model'))
})

afterEach(() => {
  Object.assign(stuck, { rename: /^$/, rm: /^$/ })
})

const train = (outputDir: string, options: Partial<TinyRunOptions> = {}) =>
  trainTiny(
    { model, outputDir, ...options, training: { maxSteps: 4, saveSteps: 1, ...options.training } },
    `${outputDir}-final`,
  )

/** A lock as a process would have made it: `place`, `pid` and `ticks` default to this one's. */
function lockName(owner: { place?: string; pid?: number; ticks?: number }): string {
  const [, place, pid, ticks] = new RegExp(OWNER_PATTERN).exec(ownedName('')) ?? []
  return `.lowrank-lock-${owner.place ?? place}-${owner.pid ?? pid}-${owner.ticks ?? ticks}-0123456789ab`
}

const DESCRIPTION = '{"host":"node-7","pid":1,"since":"2026-01-02T03:04:05.000Z"}\n'
/** No process has this id: the largest is 2^22. */
const DEAD = 2 ** 22 + 1

/** A process that takes the lock of a directory and keeps it; `container` is what starts it in one. */
function holdElsewhere(outputDir: string, then = 'setInterval(() => {}, 1e6)', container: readonly string[] = []) {
  const program = `
    const { DirectoryLock } = await import(process.argv[1])
    try { await DirectoryLock.take(process.argv[2]); process.stdout.write('taken') }
    catch (error) { process.stdout.write('refused'); process.exit() }
    ${then}`
  const lockModule = new URL('../../dist/train/directory-lock.js', import.meta.url).href
  const [command = '', ...args] = [...container, process.execPath, '--input-type=module', '-e', program]
  return spawn(command, [...args, lockModule, outputDir])
}

describe('the lock of an output directory', () => {
  it('refuses a second run while the first one goes on, which ends as if nobody had come', async () => {
    const outputDir = at('twice')
    const controller = new AbortController()
    let second: Promise<string> | undefined
    const { run } = await train(outputDir, {
      training: { maxSteps: 10_000, saveSteps: 10_000 },
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === 'start') second = rejection(train(outputDir)).finally(() => controller.abort())
      },
    })
    expect(await second).toMatch(
      /^\[train\] expected .*twice for this run alone, but another run of this process works there since 20\d\d-.*Z; wait for its end, or choose another outputDir$/,
    )
    expect(run.reason).toBe('aborted')
    expect(await withoutDocuments(outputDir)).toEqual([`checkpoint-${run.step}`])
  })

  it('the lock of an output directory of another process refuses naming it, and is taken over once that process was killed', async () => {
    const outputDir = at('killed')
    await mkdir(outputDir)
    const child = holdElsewhere(outputDir)
    await once(child.stdout, 'data')
    expect(await rejection(train(outputDir))).toMatch(
      new RegExp(`but another run of process ${child.pid} works there since 20\\d\\d-.*; wait for its end`),
    )
    expect(locks(outputDir)).toHaveLength(1)
    child.kill('SIGKILL')
    await once(child, 'close')
    expect(locks(outputDir)).toHaveLength(1)
    expect((await train(outputDir)).run.step).toBe(4)
    expect(locks(outputDir)).toEqual([])
  })

  it('the lock of an output directory of another container or machine is refused with the file to remove, though its process id means nothing here', async () => {
    for (const pid of [1, process.pid, DEAD]) {
      const outputDir = at(`foreign-${pid}`)
      await mkdir(outputDir)
      const path = join(outputDir, lockName({ place: '0123456789ab', pid }))
      await writeFile(path, DESCRIPTION)
      expect(await rejection(train(outputDir))).toBe(
        `[train] expected ${outputDir} for this run alone, but a run of process ${pid} on host node-7 works there since 2026-01-02T03:04:05.000Z, ` +
          `on another machine, in another container, or before this machine was started; if it has ended, remove ${path}`,
      )
      expect(await readFile(path, 'utf8')).toBe(DESCRIPTION)
      await rm(path)
      expect((await train(outputDir)).run.step).toBe(4)
    }
  })

  it('the lock of an output directory whose process has ended is taken over, also where another process has its id now', async () => {
    const outputDir = at('ended')
    await mkdir(outputDir)
    for (const owner of [{ pid: DEAD }, { pid: process.pid, ticks: 1 }, { pid: process.ppid, ticks: 1 }])
      await writeFile(join(outputDir, lockName(owner)), DESCRIPTION)
    await mkdir(join(outputDir, lockName({ pid: DEAD, ticks: 1 })))
    expect((await train(outputDir)).run.step).toBe(4)
    expect(locks(outputDir)).toEqual([])
  })

  it('the lock of an output directory that holds nonsense is told of in few words', async () => {
    const outputDir = at('nonsense')
    await mkdir(outputDir)
    const path = join(outputDir, lockName({ place: '0123456789ab', pid: 1 }))
    for (const text of ['', '[', 'x'.repeat(300_000), JSON.stringify({ host: '\u001b[2J', since: {} })]) {
      await writeFile(path, text)
      expect(await rejection(DirectoryLock.take(outputDir))).toBe(
        `[train] expected ${outputDir} for this run alone, but a run of process 1 on another machine works there, on another machine, ` +
          `in another container, or before this machine was started; if it has ended, remove ${path}`,
      )
    }
  })

  it('is given free when the run fails, is aborted, or its process exits', async () => {
    const failing = at('failing')
    const message = await rejection(train(failing, { training: { learningRate: 1e38, maxGradNorm: 0 } }))
    expect(message).toContain('expected finite weights')
    expect(locks(failing)).toEqual([])
    const aborted = at('aborted')
    const controller = new AbortController()
    await train(aborted, { signal: controller.signal, onEvent: ({ type }) => type === 'step' && controller.abort() })
    expect(locks(aborted)).toEqual([])
    const exiting = at('exiting')
    await mkdir(exiting)
    await once(holdElsewhere(exiting, 'process.exit(3)'), 'close')
    expect(locks(exiting)).toEqual([])
    // A directory that was made for nothing goes.
    expect(await rejection(train(at('a', 'b', 'c'), { model: at('none') }))).toContain('there is no directory')
    expect(existsSync(at('a'))).toBe(false)
  })

  it('is never taken by two of many that come at once, with a lock to take over before them', async () => {
    const outputDir = at('race')
    await mkdir(outputDir)
    for (let round = 0; round < cases(5, 200); round++) {
      await writeFile(join(outputDir, lockName({ pid: DEAD })), DESCRIPTION)
      const results = await Promise.allSettled(Array.from({ length: 6 }, () => DirectoryLock.take(outputDir)))
      const taken = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
      expect(taken.length).toBeLessThanOrEqual(1)
      expect(locks(outputDir)).toHaveLength(taken.length)
      for (const lock of taken) await lock.release()
    }
  })

  it('is never taken by two processes that come at once', async () => {
    const outputDir = at('processes')
    await mkdir(outputDir)
    const children = Array.from({ length: 4 }, () => holdElsewhere(outputDir))
    const answers = await Promise.all(children.map(async ({ stdout }) => String((await once(stdout, 'data'))[0])))
    expect(answers.filter((answer) => answer === 'taken').length).toBeLessThanOrEqual(1)
    for (const child of children) child.kill('SIGKILL')
  })

  it('the lock of an output directory that was removed ends its run before another write where a second run has come, and else is made again', async () => {
    const outputDir = at('removed')
    const message = rejection(
      train(outputDir, {
        onEvent: (event) => {
          if (event.type !== 'save') return
          for (const name of locks(outputDir)) {
            if (event.step === 1) rmSync(join(outputDir, name))
            else renameSync(join(outputDir, name), join(outputDir, ownedName('.lowrank-lock-')))
          }
        },
      }),
    )
    expect(await message).toContain(
      `expected ${outputDir} for this run alone, but another run of this process works there`,
    )
    expect((await readdir(outputDir)).filter((name) => name.startsWith('checkpoint'))).toEqual([
      'checkpoint-1',
      'checkpoint-2',
    ])
  })
})

describe('a lock that the kernel has too', () => {
  const inContainer = containerCommand ?? []

  it.skipIf(containerCommand === undefined)(
    'a lock that the kernel has too of another container is refused while that runs, stopped or not, and taken over once it was killed',
    async () => {
      const outputDir = at('container')
      await mkdir(outputDir)
      const child = holdElsewhere(outputDir, undefined, inContainer)
      expect(String((await once(child.stdout, 'data'))[0])).toBe('taken')
      const inside = childOf(child.pid as number)
      const refused =
        /but another run of process 1 on host [\w.-]+, in another container of this machine, works there since 20\d\d-.*; wait for its end/
      expect(await rejection(DirectoryLock.take(outputDir))).toMatch(refused)
      process.kill(inside, 'SIGSTOP')
      expect(await rejection(DirectoryLock.take(outputDir))).toMatch(refused)
      // A third container sees it as this process does.
      const other = holdElsewhere(outputDir, undefined, inContainer)
      expect(String((await once(other.stdout, 'data'))[0])).toBe('refused')
      expect(locks(outputDir)).toHaveLength(1)
      process.kill(inside, 'SIGKILL')
      await once(child, 'close')
      expect(locks(outputDir)).toHaveLength(1)
      const restarted = holdElsewhere(outputDir, undefined, inContainer)
      expect(String((await once(restarted.stdout, 'data'))[0])).toBe('taken')
      expect(locks(outputDir)).toHaveLength(1)
      process.kill(childOf(restarted.pid as number), 'SIGKILL')
      await once(restarted, 'close')
      expect((await train(outputDir)).run.step).toBe(4)
      expect(locks(outputDir)).toEqual([])
    },
  )

  it.skipIf(containerCommand === undefined)('is never taken by two containers that come at once', async () => {
    const outputDir = at('containers')
    await mkdir(outputDir)
    const first = holdElsewhere(outputDir, 'process.kill(process.pid, 9); process.exit()', inContainer)
    await once(first, 'close')
    const containers = Array.from({ length: 3 }, () => holdElsewhere(outputDir, undefined, inContainer))
    const answers = await Promise.all(containers.map(async ({ stdout }) => String((await once(stdout, 'data'))[0])))
    expect(answers.filter((answer) => answer === 'taken').length).toBeLessThanOrEqual(1)
    for (const { pid } of containers) {
      try {
        process.kill(childOf(pid as number), 'SIGKILL')
      } catch {
        // It was refused, and has ended.
      }
    }
  })

  it('a lock that the kernel has too of a worker thread that was ended is taken over by the process that goes on', async () => {
    const outputDir = at('worker')
    await mkdir(outputDir)
    const program = `
      const { parentPort, workerData } = require('node:worker_threads')
      import(workerData.module).then(async ({ DirectoryLock }) => {
        globalThis.lock = await DirectoryLock.take(workerData.outputDir)
        parentPort.postMessage('taken')
        setInterval(() => {}, 1e6)
      })`
    const module = new URL('../../dist/train/directory-lock.js', import.meta.url).href
    const worker = new Worker(program, { eval: true, workerData: { module, outputDir } })
    await once(worker, 'message')
    expect(await rejection(DirectoryLock.take(outputDir))).toContain('another run of this process works there')
    await worker.terminate()
    const lock = await DirectoryLock.take(outputDir)
    expect(locks(outputDir)).toHaveLength(1)
    await lock.release()
  })

  /** A lock file of another place with a proof that differs from the true one as `change` says. */
  async function foreign(outputDir: string, change: Partial<LockProof> | string): Promise<string> {
    await mkdir(outputDir)
    const path = join(outputDir, lockName({ place: '0123456789ab', pid: 1 }))
    const handle = await open(path, 'wx')
    const proof = await lockOwnFile(handle, path)
    expect(proof).toMatchObject({
      boot: expect.stringMatching(/^[0-9a-f-]{36}$/),
      inode: expect.stringMatching(/^\d+$/),
    })
    const written = typeof change === 'string' ? change : JSON.stringify({ proof: { ...proof, ...change } })
    await handle.writeFile(`${written}\n`)
    // As its process ends.
    await handle.close()
    return path
  }

  const EXT4 = 0xef53
  const NFS = 0x6969

  it.each<[string, Partial<LockProof>]>([
    ['after a restart of the machine, on its own disk', { boot: 'before', device: '7', fileSystem: EXT4 }],
    ['on a network volume that both see through one mount', { fileSystem: NFS }],
  ])('a lock that the kernel has too and that has ended is taken over %s', async (name, change) => {
    const outputDir = at(`proved-${name}`)
    const path = await foreign(outputDir, change)
    const lock = await DirectoryLock.take(outputDir)
    expect(existsSync(path)).toBe(false)
    await lock.release()
  })

  it.each<[string, Partial<LockProof> | string]>([
    ['of another machine, on a network volume', { boot: 'other', fileSystem: NFS }],
    ['of another mount of a network volume', { device: '7', fileSystem: NFS }],
    ['of another directory, of which this is a copy', { inode: '7' }],
    ['without a proof', '{"host":"node-7"}'],
    ['with half of one', '{"proof":{"boot":"b","dev'],
    ['with nonsense for one', '{"proof":{"boot":1,"device":[],"inode":null,"fileSystem":"ext4"}}'],
  ])('%s is refused with the file to remove', async (name, change) => {
    const outputDir = at(`unproved-${name.slice(0, 30)}`)
    const path = await foreign(outputDir, change)
    expect(await rejection(DirectoryLock.take(outputDir))).toContain(`if it has ended, remove ${path}`)
    expect(existsSync(path)).toBe(true)
  })
})

describe('old checkpoints', () => {
  it('old checkpoints that are links are left with a warning, and nothing they lead to is touched', async () => {
    const outputDir = at('linked')
    const precious = at('precious')
    await mkdir(precious)
    await writeFile(join(precious, 'thesis.txt'), 'of someone else')
    const { events, run } = await train(outputDir, {
      training: { saveTotalLimit: 1 },
      onEvent: (event) => {
        if (event.type === 'step' && event.step === 2) symlinkSync(precious, join(outputDir, 'checkpoint-0'))
      },
    })
    expect(run.step).toBe(4)
    expect(ofType(events, 'warning')).toEqual([
      {
        type: 'warning',
        message: `[train] cannot remove the old checkpoint ${join(outputDir, 'checkpoint-0')}: it is a link and not a directory; the run goes on, remove it yourself to free its space`,
      },
    ])
    expect(await readdir(precious)).toEqual(['thesis.txt'])
    expect(await withoutDocuments(outputDir)).toEqual(['checkpoint-0', 'checkpoint-4'])
  })

  it('are not written where a link stands', async () => {
    const outputDir = at('target')
    const precious = at('precious-too')
    await mkdir(precious)
    await writeFile(join(precious, 'thesis.txt'), 'of someone else')
    await mkdir(outputDir)
    const output = await OutputDirectory.open(outputDir)
    await output.close()
    const message = rejection(
      train(outputDir, {
        onEvent: (event) => {
          if (event.type === 'start') symlinkSync(precious, join(outputDir, 'checkpoint-2'))
        },
      }),
    )
    expect(await message).toContain('checkpoint-2 to be a directory or not to exist, got a link; remove it')
    expect(await readdir(precious)).toEqual(['thesis.txt'])
  })

  it.each([
    ['renamed', { rename: /\/checkpoint-1$/ }, ['checkpoint-1', 'checkpoint-4']],
    ['removed', { rm: /\.checkpoint-1\.lowrank-[0-9a-f]{12}-[^/]*$/ }, ['checkpoint-4']],
  ])('old checkpoints that cannot be %s are warned of once, and the run goes on', async (what, settings, left) => {
    const outputDir = at(`stuck-${what}`)
    Object.assign(stuck, settings)
    const { events, run } = await train(outputDir, { training: { saveTotalLimit: 1 } })
    expect([run.reason, run.step]).toEqual(['completed', 4])
    const warnings = ofType(events, 'warning').map(({ message }) => message)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(
      /^\[train\] cannot remove the old checkpoint .*checkpoint-1: another program holds it, or a disk is mounted there; .* \(EBUSY\).*; the run goes on, remove it yourself to free its space$/,
    )
    expect((await withoutDocuments(outputDir)).filter((name) => !name.startsWith('.'))).toEqual(left)
    // The next run removes what lies aside, now that nothing holds it.
    Object.assign(stuck, { rename: /^$/, rm: /^$/ })
    await (await OutputDirectory.open(outputDir)).close()
    expect(await withoutDocuments(outputDir)).toEqual(left)
  })

  it('old checkpoints behind a directory that is a link itself are written and removed as elsewhere', async () => {
    await mkdir(at('real'))
    await symlink(at('real'), at('link'))
    await train(at('link'), { training: { saveTotalLimit: 2 } })
    expect(await withoutDocuments(at('real'))).toEqual(['checkpoint-3', 'checkpoint-4'])
  })
})
