/** @file addon.ops: what TypeScript encodes commands against. */

import { describe, expect, test } from 'vitest'
import { addon, leaves } from './raw.js'

const KINDS = ['in', 'out', 'inout', 'optionalIn', 'optionalOut', 'optionalInout', 'number', 'group', 'list']

describe('the op list', () => {
  test('numbers its ops from 0 without gaps', () => {
    const ids = Object.values(addon().ops).map((op) => op.id)
    expect(ids.sort((a, b) => a - b)).toEqual(ids.map((_, i) => i))
  })

  test('names arguments in wire order with their kinds', () => {
    expect(addon().ops.rmsNorm?.fields).toEqual([
      { name: 'x', kind: 'in' },
      { name: 'residual', kind: 'optionalIn' },
      { name: 'weight', kind: 'in' },
      { name: 'sum', kind: 'optionalOut' },
      { name: 'y', kind: 'out' },
      { name: 'eps', kind: 'number' },
    ])
  })

  test('describes lists by one item, groups by their fields', () => {
    const paths = [...leaves(addon().ops.linear?.fields ?? [])].map((field) => `${field.path}:${field.kind}`)
    expect(paths).toEqual([
      'x:in',
      'y:out',
      'sumOrder:number',
      'parts:list',
      'parts.weight:optionalIn',
      'parts.nf4:list',
      'parts.nf4.packed:in',
      'parts.nf4.absmax:in',
      'parts.nf4.code:in',
      'parts.nf4.nestedAbsmax:optionalIn',
      'parts.nf4.nestedCode:optionalIn',
      'parts.nf4.offset:optionalIn',
      'parts.nf4.rows:number',
      'parts.nf4.cols:number',
      'parts.nf4.blockSize:number',
      'parts.nf4.nestedBlockSize:number',
      'parts.bias:optionalIn',
      'parts.inOut:number',
      'parts.pairs:list',
      'parts.pairs.a:in',
      'parts.pairs.b:in',
      'parts.pairs.rows:optionalIn',
      'parts.pairs.s:out',
      'parts.pairs.scale:number',
      'parts.pairs.dropout:group',
      'parts.pairs.dropout.p:number',
      'parts.pairs.dropout.seed:number',
      'parts.pairs.dropout.microStep:number',
      'parts.pairs.dropout.dropoutStream:number',
    ])
  })

  test('uses known kinds only, and gives every group and list its fields', () => {
    for (const [name, op] of Object.entries(addon().ops)) {
      for (const field of leaves(op.fields)) {
        expect(KINDS, `${name}.${field.path}`).toContain(field.kind)
        expect(field.fields !== undefined, `${name}.${field.path}`).toBe(
          field.kind === 'group' || field.kind === 'list',
        )
      }
    }
  })
})

describe('info()', () => {
  test('says what was built and what the machine offers', () => {
    const info = addon().info()
    expect(info.devices).toEqual(['cpu'])
    expect(['generic', 'avx2', 'avx512', 'avx512bf16', 'amx']).toContain(info.isa)
    expect(info.threads).toBeGreaterThanOrEqual(1)
    expect(info.totalMemory).toBeGreaterThan(2 ** 28)
    expect(info.availableMemory).toBeGreaterThan(0)
    expect(info.availableMemory).toBeLessThanOrEqual(info.totalMemory)
    expect(info.compiler).toMatch(/^(GNU|Clang|AppleClang) \d+/)
    expect(info.version).toMatch(/^\d+\.\d+\.\d+/)
  })
})
