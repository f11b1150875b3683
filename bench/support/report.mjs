// @ts-check
/** @file Where measurements go: a JSON line each on standard output, a row of CSV each, and a table on standard error at the end. */

import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadAddon } from '../../dist/tensor/addon.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/**
 * @typedef {{ min: number, median: number, max: number }} Summary
 * @typedef {Record<string, any>} Measurement what one JSON line holds.
 */

/** Noise stays visible: never one number alone. @param {readonly number[]} values @returns {Summary} */
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  const median = sorted.length % 2 === 0 ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper
  return { min: round(sorted[0] ?? Number.NaN), median: round(median), max: round(sorted.at(-1) ?? Number.NaN) }
}

/** Five digits: more is noise. @param {number} value */
export function round(value) {
  return Number(value.toPrecision(5))
}

export class Report {
  #command
  #quiet
  #file
  #about
  /** @type {Measurement[]} */
  #measurements = []
  #lastProgress = Number.NEGATIVE_INFINITY

  /** @param {string} command @param {import('./options.mjs').Values} options */
  constructor(command, { results = join(ROOT, 'bench/results'), noSave, quiet }) {
    this.#command = command
    this.#quiet = quiet
    this.#file = noSave ? undefined : join(results, `${command}.csv`)
    this.#about = noSave ? {} : describeRun()
  }

  /** A line on standard error, at most one per second. @param {string} text */
  progress(text) {
    const now = performance.now()
    if (this.#quiet || now - this.#lastProgress < 1000) return
    this.#lastProgress = now
    this.note(text)
  }

  /** What a figure is missing for, on standard error in any case. @param {string} text */
  note(text) {
    console.error(`bench ${this.#command}: ${text}`)
  }

  /**
   * @param {Measurement} measurement
   * @param {readonly Measurement[]} [rows] what the CSV file gets in its place, as of a pair: a row for each side.
   */
  add(measurement, rows = [measurement]) {
    console.log(JSON.stringify({ bench: this.#command, ...measurement }))
    this.#measurements.push(measurement)
    if (!this.#file) return
    for (const { versions = ownVersions(), ...row } of rows)
      appendRow(this.#file, flatten({ ...this.#about, versions: versionText(versions), ...row }))
  }

  /** The table at the end. @param {Record<string, (measurement: Measurement) => unknown>} columns */
  finish(columns) {
    if (this.#quiet || this.#measurements.length === 0) return
    const rows = this.#measurements.map((measurement) => Object.values(columns).map((cell) => show(cell(measurement))))
    console.error(`\n${table([Object.keys(columns), ...rows])}`)
    if (this.#file) console.error(`\nRows appended to ${this.#file}`)
  }
}

/** Date, commit and machine. The load says who else was computing. */
function describeRun() {
  const { detectedIsa } = loadAddon().info()
  const cores = cpus()
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: commitName(),
    machine: `${cores.length} x ${cores[0]?.model.trim()}; ${detectedIsa}; ${Math.round(totalmem() / 2 ** 30)} GiB`,
    load: round(loadavg()[0] ?? Number.NaN),
  }
}

/** The commit of the checkout. An offline bundle has no history: it names the commit that it was made of. */
function commitName() {
  const bundled = join(ROOT, 'COMMIT')
  if (existsSync(bundled)) return readFileSync(bundled, 'utf8').trim()
  const git = (/** @type {string[]} */ ...args) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim()
  const changed = git('status', '--porcelain', '--', 'src', 'native') === '' ? '' : '+changes'
  return `${git('rev-parse', '--short', 'HEAD')}${changed}`
}

function ownVersions() {
  return { lowrank: loadAddon().info().version, node: process.versions.node }
}

/** @param {Record<string, string>} versions */
function versionText(versions) {
  return Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join('; ')
}

/** `{ a: { min, max } }` becomes a_min, a_max; lists stay out. @param {Measurement} measurement */
function flatten(measurement) {
  /** @type {Record<string, string>} */
  const row = {}
  for (const [name, value] of Object.entries(measurement)) {
    if (Array.isArray(value)) continue
    if (typeof value === 'object' && value !== null) {
      for (const [part, item] of Object.entries(value)) row[`${name}_${part}`] = String(item)
    } else row[name] = String(value ?? '')
  }
  return row
}

/**
 * Appends a row under the names that the file's first line has. Names that are new become columns at its end, empty in the rows before.
 * @param {string} file @param {Record<string, string>} row
 */
export function appendRow(file, row) {
  mkdirSync(join(file, '..'), { recursive: true })
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  const lines = text === '' ? [] : text.trimEnd().split('\n')
  const header = lines[0]?.split(',') ?? []
  const added = Object.keys(row).filter((name) => !header.includes(name))
  const names = [...header, ...added]
  if (added.length > 0) {
    const padding = ','.repeat(added.length)
    writeFileSync(file, [names.join(','), ...lines.slice(1).map((line) => line + padding), ''].join('\n'))
  }
  // A last line that its writer did not end.
  else if (!text.endsWith('\n')) appendFileSync(file, '\n')
  appendFileSync(file, `${names.map((name) => quote(row[name] ?? '')).join(',')}\n`)
}

/** @param {string} text */
function quote(text) {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** A number with the digits that matter, a summary as `median (min - max)`. @param {any} value @returns {string} */
function show(value) {
  if (value === undefined || value === null) return '-'
  if (typeof value === 'object') return `${show(value.median)} (${show(value.min)} - ${show(value.max)})`
  return typeof value === 'number' ? String(Number(value.toPrecision(3))) : String(value)
}

/** @param {readonly (readonly string[])[]} rows */
function table(rows) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
