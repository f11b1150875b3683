/** @file A run in a notebook: one bar that moves, and stays with the last figures. */

import { html } from '../report/markup.js'
import { liveDisplay } from './kernel.js'
import { htmlOutput, type NotebookOutput } from './output.js'
import type { FollowedRun, RunEvent } from './run.js'

/** The bar is drawn again after so many milliseconds at the earliest: a notebook keeps up with no more. */
const PAUSE = 250

/** Shows how far a run is until it ends, and gives its result: `const run = await followRun(trainLora({ ... }))`. */
export async function followRun<Result>(run: FollowedRun<Result>): Promise<Result> {
  const place = liveDisplay()
  let drawn = Number.NEGATIVE_INFINITY
  let last: NotebookOutput | undefined
  for await (const event of run) {
    const output = barOf(event)
    if (!output) continue
    last = output
    if (performance.now() - drawn < PAUSE) continue
    drawn = performance.now()
    await place.update(output)
    last = undefined
  }
  if (last) await place.update(last)
  return await run
}

function barOf(event: RunEvent): NotebookOutput | undefined {
  const { type, step, totalSteps, loss, tokensPerSecond } = event
  if (type !== 'step' || step === undefined || totalSteps === undefined || loss === undefined) return undefined
  const text = `step ${step} of ${totalSteps}, loss ${loss.toFixed(3)}, ${Math.round(tokensPerSecond ?? 0)} tokens/s`
  return htmlOutput(html`<progress value="${step}" max="${totalSteps}"></progress> ${text}`, text)
}
