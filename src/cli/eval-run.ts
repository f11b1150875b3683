/** @file What `lowrank eval` does once its flags are right: load, ask with a bar, and say what came out. */

import { writeFileAtomic } from '../atomic-write.js'
import { beginLoading } from '../checkpoint/load-model.js'
import { type EvaluateModelsOptions, evaluate } from '../evaluate/evaluate.js'
import { adapterDirectory } from '../evaluate/evaluated-adapters.js'
import type { EvaluationReport } from '../evaluate/evaluation-report.js'
import { type Regression, regressionsOf } from '../evaluate/max-regression.js'
import type { EvaluationProgress } from '../evaluate/run-options.js'
import { LowrankError } from '../lowrank-error.js'
import { createBar } from '../progress/progress.js'
import { formatFigure, paintFor } from '../progress/terminal.js'
import { writeReport } from '../report/write-report.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import { behaviourTables } from './behaviour-table.js'
import type { Evaluation } from './eval.js'
import { evaluationTable } from './eval-table.js'
import { localAdapters } from './local-adapters.js'
import { locateModel, tokenizerPlace } from './locate-model.js'
import { showModelWarnings, showWarnings } from './show-warnings.js'
import { untilSignal } from './until-signal.js'

export async function runEvaluation({ flags, options, adapters: named, limits }: Evaluation): Promise<void> {
  const { json, device, dtype, quantization, revision } = flags
  const names = Object.keys(named)
  const pulled = await localAdapters(Object.values(named), json)
  const directories = await Promise.all(pulled.map((directory) => adapterDirectory(directory, undefined)))
  const location = await locateModel('eval', { model: flags.model, revision, adapters: directories, json })
  const tokenizer = await loadTokenizer(await tokenizerPlace(location, ...directories))
  const model = await beginLoading(location, { quantization, dtype, device })
  showModelWarnings(model)
  const adapters = Object.fromEntries(names.map((name, index) => [name, directories[index] as string]))
  const bar = createBar()
  const onProgress = json ? progressLines() : progressOn(bar)
  const work = (signal: AbortSignal): Promise<EvaluationReport> =>
    evaluate({ ...options, ...behaviourOf(flags), model, tokenizer, adapters, signal, onProgress })
  const found = await untilSignal(work).finally(() => {
    bar.close()
    model.dispose()
  })
  // Adapters are called as they were given, not by the directory that was found.
  const report = {
    ...found,
    models: found.models.map((one) => ({
      ...one,
      ...(named[one.name] !== undefined && { adapter: named[one.name] as string }),
    })),
  }
  const unwritten = await writeFiles(report, flags).then(
    () => undefined,
    (error: unknown) => error,
  )
  for (const { name, warnings = [] } of report.tasks)
    showWarnings({ warnings: warnings.map(({ message }) => `${name}: ${message}`) })
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : evaluationTable(report, paintFor(process.stdout)))
  if (!json && report.behaviour) process.stdout.write(behaviourTables(report.behaviour))
  // What took long to find out is told first, also where a file could not be written or a limit names no metric.
  if (unwritten !== undefined) throw unwritten
  const regressions = regressionsOf(report, limits)
  if (regressions.length > 0) throw new LowrankError('INVALID_DATA', describeRegressions(regressions))
}

async function writeFiles(report: EvaluationReport, { output, html }: Evaluation['flags']): Promise<void> {
  if (output !== undefined) await writeFileAtomic(output, `${JSON.stringify(report, null, 2)}\n`)
  if (html !== undefined) await writeReport(html, { evaluations: [report] })
}

/** A file may ask for it, too. */
function behaviourOf({ behaviour, trainingData }: Evaluation['flags']): Pick<EvaluateModelsOptions, 'behaviour'> {
  if (!behaviour) return {}
  return { behaviour: trainingData === undefined ? {} : { dataset: trainingData } }
}

function progressOn(bar: ReturnType<typeof createBar>): (progress: EvaluationProgress) => void {
  let began = performance.now()
  let of: string | undefined
  return ({ task, model, rows, totalRows, fraction, judge }) => {
    const now = performance.now()
    const doing = `${task}, ${model}${judge ? (judge.step === 'score' ? ', judged' : ', compared') : ''}`
    if (of !== doing) {
      of = doing
      began = now
    }
    const speed = rows === 0 ? '' : `${formatFigure((rows * 1000) / Math.max(1, now - began))} rows/s`
    bar.show({
      label: { text: doing, importance: 3 },
      fraction,
      parts:
        totalRows === 0
          ? []
          : [
              { text: `${String(rows).padStart(String(totalRows).length)}/${totalRows} rows`, importance: 2 },
              ...(judge && judge.cost > 0 ? [{ text: `cost ${formatFigure(judge.cost)}`, importance: 2 }] : []),
              ...(speed === '' ? [] : [{ text: speed, importance: 1 }]),
            ],
    })
  }
}

/** Milliseconds between two lines of the same kind. */
const LINE_INTERVAL = 1000

/** For programs: a line of JSON on stderr where a task, a model or a judge begins or ends, and each second between. */
function progressLines(): (progress: EvaluationProgress) => void {
  let told = Number.NEGATIVE_INFINITY
  let of: string | undefined
  return (progress) => {
    const { task, model, rows, totalRows, judge } = progress
    const doing = JSON.stringify([task, model, judge?.step])
    if (of === doing && rows < totalRows && performance.now() - told < LINE_INTERVAL) return
    of = doing
    told = performance.now()
    process.stderr.write(`${JSON.stringify({ type: 'evaluating', ...progress })}\n`)
  }
}

function describeRegressions(regressions: readonly Regression[]): string {
  const lines = regressions.map(({ task, metric, model, by, limit, pValue }) => {
    if (by === Number.POSITIVE_INFINITY) return `${model}: ${task}/${metric} has no score`
    const sure = pValue === null ? '' : ` (p ${pValue < 0.001 ? 'below 0.001' : pValue.toFixed(3)})`
    return `${model}: ${task}/${metric} is worse by ${formatFigure(by)}, more than ${limit}${sure}`
  })
  return `[eval] expected no metric to get worse by more than --max-regression, got ${lines.length}: ${lines.join('; ')}`
}
