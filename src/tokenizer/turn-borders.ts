/** @file Endings of one text that are beginnings of another, found in linear time. */

/** Lengths of all endings of `text`, but for all of it, with which `start` begins; longest first. */
export function* commonBorders(text: string, start: string): Generator<number> {
  const pattern = start.slice(0, text.length - 1)
  if (pattern === '') return
  // As Knuth, Morris and Pratt have it: of each beginning of the pattern, the longest that is also its ending.
  const failure = new Int32Array(pattern.length + 1)
  failure[0] = -1
  for (let at = 0, length = -1; at < pattern.length; ) {
    while (length >= 0 && pattern.charCodeAt(length) !== pattern.charCodeAt(at)) length = failure[length] as number
    failure[++at] = ++length
  }
  let matched = 0
  for (let at = 1; at < text.length; at++) {
    if (matched === pattern.length) matched = failure[matched] as number
    while (matched >= 0 && pattern.charCodeAt(matched) !== text.charCodeAt(at)) matched = failure[matched] as number
    matched++
  }
  for (; matched > 0; matched = failure[matched] as number) yield matched
}
