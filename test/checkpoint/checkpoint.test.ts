/** @file Checkpoint directories: single, sharded, written, and what is wrong with the others. */

import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openCheckpoint, writeCheckpoint } from '../../src/checkpoint/weights-on-disk.js'
import { readTensorBytes, type TensorToWrite } from '../../src/weights/safetensors.js'
import { headerOf, safetensorsBytes } from './build.js'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-checkpoint-'))
})

afterEach(() => rm(directory, { recursive: true, force: true }))

const put = (name: string, content: string | Uint8Array) => writeFile(join(directory, name), content)
const putTensors = (file: string, ...names: string[]) =>
  put(
    file,
    safetensorsBytes(
      headerOf(...names.map((name): [string, string, number[], number] => [name, 'U8', [3], 3])),
      new Uint8Array(3 * names.length),
    ),
  )
const putIndex = (weightMap: unknown) => put('model.safetensors.index.json', JSON.stringify({ weight_map: weightMap }))
const bytesOf = (name: string, size: number, value = size): TensorToWrite => ({
  name,
  dtype: 'U8',
  shape: [size],
  bytes: () => new Uint8Array(size).fill(value),
})

describe('openCheckpoint', () => {
  test('reads a single file', async () => {
    await putTensors('model.safetensors', 'a', 'b')
    const { directory: opened, tensors } = await openCheckpoint(directory)
    expect(opened).toBe(directory)
    expect([...tensors.keys()]).toEqual(['a', 'b'])
    expect(tensors.get('b')?.path).toBe(join(directory, 'model.safetensors'))
  })

  test('reads shards through links, as the Hub cache has them, and takes each tensor from the file that the index names', async () => {
    await mkdir(join(directory, 'blobs'))
    await putTensors('blobs/1', 'a', 'b')
    await putTensors('blobs/2', 'b', 'c', 'unlisted')
    await symlink('blobs/1', join(directory, 'model-1.safetensors'))
    await symlink('blobs/2', join(directory, 'model-2.safetensors'))
    await putIndex({ a: 'model-1.safetensors', b: 'model-2.safetensors', c: 'model-2.safetensors' })
    const { tensors } = await openCheckpoint(directory)
    expect([...tensors.keys()].sort()).toEqual(['a', 'b', 'c', 'unlisted'])
    expect(tensors.get('b')?.path).toBe(join(directory, 'model-2.safetensors'))
  })

  test('lists the missing shards', async () => {
    await putTensors('1.safetensors', 'a')
    await putIndex({ a: '1.safetensors', b: '3.safetensors', c: '2.safetensors', d: '2.safetensors' })
    await expect(openCheckpoint(directory)).rejects.toThrow(
      `[checkpoint] 2 of 3 weight files of model.safetensors.index.json are missing in ${directory}: 2.safetensors, 3.safetensors; download them`,
    )
  })

  test('names tensors that are not where the index says', async () => {
    await putTensors('1.safetensors', 'a')
    await putIndex({ a: '1.safetensors', toString: '1.safetensors' })
    await expect(openCheckpoint(directory)).rejects.toThrow(
      'not in the files it names: toString (1.safetensors); download',
    )
  })

  test('refuses a tensor that two shards hold and the index does not place', async () => {
    await putTensors('1.safetensors', 'a', 'x')
    await putTensors('2.safetensors', 'b', 'x')
    await putIndex({ a: '1.safetensors', b: '2.safetensors' })
    await expect(openCheckpoint(directory)).rejects.toThrow('tensor "x" is in two files')
  })

  test.each([
    '../outside.safetensors',
    '/etc/outside.safetensors',
    'sub/1.safetensors',
    '..\\outside.safetensors',
    'C:1.safetensors',
    'a\0.safetensors',
    'passwd',
    '',
    7,
    null,
  ])('refuses the index entry %j', async (file) => {
    await putIndex({ a: file })
    await expect(openCheckpoint(directory)).rejects.toThrow(
      'expected the name of a .safetensors file beside the index for tensor "a", got',
    )
  })

  test('refuses damaged indexes', async () => {
    const damaged: [string | Uint8Array, string][] = [
      ['{"weight_map":{"a":"1.safetensors"', 'is not valid JSON'],
      ['[]', 'instead of a JSON object'],
      ['{}', 'expected "weight_map"'],
      ['{"weight_map":[]}', 'expected "weight_map"'],
      ['{"weight_map":{}}', 'expected "weight_map"'],
      ['{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}', 'the key "a" occurs twice'],
      [`${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}`, 'more than 32 levels deep'],
      [new Uint8Array([0x7b, 0xff, 0x7d]), 'is not UTF-8 text'],
    ]
    for (const [content, message] of damaged) {
      await put('model.safetensors.index.json', content)
      await expect(openCheckpoint(directory)).rejects.toThrow(message)
      await expect(openCheckpoint(directory)).rejects.toThrow('model.safetensors.index.json')
    }
  })

  test('says what to do with directories of another kind', async () => {
    const others: [string, string][] = [
      [
        'pytorch_model.bin',
        'holds pytorch_model.bin, which is Python pickle; most models on the Hub have safetensors as well',
      ],
      ['pytorch_model-00001-of-00002.bin', 'which is Python pickle'],
      ['adapter_model.safetensors', 'holds an adapter (adapter_model.safetensors), not a model; load its base model'],
      ['model-q4.gguf', 'holds model-q4.gguf, which is a model by itself: give the path of that file'],
      ['consolidated.safetensors', 'holds consolidated.safetensors, but no model.safetensors'],
      ['config.json', 'and no model.safetensors.index.json, only: config.json; download the weights into it'],
    ]
    for (const [file, message] of others) {
      await put(file, '')
      await expect(openCheckpoint(directory)).rejects.toThrow(message)
      await rm(join(directory, file))
    }
    await expect(openCheckpoint(directory)).rejects.toThrow('only: nothing')
    await expect(openCheckpoint(join(directory, 'none'))).rejects.toThrow('cannot read the directory')
  })
})

describe('writeCheckpoint', () => {
  test('writes one file where it fits', async () => {
    expect(await writeCheckpoint(directory, [bytesOf('a', 3), bytesOf('b', 5)])).toEqual(['model.safetensors'])
    const { tensors } = await openCheckpoint(directory)
    expect([...(await readTensorBytes(tensors.get('b')!))]).toEqual([5, 5, 5, 5, 5])
    expect((await readFile(join(directory, 'model.safetensors'))).toString('latin1')).toContain('{"format":"pt"}')
  })

  test('writes shards in the order of the tensors, none larger than asked for unless one tensor is', async () => {
    const tensors = [bytesOf('d', 3), bytesOf('a', 4), bytesOf('c', 11), bytesOf('b', 7), bytesOf('e', 1)]
    expect(await writeCheckpoint(directory, tensors, { maxShardSize: 8 })).toEqual([
      'model-00001-of-00003.safetensors',
      'model-00002-of-00003.safetensors',
      'model-00003-of-00003.safetensors',
      'model.safetensors.index.json',
    ])
    expect(JSON.parse(await readFile(join(directory, 'model.safetensors.index.json'), 'utf8'))).toEqual({
      metadata: { total_size: 26 },
      weight_map: {
        a: 'model-00001-of-00003.safetensors',
        b: 'model-00003-of-00003.safetensors',
        c: 'model-00002-of-00003.safetensors',
        d: 'model-00001-of-00003.safetensors',
        e: 'model-00003-of-00003.safetensors',
      },
    })
    const { tensors: read } = await openCheckpoint(directory)
    expect(read.size).toBe(5)
    expect([...(await readTensorBytes(read.get('d')!))]).toEqual([3, 3, 3])
  })

  test('removes the weights of an earlier save, which would be read instead, and nothing else', async () => {
    await put('config.json', '{}')
    await put('modeling.safetensors', '')
    await writeCheckpoint(directory, [bytesOf('a', 3)])
    await writeCheckpoint(directory, [bytesOf('a', 3), bytesOf('b', 4)], { maxShardSize: 4 })
    expect((await readdir(directory)).sort()).toEqual([
      'config.json',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
      'modeling.safetensors',
    ])
    await writeCheckpoint(directory, [bytesOf('a', 3)])
    expect((await readdir(directory)).sort()).toEqual(['config.json', 'model.safetensors', 'modeling.safetensors'])
  })

  test('a tensor that fails to arrive leaves the previous checkpoint whole', async () => {
    await writeCheckpoint(directory, [bytesOf('a', 3, 1), bytesOf('b', 3, 1)], { maxShardSize: 3 })
    const failing: TensorToWrite = { ...bytesOf('b', 3), bytes: () => Promise.reject(new Error('the device is gone')) }
    await expect(writeCheckpoint(directory, [bytesOf('a', 3, 2), failing], { maxShardSize: 3 })).rejects.toThrow(
      'the device is gone',
    )
    const { tensors } = await openCheckpoint(directory)
    for (const entry of tensors.values()) expect([...(await readTensorBytes(entry))]).toEqual([1, 1, 1])
    expect((await readdir(directory)).length).toBe(3)
  })

  test('sizes have decimal and binary units; anything else is an error', async () => {
    for (const maxShardSize of ['5GB', '5 gb', '0.5MiB', '1KB', 1e9]) {
      expect(await writeCheckpoint(directory, [bytesOf('a', 3)], { maxShardSize })).toEqual(['model.safetensors'])
    }
    const two = [bytesOf('a', 700), bytesOf('b', 320)]
    expect((await writeCheckpoint(directory, two, { maxShardSize: '1KB' })).length).toBe(3)
    expect((await writeCheckpoint(directory, two, { maxShardSize: '1KiB' })).length).toBe(1)
    for (const maxShardSize of ['5', 'GB', '-1GB', 'big', 0, Number.NaN]) {
      await expect(writeCheckpoint(directory, [bytesOf('a', 3)], { maxShardSize })).rejects.toThrow(
        'expected a number of bytes or a string like "5GB" for maxShardSize, got',
      )
    }
  })

  test('a name twice, and a shape that is none, are errors', async () => {
    const twice = writeCheckpoint(directory, [bytesOf('a', 3), bytesOf('a', 3)])
    await expect(twice).rejects.toThrow('[checkpoint] expected each tensor once, got "a" twice')
    const shapeless = writeCheckpoint(directory, [{ ...bytesOf('a', 3), shape: [1.5] }])
    await expect(shapeless).rejects.toThrow('cannot write tensor "a": it has the impossible shape [1.5]')
  })
})
