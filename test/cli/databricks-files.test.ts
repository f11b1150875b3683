/** @file `lowrank databricks ls|cp|sync|rm` against a loopback workspace. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { type CliResult, lowrank } from './run-cli.js'

const VOLUME = '/Volumes/main/risk/files'
let workspace: LoopbackWorkspace
beforeAll(async () => {
  workspace = await startWorkspace()
})
afterAll(() => workspace.close())

function databricks(line: readonly string[], cwd: string): Promise<CliResult> {
  const env = { DATABRICKS_HOST: workspace.url, DATABRICKS_TOKEN: workspace.token, LOWRANK_CACHE: join(cwd, 'cache') }
  return lowrank(['databricks', ...line], { env, cwd })
}

describe('lowrank databricks', () => {
  it('copies, lists, syncs and removes files, for people and for programs', async () => {
    const folder = temporaryDirectory()
    writeFileSync(join(folder, 'rows.jsonl'), 'x'.repeat(2048))
    mkdirSync(join(folder, 'data'))
    for (const name of ['a', 'b.tmp', 'c']) writeFileSync(join(folder, 'data', name), name)

    const copied = await databricks(['cp', 'rows.jsonl', `${VOLUME}/`], folder)
    expect(copied).toMatchObject({ code: 0, stdout: `Copied 2.0 KiB to ${VOLUME}/rows.jsonl\n` })
    const again = await databricks(['cp', 'rows.jsonl', `dbfs:${VOLUME}/rows.jsonl`], folder)
    expect(again.code).not.toBe(0)
    expect(again.stderr).toMatch(/ALREADY_EXISTS/)

    const dry = await databricks(['sync', 'data', `${VOLUME}/data`, '--exclude', '*.tmp', '--dry-run'], folder)
    expect(dry.stdout).toBe('copy    a\ncopy    c\nWould copy 2 files (2 B); 0 are the same\n')
    const synced = await databricks(['sync', 'data', `${VOLUME}/data`, '--exclude', '*.tmp', '--json'], folder)
    expect(JSON.parse(synced.stdout)).toMatchObject({ copied: 2, copiedBytes: 2, deleted: 0, skipped: 0 })

    const listed = await databricks(['ls', VOLUME, '--recursive', '--json'], folder)
    const names = listed.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).path)
    expect(names).toEqual(['data', 'data/a', 'data/c', 'rows.jsonl'].map((name) => `${VOLUME}/${name}`))
    const table = await databricks(['ls', VOLUME], folder)
    expect(table.stdout).toMatch(/^directory +data\/\n {2}2\.0 KiB {2}\d{4}-\d\d-\d\d \d\d:\d\d {2}rows\.jsonl\n$/)

    const fetched = await databricks(['cp', `${VOLUME}/data`, 'back', '--recursive'], folder)
    expect(fetched.stdout).toBe('Copied 2 files (2 B); 0 are the same\n')
    expect(readFileSync(join(folder, 'back', 'c'), 'utf8')).toBe('c')
    const removed = await databricks(['rm', `${VOLUME}/data`, '--recursive', '--json'], folder)
    expect(JSON.parse(removed.stdout)).toEqual({ path: `${VOLUME}/data`, removed: true })
    for (const { stdout, stderr } of [copied, again, synced, listed])
      expect(stdout + stderr).not.toContain(workspace.token)
  })

  it('says what is wrong with paths before anything is asked', async () => {
    const folder = temporaryDirectory()
    const before = workspace.requests.length
    const lines = [
      [['cp', 'a', 'b'], /expected a path of a workspace .* on one side/],
      [['cp', 'none', `${VOLUME}/x`], /expected a file at none, got nothing there/],
      [['sync', 'a', 'b'], /got two of this machine/],
      [['ls', 'x'], /expected a path such as/],
      [['rm', VOLUME, '--recursive'], /name what lies in it/],
    ] as const
    await Promise.all(
      lines.map(async ([line, message]) => {
        const { code, stderr } = await databricks(line, folder)
        expect(stderr).toMatch(message)
        expect(code).toBe(2)
      }),
    )
    expect(workspace.requests.length).toBe(before)
  })
})
