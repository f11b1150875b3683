/** @file An evaluation as a file has it, checked as far as a page needs it. */

import type { EvaluationReport } from '../evaluate/evaluation-report.js'
import { LowrankError } from '../lowrank-error.js'
import { isPlainObject } from '../values.js'

/** Whether an object is meant to be an evaluation, right or wrong. */
export function looksLikeEvaluation(value: Readonly<Record<string, unknown>>): boolean {
  return 'version' in value && Array.isArray(value.tasks) && Array.isArray(value.models)
}

/**
 * The evaluation that an object is.
 * @throws LowrankError naming the file and the field that is not what it has to be
 */
export function parseEvaluation(value: unknown, file: string): EvaluationReport {
  const report = new Checked(value, '', file)
  if (report.get('version').value !== 1) report.get('version').fail('1, the version that this lowrank reads')
  report.text('startedAt').text('model').number('confidence').number('seconds')
  for (const model of report.list('models')) model.text('name')
  for (const task of report.list('tasks')) {
    task.text('name').text('type').number('rowCount').number('seconds').list('lineage')
    if (task.has('warnings')) for (const warning of task.list('warnings')) warning.text('message')
    if (task.has('fewshot')) task.get('fewshot').number('numFewshot')
    for (const source of task.list('lineage')) source.text('location')
    for (const metric of task.list('metrics')) {
      metric.text('name')
      for (const score of metric.map('scores')) score.figures('value', 'low', 'high')
      for (const change of metric.map('differences')) change.figures('value', 'low', 'high', 'pValue')
    }
    if (task.has('confusion')) {
      for (const matrix of task.map('confusion')) {
        matrix.texts('labels')
        for (const row of matrix.list('rows')) row.numbers()
      }
    }
    for (const row of task.list('samples')) {
      row.number('index').text('origin').text('prompt')
      if (row.has('references')) row.texts('references')
      for (const answer of row.map('answers')) {
        if (answer.has('text')) answer.text('text')
        answer.get('scores').figures()
      }
    }
  }
  return value as EvaluationReport
}

/** A value in a file, at its place. */
class Checked {
  readonly value: unknown
  readonly place: string
  readonly file: string

  constructor(value: unknown, place: string, file: string) {
    this.value = value
    this.place = place
    this.file = file
  }

  fail(expected: string): never {
    const what = this.place === '' ? 'the report' : this.place
    throw new LowrankError(
      'FILE',
      `[report] expected ${expected} for ${what} in ${this.file}, got ${JSON.stringify(this.value)?.slice(0, 60) ?? 'nothing'}; write the ` +
        'file anew with lowrank eval --output',
    )
  }

  has(name: string): boolean {
    return this.get(name).value !== undefined
  }

  get(name: string): Checked {
    const place = this.place === '' ? name : `${this.place}.${name}`
    if (!isPlainObject(this.value)) this.fail('an object')
    const value = Object.hasOwn(this.value, name) ? this.value[name] : undefined
    return new Checked(value, place, this.file)
  }

  list(name: string): Checked[] {
    const { value, place } = this.get(name)
    if (!Array.isArray(value)) return this.get(name).fail('a list')
    return value.map((item, index) => new Checked(item, `${place}[${index}]`, this.file))
  }

  map(name: string): Checked[] {
    const inner = this.get(name)
    if (!isPlainObject(inner.value)) inner.fail('an object')
    return Object.keys(inner.value as object).map((key) => inner.get(key))
  }

  text(name: string): this {
    if (typeof this.get(name).value !== 'string') this.get(name).fail('text')
    return this
  }

  texts(name: string): void {
    for (const item of this.list(name)) if (typeof item.value !== 'string') item.fail('text')
  }

  number(name: string): this {
    if (typeof this.get(name).value !== 'number') this.get(name).fail('a number')
    return this
  }

  numbers(): void {
    if (!Array.isArray(this.value) || !this.value.every((item) => typeof item === 'number'))
      this.fail('a list of numbers')
  }

  /** Numbers or null under some names; without names under all. */
  figures(...names: readonly string[]): void {
    if (!isPlainObject(this.value)) this.fail('an object')
    for (const name of names.length > 0 ? names : Object.keys(this.value as object)) {
      const { value } = this.get(name)
      if (typeof value !== 'number' && value !== null) this.get(name).fail('a number or null')
    }
  }
}
