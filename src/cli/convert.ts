/** @file `lowrank convert`: an adapter in PEFT's, mlx-lm's or llama.cpp's files becomes one in another of these. */

import { ADAPTER_KINDS, type AdapterKind } from '../export/format-names.js'
import { oneOf, text } from '../options/rules.js'
import { paintFor } from '../progress/terminal.js'
import type { Command } from './command.js'
import { COMPARE_FLAGS, type CompareFlags } from './export.js'
import { MODEL_FLAGS, type ModelFlags } from './flags.js'
import { UsageError } from './usage-error.js'

interface ConvertFlags extends CompareFlags, ModelFlags {
  readonly to?: AdapterKind
  readonly output?: string
}

interface Checked extends ConvertFlags {
  readonly adapter: string
  readonly to: AdapterKind
  readonly output: string
}

export const command: Command<ConvertFlags, Checked> = {
  summary: 'turn an adapter of PEFT, mlx-lm or llama.cpp into one of another of these',
  details: 'The logits of the model are compared with the adapter before and after.',
  arguments: [
    {
      name: 'ADAPTER',
      help: "directory of an adapter in PEFT's or mlx-lm's files, or a .gguf file",
      otherwise: 'needed',
    },
  ],
  flags: {
    to: {
      rule: oneOf(ADAPTER_KINDS),
      otherwise: 'needed',
      help: 'what it becomes: peft, gguf or mlx',
      flag: { name: '--to', argument: 'kind', group: 'What goes where' },
    },
    output: {
      rule: text,
      otherwise: 'needed',
      help: 'new or empty directory for the files',
      flag: { name: '--output', argument: 'dir' },
    },
    ...MODEL_FLAGS,
    ...COMPARE_FLAGS,
  },
  examples: [
    { text: 'Make an adapter for mlx-lm', line: 'convert out/mine/adapter --to mlx --output mlx-adapter' },
    {
      text: 'Make one that PEFT loads of a GGUF file',
      line: 'convert adapter.gguf --model org/name --to peft --output adapter',
    },
  ],
  check({ flags, words: [adapter] }) {
    const { to, output } = flags
    if (adapter === undefined || to === undefined || output === undefined)
      throw new UsageError(
        `[convert] expected ADAPTER, --to ${ADAPTER_KINDS.join('|')} and --output DIR, got ${adapter === undefined ? 'no ADAPTER' : to === undefined ? 'no --to' : 'no --output'}`,
      )
    return { ...flags, adapter, to, output }
  },
  async run({ adapter, to, output, model, revision, json, ...compare }) {
    const { convertAdapter } = await import('../export/convert-adapter.js')
    const { describeReport } = await import('./export-report.js')
    const { compareOptions, withExportBar } = await import('./export-run.js')
    const compared = await compareOptions(compare)
    const report = await withExportBar(json, (progress) =>
      convertAdapter({
        ...{ adapter, to, output },
        ...(model !== undefined && { model }),
        ...(revision !== undefined && { revision }),
        ...compared,
        ...progress,
      }),
    )
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : describeReport(report, paintFor(process.stdout)))
    if (!report.passed) process.exitCode = 1
  },
}
