/**
 * @file addon.CublasLt: what it says where the library, a driver or an argument is missing. Its products are checked by
 * itself, on a GPU.
 */

import { describe, expect, it } from 'vitest'
import { type CublasLtOptions, loadAddon } from '../../src/tensor/addon.js'

const addon = loadAddon()
const PRODUCT: CublasLtOptions = { ordinal: 0, dtype: 'float32', direction: 'forward', m: 33, k: 65, n: 31 }

/** Opens a product as PRODUCT with these changes; returns the message of the error. */
function refusal(changes: object): string {
  try {
    const CublasLt = addon.CublasLt as NonNullable<typeof addon.CublasLt>
    new CublasLt({ ...PRODUCT, ...changes }).close()
  } catch (error) {
    return (error as Error).message
  }
  return 'none'
}

it('is in an engine with CUDA alone', () => {
  expect(addon.CublasLt !== undefined).toBe(addon.cuda() !== null)
})

describe.skipIf(addon.CublasLt === undefined)('CublasLt', () => {
  it('says what the loader said where the library cannot be loaded', () => {
    expect(refusal({ library: '/nowhere/libcublasLt.so.13' })).toBe(
      '[cublaslt] expected libcublasLt to compare with, found none that loads. Tried:\n' +
        '  - /nowhere/libcublasLt.so.13: cannot open shared object file: No such file or directory',
    )
  })

  it('takes no other library for it', () => {
    expect(refusal({ library: 'libm.so.6' })).toContain('Tried:\n  - libm.so.6: has no cublasLtCreate')
  })

  it('CublasLt without a GPU says that, or every name that it tried', () => {
    const reason = refusal({})
    if (addon.cuda()?.error) {
      const tried = reason.split('\n  - ').slice(1)
      if (tried.length > 0) {
        expect(tried.slice(0, 3).map((line) => line.split(':')[0])).toEqual([
          'libcublasLt.so.13',
          'libcublasLt.so.12',
          'libcublasLt.so',
        ])
        expect(tried.at(-1)).toMatch(/^\/usr\/local\/cuda\/lib64\/libcublasLt\.so: /)
      } else expect(reason).toBe(`[cublaslt] expected a GPU, but ${addon.cuda()?.error}`)
    } else expect(reason).toMatch(/^(none$|\[cublaslt\] expected libcublasLt to compare with)/)
  })

  it.each([
    [{ ordinal: -1 }, '[cublaslt] expected a whole number >= 0 for ordinal, got -1'],
    [{ dtype: 'float16' }, "[cublaslt] expected 'float32' or 'bfloat16' for dtype, got float16"],
    [{ direction: undefined }, "[cublaslt] expected 'forward' or 'dx' for direction, got undefined"],
    [{ m: 0 }, '[cublaslt] expected a whole number >= 1 for m, got 0'],
    [{ k: 1.5 }, '[cublaslt] expected a whole number >= 1 for k, got 1.5'],
    [{ n: 2 ** 31 }, '[cublaslt] expected a whole number >= 1 for n, got 2147483648'],
    [{ library: 13 }, '[cublaslt] expected a path for library, got 13'],
    [{ lib: '' }, "[cublaslt] expected the options ordinal, dtype, direction, m, k, n and library, got also 'lib'"],
  ])('refuses what is no product: %o', (changes, message) => {
    expect(refusal(changes)).toBe(message)
  })
})
