/** @file `lowrank data convert`: rows go from one format into another; missing paths are said before any is read. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { lowrank } from './run-cli.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-convert-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('lowrank data convert', () => {
  it('writes the rows of a file in the format of the ending, and those of that file back', async () => {
    const lines = '{"prompt":"a","completion":"b","n":2.0}\n{"prompt":"c","completion":null,"n":1.5}\n'
    await writeFile(join(folder, 'rows.jsonl'), lines)
    const there = await lowrank(['data', 'convert', 'rows.jsonl', 'rows.parquet'], { cwd: folder })
    expect(there).toMatchObject({ code: 0, stdout: 'Wrote 2 rows to rows.parquet.\n' })
    const back = await lowrank(['data', 'convert', 'rows.parquet', 'back', '--format', 'jsonl', '--json'], {
      cwd: folder,
    })
    expect(back.code, back.stderr).toBe(0)
    expect(JSON.parse(back.stdout)).toEqual({ path: 'back', rows: 2, bytes: lines.length })
    expect(await readFile(join(folder, 'back'), 'utf8')).toBe(lines)
  })

  it('asks for both paths', async () => {
    const { code, stderr } = await lowrank(['data', 'convert', 'rows.jsonl'], { cwd: folder })
    expect(code).toBe(2)
    expect(stderr).toContain('expected IN and OUT, got one path or none')
  })

  it('says where the path goes that other commands take as --output', async () => {
    const { code, stderr } = await lowrank(['data', 'convert', 'rows.jsonl', '--output', 'rows.csv'], { cwd: folder })
    expect(code).toBe(2)
    expect(stderr).toContain('unknown flag "--output"; write the path of OUT behind IN, without a flag\n')
  })

  it('names the flag for a path of another ending', async () => {
    const { code, stderr } = await lowrank(['data', 'convert', 'rows.jsonl', 'rows.json'], { cwd: folder })
    expect(code).toBe(2)
    expect(stderr).toContain('got "rows.json"; for another ending give the format too: format, or --format\n')
  })
})
