/** @file Checkpoints that cannot be written: a clear error, and the checkpoint before stays usable. */

import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  rejection,
  temporaryDirectory,
  tinyRows,
  trainTiny,
  withoutDocuments,
  writeTinyModel,
} from '../support/tiny-model.js'

/** A disk that takes so many more writes; the next one finds it full. */
const disk = vi.hoisted(() => ({ left: Number.POSITIVE_INFINITY, writes: 0, code: 'ENOSPC' }))

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>()
  const open = async (path: string, flags: string | number) => {
    const handle = await real.open(path, flags)
    if (flags !== 'wx') return handle
    const write = handle.write.bind(handle) as (bytes: Uint8Array, offset: number, length: number) => Promise<unknown>
    return Object.assign(handle, {
      write: async (bytes: Uint8Array, offset: number, length: number) => {
        disk.writes++
        if (disk.left-- > 0) return await write(bytes, offset, length)
        // Half of what did not fit is there.
        await write(bytes, offset, length >> 1)
        throw Object.assign(new Error(`${disk.code}: write`), { code: disk.code })
      },
    })
  }
  return { ...real, open }
})

const directory = temporaryDirectory()
const at = (...names: string[]) => join(directory, ...names)
let model: string

beforeAll(async () => {
  model = await writeTinyModel(at('model'))
})

afterEach(() => {
  Object.assign(disk, { left: Number.POSITIVE_INFINITY, code: 'ENOSPC' })
})

describe('a disk that is full', () => {
  it('a disk that is full at any write of the second checkpoint leaves the first, from which the run goes on to the same bytes', async () => {
    let writes = 0
    const whole = await trainTiny(
      {
        model,
        outputDir: at('whole'),
        onEvent: (event) => {
          if (event.type === 'save' && event.step <= 4) writes = disk.writes - writes
        },
      },
      at('whole-final'),
    )
    // 28 tensors of the adapter, its configuration, 56 of moments, headers, and the state of the run.
    expect(writes).toBeGreaterThan(86)
    for (const left of [0, 1, 28, writes >> 1, writes - 2, writes - 1]) {
      const outputDir = at(`full-${left}`)
      const run = trainTiny(
        {
          model,
          outputDir,
          onEvent: (event) => {
            if (event.type === 'save') disk.left = left
          },
        },
        at('unused'),
      )
      expect(await rejection(run)).toMatch(
        /^\[save\] cannot write .*: no space is left; free some space or save to another disk \(ENOSPC\)\. What was there before is unchanged\.$/,
      )
      disk.left = Number.POSITIVE_INFINITY
      expect(await withoutDocuments(outputDir)).toEqual(['checkpoint-2'])
      const { bytes } = await trainTiny({ model, outputDir, resumeFromCheckpoint: true }, at(`full-${left}-again`))
      expect(bytes === whole.bytes, `full at write ${left}`).toBe(true)
    }
  })

  it('a disk that is full is told as the operating system reports it: a limit on the size of files', async () => {
    const child = fileURLToPath(new URL('../stress/train-child.mjs', import.meta.url))
    const options = {
      model,
      dataset: tinyRows(20),
      dtype: 'float32',
      training: { maxSteps: 3, saveSteps: 1 },
      outputDir: at('limited'),
      save: at('limited-final'),
    }
    // Four blocks of 1024 bytes, or of 512: less than one file of the adapter either way.
    const shell = spawn('sh', ['-c', 'ulimit -f 4; exec "$0" "$@"', process.execPath, child, JSON.stringify(options)])
    let output = ''
    shell.stderr.setEncoding('utf8').on('data', (text) => {
      output += text
    })
    const code = await new Promise((resolve) => shell.on('close', resolve))
    expect(code).toBe(1)
    expect(output).toMatch(/\[save\] cannot write .*: the file system does not hold files of this size; .*\(EFBIG\)/)
    expect(await withoutDocuments(at('limited'))).toEqual([])
  })
})

describe('a place that cannot be written', () => {
  it('is refused before the training begins: below a file', async () => {
    await writeFile(at('file'), 'not a directory')
    const message = await rejection(trainTiny({ model, outputDir: at('file', 'run') }, at('unused')))
    expect(message).toMatch(
      /^\[save\] cannot write .*file\/run.*: a part of the path is a file, not a directory; save under another name \(ENOTDIR\)/,
    )
  })

  it('says that the permission is missing', async () => {
    disk.code = 'EACCES'
    const outputDir = at('denied')
    const message = await rejection(
      trainTiny(
        {
          model,
          outputDir,
          onEvent: (event) => {
            if (event.type === 'save') disk.left = 0
          },
        },
        at('unused'),
      ),
    )
    expect(message).toMatch(
      /^\[save\] cannot write .*: no write permission; change the rights of the directory or save somewhere else \(EACCES\)/,
    )
    expect(await withoutDocuments(outputDir)).toEqual(['checkpoint-2'])
  })
})
