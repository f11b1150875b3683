// @ts-check
/** @file Trains in a worker thread and posts its events; ends by itself, or when its parent terminates it. */

import { parentPort, workerData } from 'node:worker_threads'
import { trainLora } from '../../dist/index.js'

const { save, ...options } = workerData
const run = await trainLora({ ...options, onEvent: (event) => parentPort?.postMessage(event) })
await run.save(save)
run.dispose()
