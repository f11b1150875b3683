/**
 * @file Curves over the steps of a run as SVG. The field of the curves stretches to any width; letters and strokes do
 * not. Linear and logarithmic, raw and smoothed curves all stand in it, and style alone shows one or the other.
 */

import { canSmooth, downsample, type Points, smooth } from './downsample.js'
import { figure } from './figures.js'
import { type Content, html, type Markup, trusted } from './markup.js'
import { linearTicks, logTicks, type Scale, scaleOf } from './scale.js'

/** One curve. */
export interface Series extends Points {
  readonly name: string
  /** Which of the eight colours. */
  readonly color: number
  /** Whether each value gets a dot, as of the few evaluations of a run. */
  readonly hasDots?: boolean
  /** Whether it is smoothed on request: what is measured on few rows, not what is computed. */
  readonly isNoisy?: boolean
}

/** What a chart shows. */
export interface LineChart {
  /** Unique in a page; letters alone. */
  readonly id: string
  readonly title: string
  /** Behind the title, in small letters. */
  readonly note?: string
  readonly series: readonly Series[]
  readonly isWide?: boolean
}

/** More points of a curve are not drawn. */
export const MOST_POINTS = 1000
const WIDTH = 1000
const HEIGHT = 220
/** Rows of the table below a chart. */
const MOST_ROWS = 40

/** The chart; undefined where no curve has a value. */
export function lineChart({ id, title, note, series: given, isWide }: LineChart): Markup | undefined {
  const series = given
    .map((each) => ({ ...each, y: each.y.map((value) => (value !== null && Number.isFinite(value) ? value : null)) }))
    .filter(({ y }) => y.some((value) => value !== null))
  if (series.length === 0) return undefined
  const drawn = series.map((each) => ({ ...each, ...downsample(each, MOST_POINTS) }))
  const smoothed = series.map((each) =>
    each.isNoisy && canSmooth(each) ? downsample(smooth(each), MOST_POINTS) : undefined,
  )
  const x = rangeOf(drawn.flatMap((each) => each.x))
  const values = drawn.flatMap(({ y }) => y.filter((value) => value !== null))
  const linear = scaleOf(values, 'linear')
  const logarithmic = values.every((value) => value > 0) ? scaleOf(values, 'log') : undefined
  const scales = [linear, ...(logarithmic ? [logarithmic] : [])]
  const curves = scales.map((scale) =>
    drawn.map((each, index) => {
      const place = (points: Points): Markup => trusted(pathOf(points, x, scale))
      const more = smoothed[index]
      const kind = scale.kind === 'log' ? 'logarithmic' : 'linear'
      return html`<g class="${kind} m${each.color}">${html`<path class="curve${more ? ' noisy' : ''}" d="${place(each)}"/>`}${each.hasDots && html`<path class="dots" d="${trusted(dotsOf(each, x, scale))}"/>`}${
        more && html`<path class="curve smoothed" d="${place(more)}"/>`
      }</g>`
    }),
  )
  const data = JSON.stringify({
    x,
    height: HEIGHT,
    scales: scales.map(({ kind, low, high }) => ({ kind, low, high })),
    series: drawn.map((each) => ({ name: each.name, x: each.x, y: each.y.map((value) => rounded(value)) })),
  })
  const isLong = x.high > x.low
  return html`<figure class="chart card${isWide ? ' wide' : ''}" id="${id}">
<div class="bar"><figcaption>${title}${note !== undefined && html` <small>${note}</small>`}</figcaption>
<div class="switches">${
    smoothed.some((each) => each) && html`<label><input type="checkbox" class="smooth-on" checked>Smooth</label>`
  }${logarithmic && html`<label><input type="checkbox" class="log-on">Log scale</label>`}</div></div>
<div class="plot"><svg width="100%" height="${HEIGHT}" aria-hidden="true">${scales.map(yLabels)}</svg>
<svg class="field" width="100%" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${summary(title, series)}" data-chart="${data}">${scales.map(
    gridLines,
  )}${curves}</svg>
<span></span><svg width="100%" height="22" aria-hidden="true">${
    isLong ? xLabels(x) : html`<text x="50%" y="16" text-anchor="middle">${figure(x.low)}</text>`
  }</svg></div>
<ul class="legend" aria-live="polite"><li class="muted">step <b class="at">${figure(x.high)}</b></li>${drawn.map(
    (each) =>
      html`<li class="m${each.color}"><span class="swatch"></span>${each.name} <b class="value">${figure(each.y.findLast((value) => value !== null))}</b></li>`,
  )}</ul>
${valuesTable(title, series)}</figure>`
}

interface Range {
  readonly low: number
  readonly high: number
}

function rangeOf(values: readonly number[]): Range {
  const low = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  return { low, high: values.reduce((a, b) => Math.max(a, b), low) }
}

function placeX(value: number, { low, high }: Range): string {
  return (high === low ? WIDTH / 2 : ((value - low) / (high - low)) * WIDTH).toFixed(1)
}

function placeY(value: number, scale: Scale): string {
  return (HEIGHT * (1 - scale.place(value))).toFixed(1)
}

/** A gap begins a new part of the path. A value between two gaps is a short stroke, which is seen. */
function pathOf({ x, y }: Points, range: Range, scale: Scale): string {
  let path = ''
  let isOpen = false
  y.forEach((value, at) => {
    if (value === null) isOpen = false
    else {
      const isAlone = !isOpen && (y[at + 1] ?? null) === null
      path += `${isOpen ? 'L' : 'M'}${placeX(x[at] as number, range)} ${placeY(value, scale)}${isAlone ? 'h.1' : ''}`
      isOpen = true
    }
  })
  return path
}

/** Strokes without a length, whose round ends stay round however the field is stretched. */
function dotsOf({ x, y }: Points, range: Range, scale: Scale): string {
  return y
    .map((value, at) => (value === null ? '' : `M${placeX(x[at] as number, range)} ${placeY(value, scale)}h.01`))
    .join('')
}

const kindClass = ({ kind }: Scale): string => (kind === 'log' ? 'logarithmic' : 'linear')

function ticksOf(scale: Scale): readonly number[] {
  return scale.kind === 'log' ? logTicks(scale.low, scale.high) : linearTicks(scale.low, scale.high)
}

function yLabels(scale: Scale): Markup {
  const labels = ticksOf(scale).map(
    (tick) => html`<text x="100%" dx="-8" y="${placeY(tick, scale)}" dy="4" text-anchor="end">${figure(tick)}</text>`,
  )
  return html`<g class="${kindClass(scale)}">${labels}</g>`
}

function gridLines(scale: Scale): Markup {
  const lines = ticksOf(scale).map((tick) => {
    const y = placeY(tick, scale)
    return html`<line class="grid" x1="0" x2="${WIDTH}" y1="${y}" y2="${y}"/>`
  })
  return html`<g class="${kindClass(scale)}">${lines}</g>`
}

function xLabels(range: Range): Content {
  // There is no step between two steps.
  const ticks = linearTicks(range.low, range.high).filter((tick) => Number.isInteger(tick))
  return ticks.map((tick) => {
    const share = (tick - range.low) / (range.high - range.low)
    const anchor = share < 0.04 ? 'start' : share > 0.96 ? 'end' : 'middle'
    return html`<text x="${(100 * share).toFixed(2)}%" y="16" text-anchor="${anchor}">${figure(tick)}</text>`
  })
}

/** What a reader without the picture has to know. */
function summary(title: string, series: readonly Series[]): string {
  const parts = series.map(({ name, x, y }) => {
    const there = y.flatMap((value, at) => (value === null ? [] : [{ x: x[at] as number, value }]))
    const [first, last] = [there[0], there.at(-1)]
    const low = there.reduce((a, b) => (b.value < a.value ? b : a))
    const high = there.reduce((a, b) => (b.value > a.value ? b : a))
    return (
      `${name}: ${figure(first?.value)} at step ${figure(first?.x)}, ${figure(last?.value)} at step ${figure(last?.x)}, ` +
      `lowest ${figure(low.value)} at step ${figure(low.x)}, highest ${figure(high.value)} at step ${figure(high.x)}`
    )
  })
  return `${title}. ${parts.join('. ')}.`
}

/** Some of the values as a table, for those who do not see the picture, and on a screen without scripts. */
function valuesTable(title: string, series: readonly Series[]): Markup {
  const steps = [...new Set(series.flatMap(({ x }) => x))].sort((a, b) => a - b)
  const stride = Math.max(1, Math.ceil(steps.length / MOST_ROWS))
  const shown = steps.filter((_, at) => at % stride === 0 || at === steps.length - 1)
  const columns = series.map((each) => ({ name: each.name, by: new Map(each.x.map((x, at) => [x, each.y[at]])) }))
  const left = shown.length < steps.length ? `, ${shown.length} of ${steps.length} steps` : ''
  return html`<details><summary>Values</summary><div class="scroll" tabindex="0" role="region" aria-label="${title}, values"><table>
<caption class="small muted">${title}${left}</caption>
<thead><tr><th scope="col" class="number">Step</th>${columns.map(({ name }) => html`<th scope="col" class="number">${name}</th>`)}</tr></thead>
<tbody>${shown.map(
    (step) =>
      html`<tr><th scope="row" class="number">${figure(step)}</th>${columns.map(({ by }) => html`<td class="number">${figure(by.get(step))}</td>`)}</tr>`,
  )}</tbody></table></div></details>`
}

function rounded(value: number | null): number | null {
  return value === null ? null : Number(value.toPrecision(6))
}
