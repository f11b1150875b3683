/** @file Flags that name a part of a data set. */

import { expect, test } from 'vitest'
import { partOf } from '../../src/cli/part-flags.js'
import { type DataSource, openSource } from '../../src/data/sources/open-source.js'

test('the flags of a part go over what the file says of the data set', () => {
  expect(partOf('org/name', {})).toBe('org/name')
  expect(partOf('org/name', { split: 'train[:10%]', datasetConfig: 'main' })).toEqual({
    path: 'org/name',
    split: 'train[:10%]',
    name: 'main',
  })
  expect(partOf({ path: 'a', split: 'test', limit: 5 }, { split: 'dev' })).toEqual({
    path: 'a',
    split: 'dev',
    limit: 5,
  })
  expect(partOf({ path: 'a', config: 'x' }, { datasetConfig: 'y' })).toEqual({ path: 'a', name: 'y' })
})

test('the flags of a part are refused for several data sets', () => {
  expect(() => partOf(['a', 'b'], { split: 'dev' })).toThrow(
    '[config] expected one data set for --split, got ["a", "b"]; name it in the file',
  )
  expect(() => partOf({ mix: ['a', 'b'] }, { datasetConfig: 'x' })).toThrow(
    'expected one data set for --dataset-config',
  )
})

test('a configuration of a file, which has none, is refused by the name of the flag', async () => {
  const file = openSource(partOf(import.meta.filename, { datasetConfig: 'main' }) as DataSource)
  await expect(file.check?.()).rejects.toThrow(
    `expected no name (--dataset-config) for the file ${import.meta.filename}`,
  )
})
