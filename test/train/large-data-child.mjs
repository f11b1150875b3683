/**
 * @file Trains five steps on a file of rows in a process of its own, and prints the most memory that it had resident,
 * in MiB, with the rows and tokens that it read.
 */

import { trainLora } from '../../dist/index.js'

const { model, dataset, dataMemory, outputDir } = JSON.parse(process.argv[2])
const run = await trainLora({
  model,
  dataset,
  outputDir,
  threads: 1,
  dtype: 'float32',
  lora: { r: 2 },
  training: {
    maxSteps: 5,
    maxLength: 256,
    chatTemplate: 'chatml',
    perDeviceTrainBatchSize: 2,
    gradientAccumulationSteps: 1,
    dataMemory,
  },
})
const { rows, tokens } = run.statistics
run.dispose()
console.log(JSON.stringify({ resident: process.resourceUsage().maxRSS / 1024, rows, tokens }))
