/** @file Pictures by Observable Plot, which the caller imports, drawn without a browser. */

import { loadPeer } from '../data/load-peer.js'
import { wrong } from './check.js'
import { NotebookOutput } from './output.js'
import type { DrawnRun } from './run.js'

/** What is used of `import * as Plot from '@observablehq/plot'`. */
export interface ObservablePlot {
  plot(options: Record<string, unknown>): { readonly outerHTML: string }
  lineY(data: readonly object[], options: Record<string, unknown>): object
}

/**
 * A picture by the options of `Plot.plot`, as SVG.
 * @param text what it shows, for where it cannot be seen
 * @throws where linkedom, which stands in for a browser, is not installed
 */
export async function plot(
  Plot: Pick<ObservablePlot, 'plot'>,
  options: Readonly<Record<string, unknown>>,
  text: string,
): Promise<NotebookOutput> {
  if (typeof Plot?.plot !== 'function')
    throw wrong(
      "[plot] expected the module of Observable Plot for Plot, got another value; import * as Plot from '@observablehq/plot'",
    )
  const { parseHTML } = await loadPeer<typeof import('linkedom')>('linkedom', 'to draw')
  const { document } = parseHTML('<!doctype html><html><body></body></html>')
  const picture = Plot.plot({ ...options, document }).outerHTML
  const isSvg = picture.startsWith('<svg')
  const svg =
    isSvg && !picture.includes('xmlns=') ? picture.replace('<svg', '<svg xmlns="http://www.w3.org/2000/svg"') : picture
  return new NotebookOutput({ [isSvg ? 'image/svg+xml' : 'text/html']: svg, 'text/plain': text })
}

/**
 * The losses of runs over their steps, and of evaluations as dashed lines.
 * @param runs by the name that the picture gives them
 */
export async function lossChart(
  Plot: ObservablePlot,
  runs: Readonly<Record<string, DrawnRun>>,
): Promise<NotebookOutput> {
  const lossesOf = (type: string): { run: string; step: number; loss: number }[] =>
    Object.entries(runs).flatMap(([run, { history }]) =>
      history.flatMap((event) =>
        event.type === type && event.step !== undefined && event.loss !== undefined
          ? [{ run, step: event.step, loss: event.loss }]
          : [],
      ),
    )
  const trained = lossesOf('log')
  const evaluated = lossesOf('evaluate')
  if (trained.length === 0)
    throw wrong('[lossChart] expected runs with log events, got none; await the run, or set loggingSteps')
  const channels = { x: 'step', y: 'loss', z: 'run', stroke: 'run' }
  const last = Object.keys(runs).map((run) => {
    const own = trained.filter((point) => point.run === run)
    return `${run}: loss ${own[0]?.loss.toFixed(3)} to ${own.at(-1)?.loss.toFixed(3)}`
  })
  const options = {
    width: 560,
    height: 260,
    grid: true,
    color: { legend: Object.keys(runs).length > 1, domain: Object.keys(runs) },
    marks: [
      Plot.lineY(trained, { ...channels, strokeWidth: 2 }),
      Plot.lineY(evaluated, { ...channels, strokeDasharray: '4 3', marker: 'circle' }),
    ],
  }
  return await plot(Plot, options, last.join('\n'))
}
