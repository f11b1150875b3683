/** @file Finding data files by path or glob. */

import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { findFiles } from '../../../src/data/sources/find-files.js'
import { temporaryDirectory } from '../../support/tiny-model.js'

const folder = temporaryDirectory()
const FILES = ['b.jsonl', 'a.jsonl', '.hidden.jsonl', 'a.txt', 'deep/c.jsonl', 'deep/er/d.jsonl', '[x].jsonl']

beforeAll(async () => {
  await mkdir(join(folder, 'deep', 'er'), { recursive: true })
  for (const name of FILES) await writeFile(join(folder, name), '{"text":"a"}\n')
  await symlink(folder, join(folder, 'deep', 'loop'))
})

/** What is found, by its path in the folder. */
async function found(...pattern: string[]): Promise<string[]> {
  return (await findFiles(join(folder, ...pattern))).map((path) => path.slice(folder.length + 1))
}

describe('findFiles', () => {
  it('finds the files of a glob in sorted order, in any folder where it says so', async () => {
    expect(await found('?.jsonl')).toEqual(['a.jsonl', 'b.jsonl'])
    expect(await found('*.jsonl')).toEqual(['[x].jsonl', 'a.jsonl', 'b.jsonl'])
    expect(await found('*/*.jsonl')).toEqual(['deep/c.jsonl'])
    expect(await found('**', '*.jsonl')).toEqual(['[x].jsonl', 'a.jsonl', 'b.jsonl', 'deep/c.jsonl', 'deep/er/d.jsonl'])
    expect(await found('[x].jsonl')).toEqual(['[x].jsonl'])
  })

  it('says of what does not exist what may be meant', async () => {
    await expect(found('*.csv')).rejects.toThrow('got no match; check the folder and the ending')
    await expect(found('none.jsonl')).rejects.toThrow('none.jsonl, which does not exist; check the path')
    await expect(found('b.json')).rejects.toThrow(`did you mean ${join(folder, 'b.jsonl')}?`)
  })

  it('takes the data files of a directory and of its folders, and says where it has none', async () => {
    expect(await found('deep')).toEqual(['deep/c.jsonl', 'deep/er/d.jsonl'])
    await mkdir(join(folder, 'empty'))
    await writeFile(join(folder, 'empty', 'dataset_info.json'), '{}')
    await expect(found('empty')).rejects.toThrow('it has no files that end in .jsonl, .json')
  })

  it('takes the split of a directory that is asked for, by the names of folders before those of files', async () => {
    const root = join(folder, 'splits')
    const put = async (path: string): Promise<void> => {
      await mkdir(join(root, path, '..'), { recursive: true })
      await writeFile(join(root, path), '')
    }
    const split = async (name: string | string[]): Promise<string[]> =>
      (await findFiles(root, name)).map((path) => path.slice(root.length + 1))
    await put('rows-train.jsonl.gz')
    await put('my_dev.csv')
    await put('.hidden/test.jsonl')
    await put('notes.txt')
    expect(await split('train')).toEqual(['rows-train.jsonl.gz'])
    expect(await split(['validation', 'test'])).toEqual(['my_dev.csv'])
    await expect(split('test')).rejects.toThrow(
      `expected the split "test" in ${root}, got a folder that has validation, train; give a split that it has`,
    )
    await put('training/a.jsonl')
    await put('eval/test_train.jsonl')
    expect(await split('train')).toEqual(['training/a.jsonl'])
    expect(await split('test')).toEqual(['eval/test_train.jsonl'])
    await put('data/train_sft-00000-of-00002.jsonl')
    await put('data/train_sft-00001-of-00002.jsonl')
    expect(await split('train_sft')).toEqual([
      'data/train_sft-00000-of-00002.jsonl',
      'data/train_sft-00001-of-00002.jsonl',
    ])
    await expect(split('train')).rejects.toThrow('got a folder that has train_sft;')
  })
})
