/**
 * @file What the events of a run are called in words: the lines that stay, and the bar below them. Numbers keep their
 * places.
 */

import { basename } from 'node:path'
import { formatBytes } from '../bytes.js'
import type { DownloadEvent } from '../hub/download-event.js'
import type {
  DataEvent,
  EndEvent,
  EvaluateEvent,
  EvaluatingEvent,
  LogEvent,
  PrepareEvent,
  PresetEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
} from '../train/events.js'
import type { Bar } from './progress-bar.js'
import { describeSwitch, formatCount, formatDuration, formatFigure, type Style } from './terminal.js'
import { cutToWidth, FIXED_BLANK } from './text-width.js'

/** A line that stays, or several. */
export interface EventLine {
  readonly text: string
  readonly style?: Style
}

/** Events that tell how far something is; the next of their kind replaces them. */
export type MovingEvent = DownloadEvent | PrepareEvent | EvaluatingEvent

const COUNT_WIDTH = 7
const DURATION_WIDTH = 11
const FIGURE_WIDTH = 8
/** Columns of a sample prompt, and of its answer. */
const SAMPLE_WIDTH = 48
const LOSS_WIDTH = 'loss 12.3456'.length

/** The lines of an event; none for those that only move a bar. */
export function linesOf(event: TrainEvent): EventLine[] {
  switch (event.type) {
    case 'preset':
      return [{ text: presetText(event) }]
    case 'download':
      return event.bytes === event.totalBytes ? [{ text: movingLine(event) }] : []
    case 'load':
    case 'prepare':
    case 'step':
    case 'evaluating':
      return []
    case 'data':
      return dataLines(event)
    case 'start':
      return [{ text: startLine(event), style: 'cyan' }]
    case 'log':
      return [{ text: logLine(event) }]
    case 'evaluate':
      return [{ text: evaluateLine(event), style: 'cyan' }, ...sampleLines(event)]
    // What a program saves behind the run it tells of itself.
    case 'save':
      return event.kind === 'checkpoint' ? [{ text: `${stepOf(event)}  saved ${event.path}` }] : []
    case 'end':
      return [endLine(event)]
    // The error itself is shown where the run's rejection is.
    case 'fail':
      return []
    case 'warning':
      return [{ text: `warning: ${event.message}`, style: 'yellow' }]
    default:
      return event satisfies never
  }
}

/** A recipe by its name, with what is done in another way here. */
export function presetText({
  name,
  description,
  differences,
}: Omit<PresetEvent, 'type' | 'name'> & { name: string }): string {
  return [`Preset ${name}: ${description}`, ...differences.map((line) => `  here: ${line}`)].join('\n')
}

/** How far something is, as a line for where no bar can be. */
export function movingLine(event: MovingEvent): string {
  switch (event.type) {
    case 'download': {
      const { model, files, bytes, totalBytes } = event
      const what = `${files} ${files === 1 ? 'file' : 'files'} of ${model}`
      return bytes < totalBytes
        ? `Fetching ${what}: ${formatBytes(bytes)} of ${formatBytes(totalBytes)}`
        : `Fetched ${what}, ${formatBytes(totalBytes)}`
    }
    case 'prepare': {
      const share = event.fraction === undefined ? '' : ` (${percent(event.fraction)})`
      return `Encoding ${dataName(event)}: ${formatCount(event.rows)} rows${share}`
    }
    case 'evaluating':
      return `${stepOf(event)}  scored ${formatCount(event.rows)} of ${formatCount(event.totalRows)} rows`
    default:
      return event satisfies never
  }
}

/** The bar of an event; undefined for events that have none. */
export function barOf(event: TrainEvent): Bar | undefined {
  switch (event.type) {
    case 'download': {
      const { model, bytes, totalBytes } = event
      const total = formatBytes(totalBytes)
      return {
        label: { text: 'Fetching', importance: 1 },
        fraction: totalBytes === 0 ? 1 : bytes / totalBytes,
        parts: [
          { text: `${formatBytes(bytes).padStart(total.length)} of ${total}`, style: 'bold', importance: 3 },
          { text: model, style: 'dim', importance: 2 },
        ],
      }
    }
    case 'load':
      return {
        label: { text: 'Loading', importance: 3 },
        fraction: undefined,
        parts: [{ text: nameOf(event.model), importance: 2 }],
      }
    case 'prepare':
      return {
        label: { text: `Encoding ${dataName(event)}`, importance: 2 },
        fraction: event.fraction,
        parts: [
          { text: `${formatCount(event.rows).padStart(COUNT_WIDTH)} rows`, style: 'bold', importance: 3 },
          ...(event.fraction === undefined ? [] : [{ text: percent(event.fraction).padStart(5), importance: 1 }]),
        ],
      }
    case 'evaluating':
      return {
        label: { text: 'Evaluating', importance: 2 },
        fraction: event.rows / event.totalRows,
        parts: [{ text: countOf(event.rows, event.totalRows, ' rows'), style: 'bold', importance: 3 }],
      }
    case 'start':
      return stepBar(event)
    case 'step':
      return stepBar(event, event)
    default:
      return undefined
  }
}

function stepBar({ step, totalSteps }: StartEvent | StepEvent, figures?: StepEvent): Bar {
  const left = figures ? formatDuration(figures.etaSeconds) : '?'
  return {
    label: { text: 'Training', importance: 1 },
    fraction: totalSteps === 0 ? 1 : step / totalSteps,
    parts: [
      { text: countOf(step, totalSteps), importance: 5 },
      {
        text: `loss ${figures ? formatFigure(figures.loss) : '-'}`.padEnd(LOSS_WIDTH),
        style: 'bold',
        importance: 4,
      },
      {
        text: `${(figures ? formatCount(figures.tokensPerSecond) : '-').padStart(COUNT_WIDTH)} tokens/s`,
        importance: 2,
      },
      { text: `${left.padStart(DURATION_WIDTH)} left`, style: 'dim', importance: 3 },
    ],
  }
}

function startLine(event: StartEvent): string {
  const { step, trainableParameters, totalParameters, quantization, device } = event
  const share = ((100 * trainableParameters) / totalParameters).toFixed(2)
  const resumed = step > 0 ? `, resumed at step ${step}` : ''
  const base = quantization ? `, the others in ${quantization},` : ''
  const held = event.evalRows > 0 ? `, ${formatCount(event.evalRows)} to evaluate on` : ''
  return (
    `Training ${formatCount(trainableParameters)} of ${formatCount(totalParameters)} parameters (${share} %)${base} ` +
    `on ${rowsLine(event)}${held}: ${counted(event.totalSteps, 'step')}${resumed}\n` +
    `Takes about ${formatBytes(event.plannedMemory)} of ${device === 'cpu' ? 'memory' : `memory on ${device}`}, gradient checkpointing ${describeSwitch(event.gradientCheckpointing)}`
  )
}

function rowsLine({ trainRows, streaming }: StartEvent): string {
  const rows = trainRows === null ? 'rows' : counted(trainRows, 'row')
  if (streaming === undefined) return rows
  const { shuffleBufferSize, plannedLength } = streaming
  return `${rows} as they come (a buffer of ${formatCount(shuffleBufferSize)}, memory for rows of ${formatCount(plannedLength)} tokens)`
}

function dataLines(event: DataEvent): EventLine[] {
  const { rows, rowsCutToNothing, rowsWithoutTarget, skippedRows = 0, tokens, maxLength, clippedMaxLength } = event
  const { ignoredColumns, warnings, isCached, isPartial } = event
  const kept = rows - rowsCutToNothing - rowsWithoutTarget - skippedRows
  const used = kept === rows ? '' : `, ${formatCount(kept)} of them used`
  const isWarned = warnings.some(({ code }) => code === 'maxLengthClipped')
  const limit = clippedMaxLength && !isWarned ? `, maxLength ${maxLength} (the longest that the model takes)` : ''
  const ignored = ignoredColumns ? `; columns not used: ${ignoredColumns.join(', ')}` : ''
  const account = `Data (${event.split}): ${counted(rows, 'row')}${used}, ${formatCount(tokens)} tokens${limit}${isCached ? ', encoded by an earlier run' : ''}${isPartial ? '; not all were taken' : ''}${ignored}`
  return [
    { text: account },
    ...warnings.map(({ message }) => ({
      text: `warning: data (${event.split}): ${message}`,
      style: 'yellow' as const,
    })),
  ]
}

function logLine(event: LogEvent): string {
  return fields([
    stepOf(event),
    `loss ${formatFigure(event.loss).padStart(FIGURE_WIDTH)}`,
    `lr ${event.learningRate.toExponential(2)}`,
    `grad ${formatFigure(event.gradNorm).padStart(FIGURE_WIDTH)}`,
    `${formatCount(event.tokensPerSecond).padStart(COUNT_WIDTH)} tokens/s`,
    ...figureTexts(event),
    ...(event.skippedSteps ? [`${event.skippedSteps} skipped at a loss scale of ${event.lossScale}`] : []),
  ])
}

function evaluateLine(event: EvaluateEvent): string {
  const { loss, perplexity, tokens } = event
  return fields([
    stepOf(event),
    ...(!Number.isFinite(loss) ? [] : [`held-out loss ${formatFigure(loss).padStart(FIGURE_WIDTH)}`]),
    ...(perplexity === undefined ? [] : [`perplexity ${formatFigure(perplexity)}`]),
    ...figureTexts(event),
    ...partTexts(event),
    ...(!Number.isFinite(loss) ? [] : [`${formatCount(tokens)} tokens`]),
    ...verdictTexts(event),
  ])
}

/** Each answer in a line of its own; the whole ones are in samples.jsonl. */
function sampleLines({ samples = [] }: EvaluateEvent): EventLine[] {
  const short = (text: string): string => cutToWidth(text.trim().replace(/\s+/g, ' '), SAMPLE_WIDTH)
  return samples.map(({ prompt, text }) => ({ text: `  ${short(prompt)} -> ${short(text)}`, style: 'dim' }))
}

/** The scores of data sets of several, and of tasks: what is not told of all held-out rows. */
function partTexts({ metrics = {}, figures = {} }: EvaluateEvent): string[] {
  const told = new Set(['loss', 'perplexity', ...Object.keys(figures)])
  return Object.entries(metrics).flatMap(([key, value]) => {
    const name = key.replace(/^eval_/, '')
    // The perplexity of a data set says what its loss says.
    const isDoubled = name.endsWith('_perplexity') && Object.hasOwn(metrics, key.replace(/perplexity$/, 'loss'))
    return told.has(name) || isDoubled ? [] : [`${name} ${formatFigure(value ?? Number.NaN)}`]
  })
}

function verdictTexts({ isBest, best, earlyStopping }: EvaluateEvent): string[] {
  if (earlyStopping && earlyStopping.counter > 0)
    return [`no improvement ${earlyStopping.counter}/${earlyStopping.patience}`, ...(isBest ? ['best'] : [])]
  return best === undefined || !isBest ? [] : ['best']
}

function figureTexts({ figures = {} }: LogEvent | EvaluateEvent): string[] {
  return Object.entries(figures).map(([name, value]) => `${name} ${formatFigure(value)}`)
}

/** Lines are broken between fields and not in them. */
function fields(texts: readonly string[]): string {
  return texts.map((text) => text.replaceAll(' ', FIXED_BLANK)).join('  ')
}

function endLine(event: EndEvent): EventLine {
  const { reason, step, totalSteps, loss, seconds, dataSeconds } = event
  const early = earlyText(event)
  if (loss === undefined) {
    if (early !== '') return { text: `Already complete${early}; nothing was left to train`, style: 'green' }
    if (reason === 'aborted') return { text: `Stopped at step ${step} of ${totalSteps}`, style: 'yellow' }
    const more = step > totalSteps ? `, more than the ${totalSteps} that were asked for` : ` of ${totalSteps} steps`
    return { text: `Already complete: ${step}${more}; nothing was left to train`, style: 'green' }
  }
  // How long the run may have waited for rows.
  const ofRows =
    dataSeconds === undefined ? '' : `, rows took ${formatShare(dataSeconds / Math.max(seconds, dataSeconds))}`
  const mean = `in ${formatDuration(seconds)}, mean loss ${formatFigure(loss)}${ofRows}`
  return reason === 'aborted'
    ? { text: `Stopped after ${step} of ${totalSteps} steps ${mean}`, style: 'yellow' }
    : { text: `Done after ${counted(step, 'step')} ${mean}${early}${loadedText(event)}`, style: 'green' }
}

function earlyText({ step, totalSteps, earlyStopping, best }: EndEvent): string {
  if (earlyStopping === undefined) return ''
  const what = best === undefined ? 'nothing' : best.metric
  return `\nStopped early at step ${step} of ${totalSteps}: ${what} did not improve in ${counted(earlyStopping.counter, 'evaluation')}`
}

function loadedText({ best, loadedStep, step }: EndEvent): string {
  if (best === undefined || loadedStep === undefined) return ''
  const whose = loadedStep === step ? 'the last step' : `step ${loadedStep}`
  return `\nThe weights are those of ${whose}, the best by ${best.metric}${best.step === loadedStep ? `: ${formatFigure(best.value)}` : ''}`
}

function formatShare(share: number): string {
  return `${(100 * (share || 0)).toFixed(2)} %`
}

/** `step  5/40`: as wide at the first step as at the last. */
function stepOf({ step, totalSteps }: { step: number; totalSteps: number }): string {
  return `step ${countOf(step, totalSteps)}`
}

function countOf(count: number, total: number, unit = ''): string {
  return `${String(count).padStart(String(total).length)}/${total}${unit}`
}

function dataName({ split }: PrepareEvent): string {
  return split === 'eval' ? 'held-out rows' : 'rows'
}

/** `1 row`, `1,234 rows`. */
function counted(count: number, what: string): string {
  return `${formatCount(count)} ${count === 1 ? what : `${what}s`}`
}

/** The last name of a path; ids of the Hub stay. */
function nameOf(model: string): string {
  return /^[^/.~][^/]*\/[^/]+$/.test(model) ? model : basename(model)
}

function percent(fraction: number): string {
  return `${Math.floor(100 * fraction)} %`
}
