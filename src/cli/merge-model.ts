/** @file What `lowrank merge` does once its flags are right: load, merge with a bar, and say what came out. */

import { LoraAdapter } from '../adapters/lora-adapter.js'
import { expectEmptyDirectory, type MergeReport } from '../adapters/merge.js'
import { mergeDType } from '../adapters/merge-dtype.js'
import { beginLoading } from '../checkpoint/load-model.js'
import { createBar } from '../progress/progress.js'
import { formatCount, type Paint, paintFor } from '../progress/terminal.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import { localAdapters } from './local-adapters.js'
import { locateModel, tokenizerPlace } from './locate-model.js'
import type { Merge } from './merge.js'
import { showWarnings } from './show-warnings.js'
import { endAtOnce, releaseSignals } from './signal-guard.js'
import { expectResultOnDisk } from './standard-streams.js'
import { commandLine, shown } from './try-it.js'
import { UsageError } from './usage-error.js'

export async function merge(asked: Merge): Promise<void> {
  const { adapter: named, output, dtype, quantization, device, json, ...others } = asked
  await expectEmptyDirectory(output)
  const [from = named] = await localAdapters([named], json)
  const location = await locateModel('merge', { ...others, json, adapters: [from] })
  const tokenizerFrom = await tokenizerPlace(location, from)
  const prompts = await encoded(others.prompt, tokenizerFrom)
  const model = await beginLoading(location, {
    dtype: await mergeDType(location.path, dtype, quantization),
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
    `Logits differ from those of the unmerged model by at most ${logitDifference.toPrecision(3)} and reach ${largestLogit.toPrecision(3)}, ` +
      `over ${formatCount(report.comparedTokens)} tokens`,
    ...(report.untied ? ['The head and the embedding, which shared one weight, have one each'] : []),
    `Try it: ${commandLine(['generate', '--model', shown(directory)])} --prompt "..."`,
  ]
  return `${lines.join('\n')}\n`
}
