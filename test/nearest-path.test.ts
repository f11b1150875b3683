/** @file The existing path that a mistyped one was meant to be. */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { nearestPath, nearestPathHint } from '../src/nearest-path.js'
import { temporaryDirectory } from './support/tiny-model.js'

const folder = temporaryDirectory()

beforeAll(async () => {
  await mkdir(join(folder, 'out/my-model'), { recursive: true })
  await mkdir(join(folder, 'out/checkpoints'))
  await mkdir(join(folder, 'data'))
  await writeFile(join(folder, 'data/rows.jsonl'), '')
  await writeFile(join(folder, 'data/model.Q4_1.gguf'), '')
})

describe('the nearest path', () => {
  it.each([
    ['out/my-modle', 'out/my-model'],
    ['out/My_Model', 'out/my-model'],
    ['otu/my-mode', 'out/my-model'],
    ['out/my-model/adaptr', undefined],
    ['data/rows.json', 'data/rows.jsonl'],
    ['data/rows', 'data/rows.jsonl'],
    ['data/model.Q4_1.ggfu', 'data/model.Q4_1.gguf'],
    ['out/my-model', undefined],
    ['out/my-model/', undefined],
    ['somewhere/else', undefined],
    ['out', undefined],
    ['data/cows.jsonl', undefined],
    ['', undefined],
  ])('the nearest path of %j is %j', async (path, nearest) => {
    const absolute = (name: string): string => `${folder}/${name}`
    expect(await nearestPath(absolute(path))).toBe(nearest && absolute(nearest))
  })

  it('is written as the path was: from here, from ., from ..', async () => {
    const up = '../'.repeat(process.cwd().split('/').length - 1)
    expect(await nearestPath(`${up}${folder.slice(1)}/data/rows.json`)).toBe(`${up}${folder.slice(1)}/data/rows.jsonl`)
    expect(await nearestPath('./READMEE.md')).toBe('./README.md')
    expect(await nearestPath('scr/index.ts')).toBe('src/index.ts')
    expect(await nearestPathHint('scr/index.ts')).toBe('; did you mean src/index.ts?')
    expect(await nearestPathHint('nothing/like/this')).toBe('')
  })
})
