/** @file `lowrank merge`: a model and its adapter become one model in a directory of its own. */

import { LoraAdapter } from '../adapters/lora-adapter.js'
import { expectEmptyDirectory, MERGE_OPTIONS, type MergeReport } from '../adapters/merge.js'
import { storedNf4Names } from '../checkpoint/bnb-4bit.js'
import { beginLoading } from '../checkpoint/load-model.js'
import type { FileDType } from '../checkpoint/save-model.js'
import { MAX_SHARD_SIZE, openCheckpoint } from '../checkpoint/weights-on-disk.js'
import { isGgufPath } from '../gguf/reader.js'
import type { Quantization } from '../nn/module.js'
import { listOf, text, textOf } from '../options/rules.js'
import { createBar } from '../progress/progress.js'
import { formatCount, type Paint, paintFor } from '../progress/terminal.js'
import type { DeviceName } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import type { Command } from './command.js'
import { ADAPTER, HOLDING_FLAGS, JSON_OBJECT, MODEL_FLAGS, type ModelFlags } from './flags.js'
import { locateModel, tokenizerPlace } from './locate-model.js'
import { showWarnings } from './show-warnings.js'
import { endAtOnce, releaseSignals } from './signal-guard.js'
import { expectResultOnDisk } from './standard-streams.js'
import { commandLine, shown } from './try-it.js'
import { checkAll, UsageError } from './usage-error.js'

interface MergeFlags extends ModelFlags {
  readonly adapter?: string
  readonly output?: string
  readonly dtype?: FileDType
  readonly quantization?: Quantization
  readonly device?: DeviceName
  readonly maxShardSize: string
  readonly prompt: readonly string[]
  readonly json?: boolean
}

interface Checked extends MergeFlags {
  readonly adapter: string
  readonly output: string
}

export const command: Command<MergeFlags, Checked> = {
  summary: 'fold an adapter into its model and write the result as a model of its own',
  flags: {
    adapter: { ...ADAPTER, flag: { ...ADAPTER.flag, group: 'What goes where' } },
    output: {
      rule: text,
      help: 'new or empty directory for the merged model',
      flag: { name: '--output', argument: 'dir' },
    },
    ...MODEL_FLAGS,
    quantization: {
      ...HOLDING_FLAGS.quantization,
      help: 'nf4: merge onto the weights that QLoRA trained on, decoded, not the original ones',
    },
    device: HOLDING_FLAGS.device,
    dtype: {
      rule: MERGE_OPTIONS.dtype.rule,
      otherwise: 'that of the base, bfloat16 where it has 32 bits',
      help: 'of the weights that are written: bfloat16, float16 or float32',
      flag: { name: '--dtype', argument: 'type', group: 'The merged model' },
    },
    maxShardSize: {
      ...MAX_SHARD_SIZE,
      // A bare number may be meant in any unit.
      rule: {
        ...textOf('a size with its unit, as 5GB,'),
        accepts: (size) => typeof size === 'string' && MAX_SHARD_SIZE.rule.accepts(size),
      },
    },
    prompt: {
      rule: listOf(text, 'texts that are not empty'),
      default: [],
      otherwise: 'a draw of ids',
      help: 'a prompt on which the logits of both models are compared',
      flag: { name: '--prompt', argument: 'text', isRepeatable: true },
    },
    json: JSON_OBJECT,
  },
  examples: [
    { text: 'Merge onto the model that the adapter names', line: 'merge --adapter out/mine/adapter --output merged' },
    {
      text: 'Merge what QLoRA trained, onto the same 4-bit weights',
      line: 'merge --adapter out/mine/adapter --output merged --quantization nf4',
    },
  ],
  async check({ flags }) {
    const { adapter = '', output = '' } = flags
    await checkAll('merge', [() => expectGiven('--adapter DIR', adapter), () => expectGiven('--output DIR', output)])
    return { ...flags, adapter, output }
  },
  async run({ adapter: from, output, dtype, quantization, device, json, ...others }) {
    await expectEmptyDirectory(output)
    const location = await locateModel('merge', { ...others, json, adapters: [from] })
    const tokenizerFrom = await tokenizerPlace(location, from)
    const prompts = await encoded(others.prompt, tokenizerFrom)
    const model = await beginLoading(location, {
      dtype: await loadDType(location.path, dtype, quantization),
      quantization,
      device,
    })
    showWarnings(model)
    const adapter = await LoraAdapter.load(model, from)
    showWarnings(adapter)
    const { maxShardSize } = others
    const bar = createBar()
    const onProgress = (tensors: number, total: number): void =>
      bar.show({
        label: { text: 'Merging', importance: 1 },
        fraction: tensors / total,
        parts: [{ text: `${String(tensors).padStart(String(total).length)}/${total} tensors`, importance: 2 }],
      })
    expectResultOnDisk()
    endAtOnce({ hasStatus: true })
    const merging = adapter.merge(output, { dtype, maxShardSize, prompts, onProgress, tokenizerFrom })
    const report = await merging.finally(() => {
      bar.close()
      releaseSignals()
    })
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : describe(report, paintFor(process.stdout)))
  },
}

function expectGiven(flag: string, value: string): void {
  if (value.trim() === '') throw new UsageError(`[merge] expected ${flag}, got none`)
}

/**
 * A dtype that holds every weight of the file exactly; of NF4 what adapters are trained in, unless the sum is to keep
 * float32.
 */
async function loadDType(
  path: string,
  dtype: FileDType | undefined,
  quantization: Quantization | undefined,
): Promise<ComputeDType> {
  if (dtype === 'float32') return 'float32'
  if (isGgufPath(path)) return quantization ? 'bfloat16' : 'float32'
  const { tensors } = await openCheckpoint(path)
  if (quantization || storedNf4Names(tensors).size > 0) return 'bfloat16'
  return [...tensors.values()].every((entry) => entry.dtype === 'BF16') ? 'bfloat16' : 'float32'
}

/** Token ids of the prompts, or undefined where none are given. */
async function encoded(prompts: readonly string[], path: string): Promise<number[][] | undefined> {
  if (prompts.length === 0) return undefined
  const tokenizer = await loadTokenizer(path)
  return prompts.map((prompt) => {
    const ids = tokenizer.encode(prompt)
    if (ids.length === 0) throw new UsageError('[merge] expected a text of at least one token for --prompt, got none')
    return ids
  })
}

function describe(report: MergeReport, paint: Paint): string {
  const { directory, dtype, mergedModules, dequantizedModules, logitDifference, largestLogit } = report
  const from = dequantizedModules > 0 ? `, ${formatCount(dequantizedModules)} of them decoded from NF4` : ''
  const lines = [
    `${paint('green', 'Merged')} ${formatCount(mergedModules)} projections into ${shown(directory)} (${dtype}${from})`,
    `Largest difference to the unmerged model: ${logitDifference.toPrecision(3)}, where logits reach ${largestLogit.toPrecision(3)}, ` +
      `over ${formatCount(report.comparedTokens)} tokens`,
    ...(report.untied ? ['The head and the embedding, which shared one weight, have one each'] : []),
    `Try it: ${commandLine(['generate', '--model', shown(directory)])} --prompt "..."`,
  ]
  return `${lines.join('\n')}\n`
}
