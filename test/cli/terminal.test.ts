/** @file A real run on a real terminal: a process under a pseudo-terminal, its bytes replayed on a screen. */

import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { isThorough } from '../support/long.js'
import { Screen } from '../support/screen.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { environment, lowrank, mainScript } from './run-cli.js'

const folder = temporaryDirectory()

beforeAll(async () => {
  await writeTinyModel(join(folder, 'model'))
  await writeFile(
    join(folder, 'rows.jsonl'),
    tinyRows(40)
      .map((row) => `${JSON.stringify(row)}\n`)
      .join(''),
  )
  await writeFile(
    join(folder, 'run.yaml'),
    `model: model
dataset: rows.jsonl
dtype: float32
lora: { r: 4 }
training: { maxSteps: 40, gradientAccumulationSteps: 1, loggingSteps: 10, evalSplit: 8, evalSteps: 20, saveSteps: 20, maxLength: 512 }
`,
  )
})

/**
 * What a command writes to a terminal of so many columns. `script` of util-linux makes one; a machine without it fails
 * here.
 */
function onTerminal(line: string, columns: number, env: Record<string, string> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const inside = `stty cols ${columns} rows 24; exec ${line}`
    const child = spawn('script', ['-qfec', inside, '/dev/null'], {
      cwd: folder,
      env: { ...environment(), TERM: 'xterm-256color', NO_COLOR: '', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let bytes = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      bytes += text
    })
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve(bytes) : reject(new Error(`ended with ${code}: ${bytes}`))))
  })
}

const train = (out: string): string => `'${process.execPath}' '${mainScript}' train run.yaml --output ${out}`

/** Figures depend on the machine, their places do not. How long and how much is as wide as it is. */
const masked = (text: string): string =>
  text
    .replace(/Takes about [\d.]+ MiB of memory,\s+gradient\s+checkpointing off/, 'Takes about # MiB')
    .replace(/in (\d+ min )?\d+ s,\s+mean\s+loss\s+\d\.\d{4},\s+rows\s+took\s+[\d.]+\s+%$/, 'in # s, mean loss #')
    .replace(/ +[\d,]+ tokens\/s/g, ' # tokens/s')
    .replace(/\d/g, '#')

const EXPECTED: Record<number, string> = {
  40: `Data (train): ## rows, ### tokens
Training #,### of ##,### parameters
  (#.## %) on ## rows, # to evaluate on:
  ## steps
Takes about # MiB
step ##/##  loss   #.####  lr #.##e-#
  grad   #.#### # tokens/s
step ##/##  loss   #.####  lr #.##e-#
  grad   #.#### # tokens/s
step ##/##  held-out loss   #.####
  perplexity ###.####  ## tokens
step ##/##  saved out##/checkpoint-##
step ##/##  loss   #.####  lr #.##e-#
  grad   #.#### # tokens/s
step ##/##  loss   #.####  lr #.##e-#
  grad   #.#### # tokens/s
step ##/##  held-out loss   #.####
  perplexity ###.####  ## tokens
step ##/##  saved out##/checkpoint-##
Done after ## steps in # s, mean loss #`,
  80: `Data (train): ## rows, ### tokens
Training #,### of ##,### parameters (#.## %) on ## rows, # to evaluate on: ##
  steps
Takes about # MiB
step ##/##  loss   #.####  lr #.##e-#  grad   #.#### # tokens/s
step ##/##  loss   #.####  lr #.##e-#  grad   #.#### # tokens/s
step ##/##  held-out loss   #.####  perplexity ###.####  ## tokens
step ##/##  saved out##/checkpoint-##
step ##/##  loss   #.####  lr #.##e-#  grad   #.#### # tokens/s
step ##/##  loss   #.####  lr #.##e-#  grad   #.#### # tokens/s
step ##/##  held-out loss   #.####  perplexity ###.####  ## tokens
step ##/##  saved out##/checkpoint-##
Done after ## steps in # s, mean loss #`,
}
EXPECTED[200] = (EXPECTED[80] as string).replace('on: ##\n  steps', 'on: ## steps').replaceAll('out##', 'out###')

describe('a real run on a terminal', () => {
  it.each(isThorough ? [40, 80, 200] : [40])(
    'shows every line, its results, and no rest of a bar: %i columns',
    async (columns) => {
      const bytes = await onTerminal(train(`out${columns}`), columns)
      // The bar was there: it is in the bytes, and gone from the screen.
      expect(bytes).toContain('\u2591')
      expect(bytes).toContain('\u001b[32m')
      const screen = new Screen(columns)
      screen.write(bytes)
      const rows = await screen.rows()
      const saved = rows.findIndex((row) => row.startsWith('Saved'))
      expect(masked(rows.slice(0, saved).join('\n'))).toBe(EXPECTED[columns])
      // Lines of stdout are as wide as they are, for those who copy from them.
      expect(
        rows
          .slice(saved)
          .join('')
          .replace(/node \S+main\.js/, 'lowrank'),
      ).toBe(
        `Saved out${columns}/adapterTry it: lowrank generate --model model --adapter out${columns}/adapter --prompt "..."`,
      )
    },
  )

  it('has no colours where NO_COLOR or TERM=dumb refuses them, and no bar where nothing can be erased', async () => {
    const plain = await onTerminal(train('plain'), 80, { NO_COLOR: '1' })
    expect(plain).not.toContain('\u001b[3')
    expect(plain).toContain('\u2591')
    const dumb = await onTerminal(train('dumb'), 80, { TERM: 'dumb' })
    for (const code of ['\u001b', '\u2591']) expect(dumb).not.toContain(code)
    expect(masked(dumb.replaceAll('\r', ''))).toContain(
      '\nstep ##/##  loss   #.####  lr #.##e-#  grad   #.#### # tokens/s\n',
    )
  })

  it('shows how far an export is: while it calibrates, while it writes, and while it compares', async () => {
    await writeFile(join(folder, 'texts.txt'), 'one two three four five\n'.repeat(40))
    const args = 'export model --format gguf --type Q4_K_M --calibration texts.txt --compare-tokens 40 --output gguf'
    const bytes = await onTerminal(`'${process.execPath}' '${mainScript}' ${args}`, 80)
    for (const shown of [/Calibrating +.+\/\d+ tokens/, /Writing +.+\/21 tensors/, /Comparing +.+\/80 tokens/])
      expect(bytes).toMatch(shown)
    const screen = new Screen(80)
    screen.write(bytes)
    expect((await screen.rows()).join('\n')).not.toMatch(/Calibrating|Writing|Comparing/)
  })

  // The two tests that follow share a run.
  it('says of a finished run that is resumed that it is complete, and shows no NaN', async () => {
    await lowrank(['train', 'run.yaml', '--output', 'complete'], { cwd: folder })
    const before = await readFile(join(folder, 'complete/adapter/adapter_model.safetensors'))
    const screen = new Screen(80)
    screen.write(await onTerminal(`${train('complete')} --resume`, 80))
    const text = (await screen.rows()).join('\n')
    expect(text).toContain('\nAlready complete: 40 of 40 steps; nothing was left to train\nSaved complete/adapter\n')
    expect(text).not.toMatch(/NaN|undefined|null/)
    expect((await readFile(join(folder, 'complete/adapter/adapter_model.safetensors'))).equals(before)).toBe(true)
    const json = await lowrank(['train', 'run.yaml', '--output', 'complete', '--resume', '--json'], { cwd: folder })
    expect(json.code).toBe(0)
    const entries = json.stdout
      .trimEnd()
      .split('\n')
      .flatMap((line) => Object.entries(JSON.parse(line) as object))
    expect(new Set(entries.flatMap(([name, value]) => (value === null ? [name] : [])))).toEqual(
      new Set(['quantization']),
    )
  })

  it('writes options from which it runs again as it is, from any directory', async () => {
    const weights = (out: string) => readFile(join(folder, out, 'adapter/adapter_model.safetensors'))
    const first = await weights('complete')
    const file = join(folder, 'complete/train.yaml')
    const again = await lowrank(['train', file], { cwd: '/' })
    expect(again.code).toBe(0)
    expect(again.stderr).toContain('Already complete: 40 of 40 steps')
    expect((await weights('complete')).equals(first)).toBe(true)
    const anew = await lowrank(['train', file, '--output', join(folder, 'second')], { cwd: '/' })
    expect(anew.code).toBe(0)
    expect(anew.stderr).toContain('Done after 40 steps')
    expect((await weights('second')).equals(first)).toBe(true)
  })
})
