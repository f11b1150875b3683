/** @file Longest common subsequences: the words that two texts have in the same order, with others between them. */

/** The length of the longest common subsequence of two lists. */
export function commonLength(first: readonly string[], second: readonly string[]): number {
  const [a, b] = numbered(first, second)
  // Lengths for the beginnings of the second list, one row of the table at a time.
  const row = new Uint32Array(b.length + 1)
  for (const item of a) {
    let diagonal = 0
    for (let j = 1; j <= b.length; j++) {
      const above = row[j]!
      row[j] = b[j - 1] === item ? diagonal + 1 : Math.max(above, row[j - 1]!)
      diagonal = above
    }
  }
  return row[b.length]!
}

/**
 * The places in `first` of one of the longest common subsequences. Of several it is that which rouge_score finds: from
 * the end, it goes back in `second` only where that keeps more.
 */
export function commonPlaces(first: readonly string[], second: readonly string[]): number[] {
  const [a, b] = numbered(first, second)
  const width = b.length + 1
  // One bit for each cell of the table: whether the cell to the left is larger than the one above.
  const goesLeft = new Uint8Array(Math.ceil(((a.length + 1) * width) / 8))
  const row = new Uint32Array(width)
  for (let i = 1; i <= a.length; i++) {
    let diagonal = 0
    for (let j = 1; j <= b.length; j++) {
      const above = row[j]!
      const left = row[j - 1]!
      const cell = i * width + j
      if (left > above) goesLeft[Math.floor(cell / 8)]! |= 1 << (cell % 8)
      row[j] = a[i - 1] === b[j - 1] ? diagonal + 1 : Math.max(above, left)
      diagonal = above
    }
  }
  const places: number[] = []
  let i = a.length
  let j = b.length
  while (i > 0 && j > 0) {
    const cell = i * width + j
    if (a[i - 1] === b[j - 1]) {
      places.push(i - 1)
      i--
      j--
    } else if ((goesLeft[Math.floor(cell / 8)]! >> (cell % 8)) & 1) j--
    else i--
  }
  return places.reverse()
}

/** Both lists with a number for each item, which compares faster than a text. */
function numbered(first: readonly string[], second: readonly string[]): [Uint32Array, Uint32Array] {
  const numbers = new Map<string, number>()
  const numberOf = (item: string): number => {
    const known = numbers.get(item) ?? numbers.size
    numbers.set(item, known)
    return known
  }
  return [Uint32Array.from(first, numberOf), Uint32Array.from(second, numberOf)]
}
