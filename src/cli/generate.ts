/** @file `lowrank generate`: a model, with an adapter if one is given, continues a text. */

import { LoraAdapter } from '../adapters/lora-adapter.js'
import { beginLoading } from '../checkpoint/load-model.js'
import { SAMPLING_OPTIONS } from '../decoding/sampling-options.js'
import { type GeneratedText, streamText, type TextGenerationOptions } from '../generation/generate-text.js'
import { MODEL_OPTIONS } from '../nn/model-options.js'
import type { Quantization } from '../nn/module.js'
import { check } from '../options/rules.js'
import { DEVICE_NAMES, type DeviceName, namesDevice } from '../tensor/device.js'
import { COMPUTE_DTYPES, type ComputeDType, isComputeDType } from '../tensor/dtype.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import { expectModel, locateModel, tokenizerPlace } from './locate-model.js'
import { SAMPLING_FLAGS, type SamplingFlags } from './sampling-flags.js'
import { showModelWarnings, showWarnings } from './show-warnings.js'
import { inputText } from './standard-input.js'
import { checkAll, UsageError } from './usage-error.js'

interface GenerateCommandOptions extends SamplingFlags {
  readonly model?: string
  readonly revision?: string
  readonly adapter?: string
  readonly quantization?: string
  readonly dtype?: string
  readonly device?: string
  readonly prompt?: string
  readonly chat?: boolean
  readonly json?: boolean
}

export async function generate(options: GenerateCommandOptions): Promise<void> {
  const { quantization, dtype, device, sampling } = readRunFlags('generate', options)
  const prompt = options.prompt ?? (await promptFromStdin())
  const location = await locateModel('generate', {
    ...options,
    adapters: options.adapter === undefined ? [] : [options.adapter],
  })
  const tokenizer = await loadTokenizer(await tokenizerPlace(location, options.adapter))
  if (!options.chat && tokenizer.encode(prompt).length === 0)
    throw new UsageError(
      '[generate] expected a prompt of at least one token, got an empty one; add --prompt TEXT, or pipe a text in',
    )
  const model = await beginLoading(location, { quantization, dtype, device })
  showModelWarnings(model)
  if (options.adapter !== undefined) showWarnings(await LoraAdapter.load(model, options.adapter))
  const started = performance.now()
  const pieces = streamText(model, tokenizer, options.chat ? [{ role: 'user', content: prompt }] : prompt, sampling)
  const answer = await showAnswer(pieces, options.json === true)
  if (!options.json) return
  const seconds = (performance.now() - started) / 1000
  const { text, ids, promptTokens, finishReason } = answer
  const result = {
    prompt,
    text,
    promptTokens,
    newTokens: ids.length,
    finishReason,
    tokensPerSecond: ids.length / seconds,
  }
  process.stdout.write(`${JSON.stringify(result)}\n`)
}

/** Writes an answer to stdout as it comes, unless it is for a program: then nothing. */
export async function showAnswer(
  pieces: AsyncGenerator<string, GeneratedText, undefined>,
  json: boolean,
): Promise<GeneratedText> {
  for (;;) {
    const next = await pieces.next()
    if (!json) process.stdout.write(next.done ? '\n' : next.value)
    if (next.done) return next.value
  }
}

/** @throws UsageError on another name than that of a quantisation. */
export function quantizationOf(command: string, value: string | undefined): Quantization | undefined {
  try {
    if (value !== undefined) check(command, 'quantization', value, MODEL_OPTIONS.quantization.rule)
    return value as Quantization | undefined
  } catch (cause) {
    throw new UsageError((cause as Error).message.replace(' for quantization,', ' for --quantization,'), { cause })
  }
}

/** @throws UsageError on another name than that of a dtype that models compute in. */
export function dtypeOf(command: string, value: string | undefined): ComputeDType | undefined {
  if (value === undefined || isComputeDType(value)) return value
  throw new UsageError(`[${command}] expected ${COMPUTE_DTYPES.join(', ')} for --dtype, got '${value}'`)
}

/** @throws UsageError on what is no name of a device. */
export function deviceOf(command: string, value: string | undefined): DeviceName | undefined {
  if (value === undefined || namesDevice(value)) return value as DeviceName | undefined
  throw new UsageError(`[${command}] expected ${DEVICE_NAMES} for --device, got '${value}'`)
}

/** Piped text without its last line break, which is the shell's and not the user's. */
async function promptFromStdin(): Promise<string> {
  if (process.stdin.isTTY) throw new UsageError('[generate] expected --prompt TEXT, or a text on stdin; got neither')
  return (await inputText('generate')).replace(/\r?\n$/, '')
}

/** What `generate` and `chat` say of how a model is held and how it answers. */
interface RunFlags extends SamplingFlags {
  readonly model?: string
  readonly adapter?: string | readonly string[]
  readonly quantization?: string
  readonly dtype?: string
  readonly device?: string
}

/** @throws UsageError that names every value out of range, before anything is loaded. */
export function readRunFlags(
  command: string,
  flags: RunFlags,
): {
  quantization: Quantization | undefined
  dtype: ComputeDType | undefined
  device: DeviceName | undefined
  sampling: TextGenerationOptions
} {
  checkAll(command, [
    () => expectModel(command, flags.model, [flags.adapter ?? []].flat()),
    () => quantizationOf(command, flags.quantization),
    () => dtypeOf(command, flags.dtype),
    () => deviceOf(command, flags.device),
    ...SAMPLING_FLAGS.map(
      ([name, flag]) =>
        () =>
          checkSampling(command, name, flag, flags[name]),
    ),
    () => {
      if (flags.stop.includes('')) throw new UsageError(`[${command}] expected a text that is not empty for --stop`)
    },
  ])
  const { maxNewTokens, stop, temperature, topK, topP, minP, repetitionPenalty, seed } = flags
  const choice = temperature === 0 ? { doSample: false } : { temperature }
  const drawing = (
    [
      ['--top-k', topK],
      ['--top-p', topP],
      ['--min-p', minP],
    ] as const
  ).filter(([, value]) => value !== undefined)
  if (temperature === 0 && drawing.length > 0) {
    const names = drawing.map(([flag]) => flag).join(' and ')
    throw new UsageError(
      `[${command}] expected ${names} with a --temperature above 0, got 0, which always takes the most likely token; remove one`,
    )
  }
  return {
    quantization: quantizationOf(command, flags.quantization),
    dtype: dtypeOf(command, flags.dtype),
    device: deviceOf(command, flags.device),
    sampling: {
      ...choice,
      topK,
      topP,
      minP,
      repetitionPenalty,
      seed,
      maxNewTokens,
      stopStrings: stop.length > 0 ? stop : undefined,
    },
  }
}

function checkSampling(
  command: string,
  name: (typeof SAMPLING_FLAGS)[number][0],
  flag: string,
  value: number | undefined,
): void {
  if (value === undefined || (name === 'temperature' && value === 0)) return
  try {
    check(command, flag, value, SAMPLING_OPTIONS[name].rule)
  } catch (cause) {
    const said = (cause as Error).message.replace('doSample: false takes', '0 takes')
    throw new UsageError(said, { cause })
  }
}
