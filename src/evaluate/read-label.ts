/** @file The label that an answer in words names. */

/**
 * The label of an answer: the whole answer, but for case, spaces and the marks round it; else the label that stands
 * first in it as words of its own, of several that begin there the longest. Null where it names none.
 */
export function readLabel(answer: string, labels: readonly string[]): string | null {
  const said = bare(answer)
  const exact = labels.find((label) => label === answer.trim()) ?? labels.find((label) => bare(label) === said)
  if (exact !== undefined) return exact
  let found: { readonly label: string; readonly at: number } | undefined
  for (const label of labels) {
    const at = placeOf(bare(label), said)
    if (at < 0) continue
    const isFirst = found === undefined || at < found.at || (at === found.at && label.length > found.label.length)
    if (isFirst) found = { label, at }
  }
  return found?.label ?? null
}

const MARKS = /^[\s\p{P}\p{S}]+|[\s\p{P}\p{S}]+$/gu

function bare(text: string): string {
  const stripped = text.toLowerCase().replace(MARKS, '')
  // A label of marks alone, as + and -, is what it is.
  return stripped === '' ? text.trim() : stripped
}

/** Where a label stands in a text without a letter or digit beside it; -1 for nowhere. */
function placeOf(label: string, text: string): number {
  if (label === '') return -1
  for (let at = text.indexOf(label); at >= 0; at = text.indexOf(label, at + 1)) {
    const before = /[\p{L}\p{N}]$/u.test(text.slice(0, at))
    const after = /^[\p{L}\p{N}]/u.test(text.slice(at + label.length))
    const isWord = /^[\p{L}\p{N}].*$/su.test(label)
    if (!isWord || (!before && !after)) return at
  }
  return -1
}
