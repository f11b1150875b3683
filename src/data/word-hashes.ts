/** @file Words of a text as hashes, by which runs of words are compared. */

// Scripts without blanks between words: each character is one.
const WORDS =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]|[\p{L}\p{M}\p{N}]+/gu

/** Hashes of the words of a text, whatever their case. */
export function wordHashes(text: string): number[] {
  const lower = text.toLowerCase()
  const hashes: number[] = []
  for (const { 0: word, index } of lower.matchAll(WORDS)) {
    // FNV-1a over UTF-16 units.
    let hash = 0x811c9dc5
    for (let at = index; at < index + word.length; at++) hash = Math.imul(hash ^ lower.charCodeAt(at), 0x01000193)
    hashes.push(hash)
  }
  return hashes
}

/** Spreads the bits of a number over all of it (the last steps of MurmurHash3). */
export function mix(value: number): number {
  let mixed = value ^ (value >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
