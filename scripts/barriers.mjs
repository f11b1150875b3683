/**
 * @file The barriers and waits of the CUDA kernels, as `plant-bugs.mjs` leaves them out and its report names them: by source, kernel, call, and which
 * of the kernel's calls of that kind it is. Edits elsewhere in a file do not change these names, as they would change lines.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './phases.mjs'

const SOURCES = join(root, 'native/cuda')
const CALL = /\b(syncThreads|syncNamed|syncWarp|cpAsyncWait(?:<[^>]*>)?|wgmmaWait(?:<[^>]*>)?)\s*\(/
const DEFINITIONS = new Set(['device.h', 'device_nvcc.h'])

/**
 * The name of the function whose declaration begins in `lines`: the first word before a parenthesis that belongs neither to an attribute nor to a
 * keyword.
 */
function functionName(lines) {
  const text = lines
    .join(' ')
    .replace(/\/\/.*?$/gm, '')
    .replace(/__launch_bounds__\([^)]*\)|decltype\([^)]*\)/g, '')
  return /(\w+)\s*\(/.exec(text)?.[1] ?? ''
}

/**
 * Every barrier and wait in a source's text, in order.
 * @param {string} text formatted by clang-format: declarations begin in the first column, what is inside of a function does not
 * @returns {{ kernel: string, call: string, occurrence: number, line: number, why: string }[]} kernel: the function, of a kernel or of a part of some;
 * occurrence: from 1; why: the reason given in the source why leaving it out may go unseen
 */
export function barriersIn(text) {
  const lines = text.split('\n')
  const found = []
  const counts = new Map()
  let begin = 0
  lines.forEach((line, i) => {
    if (/^[A-Za-z_]/.test(line) && !/^(template|namespace)\b/.test(line)) begin = i
    const call = CALL.exec(line.replace(/\/\/.*$/, ''))?.[1]
    if (!call) return
    const kernel = functionName(lines.slice(begin, i + 1))
    const key = `${kernel} ${call}`
    const occurrence = (counts.get(key) ?? 0) + 1
    counts.set(key, occurrence)
    const why = /survives: (.*)$/.exec(line)?.[1] ?? /survives: (.*)$/.exec(lines[i - 1] ?? '')?.[1] ?? ''
    found.push({ kernel, call, occurrence, line: i + 1, why })
  })
  return found
}

/**
 * Those of all sources of native/cuda, or of the named ones.
 * @param {readonly string[]} [wanted]
 */
export function barriersOf(wanted = []) {
  return readdirSync(SOURCES)
    .filter((file) => /\.(cu|cuh|h)$/.test(file) && !DEFINITIONS.has(file))
    .filter((file) => wanted.length === 0 || wanted.includes(file))
    .sort()
    .flatMap((file) => barriersIn(readFileSync(join(SOURCES, file), 'utf8')).map((site) => ({ file, ...site })))
}

/** How the report names one: the first four columns of its row. */
export function rowKey({ file, kernel, call, occurrence }) {
  return `${file},${kernel},${call},${occurrence}`
}
