/** @file Compares what fuzz.py stored with the built package: `node test/golden/templates/compare.mjs FILE [SHOWN]`. */

import { readFileSync } from 'node:fs'

const { ChatTemplate } = await import('../../../dist/tokenizer/chat-template.js')
const { parseLosslessJson } = await import('../../../dist/lossless-json.js')
const [file, shown = '10'] = process.argv.slice(2)
const { messages, tools, variables, specialTokens, rows } = JSON.parse(readFileSync(file, 'utf8'))
const given = { ...parseLosslessJson(variables), ...specialTokens }
const options = { tools: parseLosslessJson(tools), variables: given }
const turns = parseLosslessJson(messages)
const counts = { equal: 0, refusedByBoth: 0, refusedByName: 0, different: 0 }
const names = new Map()
let left = Number(shown)
for (const [source, expected, spans, error] of rows) {
  let text = null
  let marked = []
  let failure
  try {
    const traced = new ChatTemplate(source, {}, new Date(2024, 2, 5, 9, 7, 4)).renderTraced(turns, options)
    const points = (unit) => Array.from(traced.text.slice(0, unit)).length
    text = traced.text
    marked = (traced.spans ?? []).map(({ start, end }) => [points(start), points(end)])
  } catch (thrown) {
    failure = thrown
  }
  const name =
    /\[chat template\] (.*) is not supported/.exec(failure?.message)?.[1] ??
    /keep the tags out/.exec(failure?.message)?.[0]
  if (text === expected && JSON.stringify(marked) === JSON.stringify(spans)) {
    counts[text === null ? 'refusedByBoth' : 'equal']++
  } else if (failure !== undefined && name !== undefined) {
    counts.refusedByName++
    names.set(name, (names.get(name) ?? 0) + 1)
  } else {
    counts.different++
    if (left-- > 0) console.log({ source, python: expected ?? error, here: failure?.message ?? text, spans, marked })
  }
}
console.log(counts, [...names].sort((a, b) => b[1] - a[1]).slice(0, 40))
