/** @file Trains on rows as they come, says each step, and saves the adapter; goes on where a checkpoint is there. */

import { trainLora } from '../../dist/index.js'

const { model, outputDir, rows, resume } = JSON.parse(process.argv[2])
const dataset = {
  async *[Symbol.asyncIterator]() {
    for (const row of rows) {
      await new Promise((resolve) => setImmediate(resolve))
      yield row
    }
  },
}
const run = await trainLora({
  model,
  dataset,
  outputDir,
  dtype: 'float32',
  threads: 1,
  resumeFromCheckpoint: resume,
  lora: { r: 4, loraAlpha: 8, loraDropout: 0.05 },
  training: {
    streaming: true,
    shuffleBufferSize: 9,
    maxSteps: 24,
    perDeviceTrainBatchSize: 1,
    gradientAccumulationSteps: 3,
    packing: true,
    maxLength: 48,
    saveSteps: 1,
    learningRate: 5e-3,
  },
  onEvent: (event) => {
    if (event.type === 'step') process.stdout.write(`${event.step}\n`)
  },
})
await run.save(`${outputDir}/adapter`)
run.dispose()
