/**
 * @file Shows a training run while it goes on: a bar on a terminal, a line now and then in a log file, JSON lines for
 * programs.
 */

import { SingleBar } from 'cli-progress'
import { formatBytes } from '../bytes.js'
import type { DownloadEvent } from '../hub/fetch-model.js'
import type { StepEvent, TrainEvent } from '../train/events.js'
import { describeSwitch, formatCount, formatDuration, type Output, paintFor } from './terminal.js'

export interface ProgressOptions {
  /** Where bar and lines go. Default stderr, so that stdout holds results only. */
  stream?: Output
  /** Write every event as a line of JSON to `jsonStream` (default stdout), and nothing else. */
  json?: boolean
  jsonStream?: Output
  /** Without a terminal: seconds between two lines. Default 10. */
  intervalSeconds?: number
  /** A clock in milliseconds, for tests. */
  now?: () => number
}

/** Pass `onEvent` to `trainLora`. */
export interface ProgressDisplay {
  readonly onEvent: (event: TrainEvent) => void
  /** Leaves the terminal as it was, whether or not the run came to its end. */
  stop(): void
}

export function createProgress(options: ProgressOptions = {}): ProgressDisplay {
  const { stream = process.stderr, json = false, jsonStream = process.stdout } = options
  if (json) return { onEvent: (event) => jsonStream.write(`${JSON.stringify(event)}\n`), stop: () => {} }
  return stream.isTTY === true ? barDisplay(stream) : lineDisplay(stream, options)
}

function lineDisplay(
  stream: Output,
  { intervalSeconds = 10, now = () => performance.now() }: ProgressOptions,
): ProgressDisplay {
  let lastLine = Number.NEGATIVE_INFINITY
  return {
    onEvent: (event) => {
      const text = lineOf(event)
      if (text === undefined) return
      if (isFrequent(event) && now() - lastLine < intervalSeconds * 1000) return
      if (event.type === 'step' || event.type === 'download') lastLine = now()
      stream.write(`${text}\n`)
    },
    stop: () => {},
  }
}

const BAR = {
  barCompleteChar: '\u2588',
  barIncompleteChar: '\u2591',
  barsize: 24,
  hideCursor: true,
  clearOnComplete: false,
  gracefulExit: false,
} as const

function barDisplay(stream: Output): ProgressDisplay {
  const paint = paintFor(stream)
  const bar = new SingleBar({
    stream: stream as NodeJS.WriteStream,
    format: `${paint('green', '{bar}')} {value}/{total}  ${paint('bold', 'loss {loss}')}  {speed}  ${paint('dim', '{left}')}`,
    ...BAR,
  })
  const download = new SingleBar({
    stream: stream as NodeJS.WriteStream,
    format: `${paint('green', '{bar}')} {bytes} of {of}  {model}`,
    ...BAR,
  })
  let running = false
  // A line above the bar: the bar's own line is overwritten, and the bar drawn again below.
  const announce = (text: string): void => {
    stream.write(running ? `\r\u001b[K${text}\n` : `${text}\n`)
    if (running) bar.render()
  }
  const stop = (): void => {
    if (download.isActive) download.stop()
    if (running) bar.stop()
    running = false
  }
  return {
    onEvent: (event) => {
      if (event.type === 'download') {
        showDownload(download, event)
        return
      }
      if (event.type === 'step') {
        bar.update(event.step, {
          loss: event.loss.toFixed(3),
          speed: `${formatCount(event.tokensPerSecond)} tokens/s`,
          left: `${formatDuration(event.etaSeconds)} left`,
        })
        return
      }
      if (event.type === 'end') stop()
      const text = milestone(event)
      if (text !== undefined) announce(paint('cyan', text))
      if (event.type === 'start') {
        bar.start(event.totalSteps, event.step, { loss: '-', speed: '- tokens/s', left: '' })
        running = true
      }
    },
    stop,
  }
}

function showDownload(bar: SingleBar, { model, bytes, totalBytes }: DownloadEvent): void {
  const shown = { bytes: formatBytes(bytes), of: formatBytes(totalBytes), model }
  if (bar.isActive) bar.update(bytes, shown)
  else bar.start(totalBytes, bytes, shown)
  if (bytes === totalBytes) bar.stop()
}

function lineOf(event: TrainEvent): string | undefined {
  if (event.type === 'step') return stepLine(event)
  return event.type === 'download' ? downloadLine(event) : milestone(event)
}

/** Whether the line of the event may be left out, because another one of its kind follows. */
function isFrequent(event: TrainEvent): boolean {
  if (event.type === 'download') return event.bytes > 0 && event.bytes < event.totalBytes
  return event.type === 'step' && event.step < event.totalSteps
}

function downloadLine({ model, files, bytes, totalBytes }: DownloadEvent): string {
  const what = `${files} ${files === 1 ? 'file' : 'files'} of ${model}`
  return bytes < totalBytes
    ? `Fetching ${what}: ${formatBytes(bytes)} of ${formatBytes(totalBytes)}`
    : `Fetched ${what}, ${formatBytes(totalBytes)}`
}

function stepLine(event: StepEvent): string {
  return [
    `step ${event.step}/${event.totalSteps}`,
    `epoch ${event.epoch.toFixed(2)}`,
    `loss ${event.loss.toFixed(4)}`,
    `lr ${event.learningRate.toExponential(2)}`,
    `${formatCount(event.tokensPerSecond)} tokens/s`,
    `${formatDuration(event.etaSeconds)} left`,
    ...(event.skipped ? [`skipped: the gradient overflowed at a loss scale of ${event.lossScale}`] : []),
  ].join('  ')
}

/** What every reader wants to see, whatever the interval; undefined for events that have no line of their own. */
function milestone(event: Exclude<TrainEvent, { type: 'step' | 'download' }>): string | undefined {
  switch (event.type) {
    case 'prepare':
      return undefined
    case 'data':
      return event.warnings.length === 0
        ? undefined
        : event.warnings.map(({ message }) => `Data (${event.split}): ${message}`).join('\n')
    case 'start': {
      const share = ((100 * event.trainableParameters) / event.totalParameters).toFixed(2)
      const resumed = event.step > 0 ? `, resumed at step ${event.step}` : ''
      const base = event.quantization ? `, the others in ${event.quantization},` : ''
      const held = event.evalRows > 0 ? `, ${formatCount(event.evalRows)} to evaluate on` : ''
      return (
        `Training ${formatCount(event.trainableParameters)} of ${formatCount(event.totalParameters)} parameters (${share} %)${base} ` +
        `on ${formatCount(event.trainRows)} rows${held}: ${formatCount(event.totalSteps)} steps${resumed}\n` +
        `Takes about ${formatBytes(event.plannedMemory)} of ${event.device === 'cpu' ? 'memory' : `memory on ${event.device}`}, gradient checkpointing ${describeSwitch(event.gradientCheckpointing)}`
      )
    }
    case 'log':
      return undefined
    case 'evaluate':
      return `step ${event.step}: held-out loss ${event.loss.toFixed(4)}, perplexity ${event.perplexity.toFixed(3)} over ${formatCount(event.tokens)} tokens`
    case 'save':
      return `step ${event.step}: saved ${event.path}`
    case 'warning':
      return event.message
    case 'end':
      return `${event.reason === 'aborted' ? 'Stopped' : 'Done'} after ${event.step} steps in ${formatDuration(event.seconds)}, mean loss ${event.loss.toFixed(4)}`
    default:
      return event satisfies never
  }
}
