/** @file The public API of `lowrank/notebook`; re-exports alone. */
/// <reference types="node" preserve="true" />

export { type ErrorCode, type ErrorDetails, LowrankError } from './lowrank-error.js'
export { followRun } from './notebook/follow-run.js'
export { display, type LiveDisplay, liveDisplay } from './notebook/kernel.js'
export { NotebookOutput, type OutputData, showTable } from './notebook/output.js'
export { lossChart, type ObservablePlot, plot } from './notebook/plot.js'
export type { DrawnRun, FollowedRun, RunEvent } from './notebook/run.js'
export { type Decoder, type MaskedRow, showMask } from './notebook/show-mask.js'
