/** @file Awkward texts from a seed, and the dice that choose them: the same seed gives the same ones everywhere. */

/** Numbers from a seed (mulberry32), and choices by them. */
export interface Dice {
  next(): number
  below(count: number): number
  chance(probability: number): boolean
  pick<T>(values: readonly T[]): T
  some<T>(values: readonly T[], count: number): T[]
}

export function dice(seed: number): Dice {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (count: number): number => Math.floor(next() * count)
  const pick = <T>(values: readonly T[]): T => values[below(values.length)] as T
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick,
    some: (values, count) => Array.from({ length: count }, () => pick(values)),
  }
}

const FRAGMENTS = [
  ..."hello Hello HELLO world don't I'LL 'S the a b ab aab aaa Straße ŐŰ naïve İstanbul ΣΑΣ ς".split(' '),
  ...' |  |   |\t|\n|\r\n|\n\n| \n|\r|\v|\f|\u0085|\u00a0|\u1680|\u2003|\u2028|\u2029|\u202f|\u3000'.split('|'),
  ...'\u200b \u200c \u200d \u200e \ufeff \u0000 \u0001 \u0007 \u001f \u007f \u008f \u009f \ufffd \u00ad \u2060'.split(
    ' ',
  ),
  ...'e\u0301 é o\u0323\u0302 o\u0302\u0323 \u0301 \u0323\u0301 a\u0300\u0316\u0301 \u212b \u1e9b\u0323 \u0344 \u0958 \u0f73'.split(
    ' ',
  ),
  ...'한국어 \u1112\u1161\u11ab \u1100\u1161 \uac00\u11a8 \u115f\u1160 漢字 ひらがな カタカナ ー 々 \uf900 \u{2f800} 𠀀 、。'.split(
    ' ',
  ),
  ...'مرحبا שלום हिन्दी ไทย Ελληνικά Русский ქართული አማርኛ \u0600\u0661 \u{1e900} \u{10400} ǅ ﬁ ＡＢＣ１２ ①Ⅷⅷ²½ ㎏ ℃'.split(
    ' ',
  ),
  ...'0 12 345 6789 ٠١٢ ०१ ๓ \u{1d7d8} 三 1,234.5 1e-9 . , ! ? ... - _ — «» (x) [y] {z} # $ € += < > @ ` ~ ^ | \\ / " \' ’ ¿ · \u0387 § ©'.split(
    ' ',
  ),
  ...'👩‍🚀 👨‍👩‍👧 🇩🇪🇫🇷 👍🏽 ❤️ 🏴\u{e0067}\u{e0062} \u{1f600} \u20e3 1\ufe0f\u20e3 \ud800 \udc00 a\ud83d <s> </s> <|x|> [SEP] [CLS] <unk> <mask> <0x41> <0x0A> ## ##a </w> ▁ ▁a ▁▁ Ġ Ċ Ã'.split(
    ' ',
  ),
  ...'\u{1fae8} \u{1e4d0} \u{16d40} \u1c89 \ua7cb \u{105c0} \u0897 \u{11f5a} \u{1ccf0} \u{e0100} \u0378 \ue000 \u{10ffff}'.split(
    ' ',
  ),
]

/** Text that is hard on tokenizers. */
export function awkwardText(random: Dice): string {
  const kind = random.below(20)
  if (kind === 0) return random.pick(['', ' ', 'a', '\n', '\u0301', '▁', '<s>'])
  if (kind === 1) return random.pick(FRAGMENTS).repeat(1 + random.below(40))
  const code = (): string => {
    const plane = random.pick([0x80, 0x250, 0x3000, 0x10000, 0x20000, 0x110000])
    return String.fromCodePoint(random.below(plane))
  }
  const count = 1 + random.below(12)
  return Array.from(
    { length: count },
    () => (random.chance(0.06) ? code() : random.pick(FRAGMENTS)) + (random.chance(0.3) ? ' ' : ''),
  ).join('')
}
