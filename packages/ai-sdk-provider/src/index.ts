/** @file The public API of `@lowrank/ai-sdk-provider`. */

export {
  createLowrank,
  type LowrankModelOptions,
  type LowrankProvider,
  type LowrankProviderOptions,
  lowrank,
} from './provider.js'
export { type RecordedRow, type RecordMiddleware, type RecordOptions, record } from './record.js'
