/** @file Uploads and downloads that are killed at random moments, and go on or leave nothing behind. */

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { abortUploads, downloadFile, uploadFile } from '../../../../src/databricks/client/files/files.js'
import { syncDirectory } from '../../../../src/databricks/client/files/sync.js'
import { Random } from '../../../../src/random.js'
import { cases } from '../../../support/long.js'
import {
  contentOf,
  type FilesWorkspace,
  filesWorkspace,
  leftOf,
  MIB,
  randomContent,
  VOLUME,
} from './files-workspace.js'

const library = pathToFileURL(fileURLToPath(new URL('../../../../dist/databricks.js', import.meta.url))).href
const KILLS = cases(3, 30)
const SEED = Number(process.env.LOWRANK_KILL_SEED ?? Date.now() % 1_000_000)
const large = randomContent(22 * MIB + 77_777)

/**
 * Runs a call of the library in a process of its own and kills that once the workspace has seen so many requests, and
 * some time more.
 * @returns whether it was killed before it was done
 */
async function killed(
  { workspace }: FilesWorkspace,
  call: string,
  { requests, more }: { readonly requests: number; readonly more: number },
): Promise<boolean> {
  const program = `import { downloadFile, syncDirectory, uploadFile } from ${JSON.stringify(library)}\nawait ${call}`
  const env = { ...process.env, DATABRICKS_HOST: workspace.url, DATABRICKS_TOKEN: workspace.token }
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text
  })
  const ended = new Promise<NodeJS.Signals | null>((resolve) => {
    child.on('close', (_code, signal) => resolve(signal))
  })
  let isOver = false
  void ended.then(() => {
    isOver = true
  })
  const seen = workspace.requests.length
  while (!isOver && workspace.requests.length < seen + requests) await new Promise((resolve) => setImmediate(resolve))
  if (!isOver) await sleep(more)
  child.kill('SIGKILL')
  const signal = await ended
  expect(errors, `seed ${SEED}`).toBe('')
  return signal === 'SIGKILL'
}

describe(`a process that is killed, with seed ${SEED}`, () => {
  it('leaves an upload that goes on from its parts, and no part that nobody knows', async () => {
    const random = new Random(SEED)
    const files = await filesWorkspace()
    let kills = 0
    let resumed = 0
    for (let round = 0; round < KILLS; round++) {
      const file = join(files.folder, 'large.bin')
      writeFileSync(file, large)
      const path = `${VOLUME}/killed-${round}`
      const call = `uploadFile(${JSON.stringify(file)}, ${JSON.stringify(path)}, { partSize: ${5 * MIB}, parallelism: 2 })`
      // HEAD, a session, addresses, five parts, completion, HEAD.
      if (await killed(files, call, { requests: 1 + random.below(11), more: random.below(12) })) kills++
      const there = await files.workspace.state.storage.stat(path.slice(1))
      if (there !== undefined) expect((await contentOf(files, path)).equals(large)).toBe(true)
      const { resumedBytes } = await uploadFile(file, path, { databricks: files.client, partSize: 5 * MIB })
      if (resumedBytes > 0) resumed++
      expect((await contentOf(files, path)).equals(large), `round ${round} of seed ${SEED}`).toBe(true)
      expect(await leftOf(files), `round ${round} of seed ${SEED}`).toMatchObject({ parts: 0, records: 0 })
    }
    expect(kills).toBeGreaterThan(0)
    if (KILLS >= 30) expect(resumed).toBeGreaterThan(3)
  })

  it('leaves parts that a later call takes away where the upload is not wanted any more', async () => {
    const files = await filesWorkspace()
    const file = join(files.folder, 'large.bin')
    writeFileSync(file, large)
    const call = `uploadFile(${JSON.stringify(file)}, '${VOLUME}/unwanted', { partSize: ${5 * MIB}, parallelism: 1 })`
    await killed(files, call, { requests: 6, more: 0 })
    await files.client.json({ path: '/.well-known/databricks-config', what: 'the workspace' })
    expect(await leftOf(files)).toMatchObject({ records: 1 })
    expect(await abortUploads({ databricks: files.client })).toBe(1)
    expect(await leftOf(files)).toMatchObject({ parts: 0, records: 0 })
  })

  it('sends a part anew whose content is not what was sent', async () => {
    const files = await filesWorkspace()
    const file = join(files.folder, 'large.bin')
    writeFileSync(file, large)
    const { atime, mtime } = statSync(file)
    const call = `uploadFile(${JSON.stringify(file)}, '${VOLUME}/changed', { partSize: ${5 * MIB}, parallelism: 1 })`
    await killed(files, call, { requests: 7, more: 0 })
    const changed = Buffer.from(large)
    changed[3] = (changed[3] ?? 0) ^ 1
    writeFileSync(file, changed)
    const { utimesSync } = await import('node:fs')
    utimesSync(file, atime, mtime)
    await uploadFile(file, `${VOLUME}/changed`, { databricks: files.client, partSize: 5 * MIB })
    expect((await contentOf(files, `${VOLUME}/changed`)).equals(changed)).toBe(true)
    expect(await leftOf(files)).toMatchObject({ parts: 0, records: 0 })
  })

  it('leaves a download that goes on from its ranges, and no half file under the name of the target', async () => {
    const random = new Random(SEED + 1)
    const files = await filesWorkspace()
    await uploadFile(large, `${VOLUME}/l`, { databricks: files.client })
    let kills = 0
    for (let round = 0; round < KILLS; round++) {
      const folder = join(files.folder, `round-${round}`)
      mkdirSync(folder)
      const target = join(folder, 'large.bin')
      const call = `downloadFile('${VOLUME}/l', ${JSON.stringify(target)}, { parallelism: 1 })`
      // HEAD, an address, three ranges.
      if (await killed(files, call, { requests: 1 + random.below(5), more: random.below(25) })) kills++
      if (existsSync(target)) expect(readFileSync(target).equals(large)).toBe(true)
      await downloadFile(`${VOLUME}/l`, target, { databricks: files.client })
      expect(readFileSync(target).equals(large), `round ${round} of seed ${SEED}`).toBe(true)
      expect(readdirSync(folder), `round ${round} of seed ${SEED}`).toEqual(['large.bin'])
    }
    expect(kills).toBeGreaterThan(0)
  })

  it('leaves a directory half made, which the next call completes, without files that are half there', async () => {
    const random = new Random(SEED + 2)
    const files = await filesWorkspace()
    const from = join(files.folder, 'from')
    mkdirSync(from)
    for (let index = 0; index < 60; index++) writeFileSync(join(from, `f${index}`), `content ${index} `.repeat(500))
    for (let round = 0; round < KILLS; round++) {
      const path = `${VOLUME}/round-${round}`
      const to = join(files.folder, `to-${round}`)
      const timing = () => ({ requests: 1 + random.below(60), more: random.below(5) })
      await killed(files, `syncDirectory(${JSON.stringify(from)}, '${path}')`, timing())
      await syncDirectory(from, path, { databricks: files.client })
      await killed(files, `syncDirectory('${path}', ${JSON.stringify(to)})`, timing())
      for (const name of existsSync(to) ? readdirSync(to).filter((each) => !each.startsWith('.')) : [])
        expect(readFileSync(join(to, name), 'utf8')).toBe(readFileSync(join(from, name), 'utf8'))
      await syncDirectory(path, to, { databricks: files.client })
      expect(readdirSync(to).sort()).toEqual(readdirSync(from).sort())
      for (const name of readdirSync(to))
        expect(readFileSync(join(to, name)).equals(readFileSync(join(from, name)))).toBe(true)
    }
  })
})
