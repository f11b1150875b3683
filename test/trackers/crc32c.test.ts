/** @file CRC-32C equals published values. */

import { expect, it } from 'vitest'
import { crc32c, maskedCrc32c } from '../../src/trackers/crc32c.js'

it('the checksum is that of RFC 3720, appendix B.4', () => {
  const ascending = Uint8Array.from({ length: 32 }, (_, index) => index)
  const read = Uint8Array.from(
    Buffer.from(
      '01c00000000000000000000000000000140000000000040000000014000000182800000000000000020000000000000000',
      'hex',
    ),
  ).subarray(0, 48)
  expect(crc32c(new Uint8Array(32)).toString(16)).toBe('8a9136aa')
  expect(crc32c(new Uint8Array(32).fill(255)).toString(16)).toBe('62a8ab43')
  expect(crc32c(ascending).toString(16)).toBe('46dd794e')
  expect(crc32c(Uint8Array.from(ascending).reverse()).toString(16)).toBe('113fdb5c')
  expect(crc32c(Buffer.from('123456789')).toString(16)).toBe('e3069283')
  expect(read).toHaveLength(48)
  expect(crc32c(read).toString(16)).toBe('d9963a56')
})

it('a part of the bytes has the checksum of that part, whatever its length', () => {
  const bytes = Uint8Array.from({ length: 41 }, (_, index) => (index * 37) & 255)
  for (let start = 0; start < 9; start++)
    for (let end = start; end <= bytes.length; end++)
      expect(crc32c(bytes, start, end)).toBe(crc32c(bytes.slice(start, end)))
})

it('the masked checksum is turned and moved as LevelDB does it', () => {
  // https://github.com/google/leveldb/blob/main/util/crc32c.h: ((crc >> 15) | (crc << 17)) + 0xa282ead8
  const crc = 0xe3069283n
  const masked = (((crc >> 15n) | (crc << 17n)) + 0xa282ead8n) & 0xffffffffn
  expect(maskedCrc32c(Buffer.from('123456789'))).toBe(Number(masked))
})
