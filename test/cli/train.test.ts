/** @file Training and generating from the command line, end to end on a small model. */

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { TrainEvent } from '../../src/train/events.js'
import { ofType, temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { lowrank, mainScript, program } from './run-cli.js'

const folder = temporaryDirectory()
const model = join(folder, 'model')
const config = join(folder, 'run.yaml')
const rows = join(folder, 'rows.jsonl')

beforeAll(async () => {
  await writeTinyModel(model)
  await writeFile(
    rows,
    tinyRows(40)
      .map((row) => `${JSON.stringify(row)}\n`)
      .join(''),
  )
  await writeFile(
    config,
    `model: ${model}
dataset: ${rows}
output_dir: ${folder}/out
dtype: float32
lora: { r: 4, lora_alpha: 8 }
training:
  max_steps: 6
  per_device_train_batch_size: 4
  gradient_accumulation_steps: 1
  learning_rate: 1e-2
  eval_split: 8
  eval_steps: 3
  max_length: 512
  save_strategy: 'no'
`,
  )
})

const parseEvents = (stdout: string): TrainEvent[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as TrainEvent)

describe('lowrank train', () => {
  it('writes events as JSON lines, and the adapter', async () => {
    const { code, stdout, stderr } = await lowrank(['train', config, '--json'])
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const events = parseEvents(stdout)
    expect(events.at(-1)).toMatchObject({ type: 'save', kind: 'adapter', step: 6, path: join(folder, 'out/adapter') })
    const trainEvents = events.slice(0, -1)
    const types = trainEvents.map(({ type }) => type)
    expect(types.slice(0, 2)).toEqual(['load', 'prepare'])
    // An evaluation tells how far it is where the machine is slow.
    expect(types.slice(types.indexOf('data')).filter((type) => type !== 'step' && type !== 'evaluating')).toEqual([
      'data',
      'start',
      'evaluate',
      'log',
      'evaluate',
      'end',
    ])
    expect(ofType(trainEvents, 'step').map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6])
    const [first, last] = ofType(trainEvents, 'evaluate')
    expect(last?.loss).toBeLessThan(first?.loss ?? 0)
    for (const name of ['adapter_config.json', 'adapter_model.safetensors']) {
      expect(existsSync(join(folder, 'out/adapter', name))).toBe(true)
    }
  })

  it('shows lines without escape codes when nobody watches, and says what to try next', async () => {
    const out = join(folder, 'piped')
    const { code, stdout, stderr } = await lowrank([
      'train',
      config,
      '--set',
      `outputDir=${out}`,
      '--set',
      'training.maxSteps=2',
    ])
    expect(code).toBe(0)
    expect(stderr).toMatch(
      /^Data \(train\): 40 rows, \d+ tokens\n.*Training [\d,]+ of [\d,]+ parameters \([\d.]+ %\) on 32 rows, 8 to evaluate on: 2 steps\nTakes about \d+\.\d MiB of memory, gradient checkpointing off\nstep 2\/2 {2}loss +[\d.]+ {2}lr \S+ {2}grad +[\d.]+ +[\d,]+ tokens\/s\nstep 2\/2 {2}held-out loss/s,
    )
    expect(stderr).toMatch(/\nDone after 2 steps in \d+ s, mean loss [\d.]+, rows took [\d.]+ %\n$/)
    expect(stdout).toBe(
      `Saved ${out}/adapter\nTry it: ${program} generate --model ${model} --adapter ${out}/adapter --prompt "..."\n`,
    )
    expect(stdout + stderr).not.toContain('\u001b')
  })

  it('holds the model in NF4 with --quantization, and says so, and so does generate', async () => {
    const out = join(folder, 'quantized')
    const set = ['--set', `outputDir=${out}`, '--set', 'training.maxSteps=1', '--set', 'dtype=auto']
    const trained = await lowrank(['train', config, '--quantization', 'nf4', ...set])
    expect(trained.stderr).toMatch(/Training [\d,]+ of [\d,]+ parameters \([\d.]+ %\), the others in nf4, on 32 rows/)
    expect(trained.stdout).toContain(
      `${program} generate --model ${model} --quantization nf4 --adapter ${out}/adapter --prompt`,
    )
    expect(trained.code).toBe(0)
    const generate = (quantization: string) =>
      lowrank(
        `generate --model ${model} --adapter ${out}/adapter --prompt one --quantization ${quantization}`.split(' '),
      )
    expect((await generate('nf4')).code).toBe(0)
    const misspelled = 'expected \'nf4\' for quantization, got "nf5"'
    expect(await generate('nf5')).toEqual({
      code: 2,
      stdout: '',
      stderr: `error: [generate] ${misspelled.replace('for ', 'for --')}\nlowrank generate --help says more\n`,
    })
    expect(await lowrank(['train', config, '--quantization', 'nf5'])).toEqual({
      code: 2,
      stdout: '',
      stderr: `error: [train] ${misspelled} (--quantization)\n`,
    })
  })

  it('trains in float16 with dtype=float16, says the loss scale, and generate computes in it too', async () => {
    const out = join(folder, 'float16')
    const set = [`outputDir=${out}`, 'training.maxSteps=2', 'dtype=float16'].flatMap((setting) => ['--set', setting])
    const trained = await lowrank(['train', config, '--json', ...set])
    expect(trained.stderr).toBe('')
    const steps = parseEvents(trained.stdout).filter((event) => event.type === 'step')
    expect(steps).toMatchObject([
      { lossScale: 65_536, skipped: false },
      { lossScale: 65_536, skipped: false },
    ])
    const generate = (dtype: string) =>
      lowrank(`generate --model ${model} --adapter ${out}/adapter --prompt one --dtype ${dtype}`.split(' '))
    const answer = await generate('float16')
    expect(answer).toMatchObject({ code: 0, stderr: '' })
    expect(answer.stdout).toBe((await generate('float32')).stdout)
    expect(await generate('fp16')).toEqual({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining(
        "[generate] expected 'float32', 'bfloat16' or 'float16' for --dtype, got \"fp16\"\n",
      ),
    })
  })

  it('takes --device, as generate and chat do, and refuses what is none', async () => {
    const out = join(folder, 'device')
    const set = ['--set', `outputDir=${out}`, '--set', 'training.maxSteps=1', '--set', 'device=cuda']
    const trained = await lowrank(['train', config, '--json', '--device', 'cpu', ...set])
    expect(trained).toMatchObject({ code: 0, stderr: '' })
    expect(parseEvents(trained.stdout).find(({ type }) => type === 'start')).toMatchObject({ device: 'cpu' })
    const answer = await lowrank(
      `generate --model ${model} --adapter ${out}/adapter --prompt one --device auto`.split(' '),
    )
    expect(answer).toMatchObject({ code: 0, stderr: '' })
    const names = "'cpu', 'cuda', 'cuda:N' or 'auto'"
    for (const command of ['generate', 'chat']) {
      expect(await lowrank([command, '--model', model, '--device', 'gpu'])).toEqual({
        code: 2,
        stdout: '',
        stderr: expect.stringContaining(`[${command}] expected ${names} for --device, got "gpu"\n`),
      })
    }
    const refused = await lowrank(['train', config, '--device', 'gpu'])
    expect(refused.stderr).toBe(`error: [train] expected ${names} for device, got "gpu" (--device)\n`)
    expect(refused.code).toBe(2)
  })

  it('trains a whole model with method: full, which loads again', async () => {
    const set = ['method=full', `outputDir=${folder}/full`, 'training.maxSteps=1']
    const file = join(folder, 'full.yaml')
    await writeFile(file, `model: ${model}\ndataset: ${rows}\ndtype: float32\n`)
    const args = set.flatMap((setting) => ['--set', setting])
    const trained = await lowrank(['train', file, ...args])
    expect(trained.stderr).toContain('(100.00 %)')
    expect(trained.code).toBe(0)
    const answer = await lowrank([
      'generate',
      '--model',
      `${folder}/full/model`,
      '--prompt',
      'one',
      '--max-new-tokens',
      '3',
    ])
    expect(answer.code).toBe(0)
  })

  it('stops after its step when interrupted, saves, and goes on from there when asked', async () => {
    const file = join(folder, 'long.yaml')
    await writeFile(
      file,
      `model: ${model}\ndataset: ${rows}\noutputDir: ${folder}/long\ndtype: float32\ntraining: { maxSteps: 100000, saveSteps: 1000000 }\n`,
    )
    const child = spawn(process.execPath, [mainScript, 'train', file, '--json'])
    onTestFinished(() => void child.kill('SIGKILL'))
    let stdout = ''
    let stderr = ''
    let interrupted = false
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text
    })
    child.stdout.setEncoding('utf8').on('data', (text) => {
      // The run is under way as soon as a step is reported.
      stdout += text
      if (!interrupted && stdout.includes('"type":"step"')) interrupted = child.kill('SIGINT')
    })
    expect(await ended).toBe(1)
    expect(stderr).toMatch(/Stopping after this step[\s\S]*error: stopped at step \d+; go on with --resume/)
    const events = parseEvents(stdout) as TrainEvent[]
    const [end] = ofType(events, 'end')
    expect(end?.reason).toBe('aborted')
    const stoppedAt = end?.step as number
    expect(ofType(events, 'save').at(-1)?.path).toBe(`${folder}/long/checkpoint-${stoppedAt}`)

    const more = ['--set', 'resumeFromCheckpoint=true', '--set', `training.maxSteps=${stoppedAt + 1}`]
    const resumed = await lowrank(['train', file, '--json', ...more])
    expect(resumed.stderr).toBe('')
    expect(ofType(parseEvents(resumed.stdout) as TrainEvent[], 'step').map(({ step }) => step)).toEqual([stoppedAt + 1])
  })
})

describe('lowrank generate', () => {
  const base = ['generate', '--model', model, '--max-new-tokens', '5']

  it('continues a prompt, from the command line or from stdin, to the same answer', async () => {
    const given = await lowrank([...base, '--prompt', 'one two', '--json'])
    expect(given.code).toBe(0)
    const result = JSON.parse(given.stdout)
    expect(result.prompt).toBe('one two')
    expect(result.promptTokens).toBeGreaterThan(0)
    expect(result.newTokens).toBeLessThanOrEqual(5)
    expect(['stop', 'length']).toContain(result.finishReason)
    const piped = await lowrank([...base, '--json'], { input: 'one two\n' })
    expect(JSON.parse(piped.stdout).text).toBe(result.text)
    const plain = await lowrank([...base, '--prompt', 'one two'])
    expect(plain.stdout).toBe(`${result.text}\n`)
  })

  it('answers differently with an adapter', async () => {
    const prompt = ['--prompt', 'one two three four', '--json']
    const before = JSON.parse((await lowrank([...base, ...prompt])).stdout)
    const after = JSON.parse((await lowrank([...base, '--adapter', `${folder}/out/adapter`, ...prompt])).stdout)
    expect(after.text).not.toBe(before.text)
  })

  it('refuses an empty prompt and a model without a chat template', async () => {
    const empty = await lowrank(base, { input: '\n' })
    expect(empty.stderr).toContain('expected a prompt of at least one token, got an empty one; add --prompt TEXT')
    expect(empty.code).toBe(2)
    const chat = await lowrank([...base, '--prompt', 'one', '--chat'])
    expect(chat.stderr).toMatch(/chat template/)
    expect(chat.code).toBe(1)
  })

  it('says what the engine needs when it is not there', async () => {
    const { code, stderr } = await lowrank([...base, '--prompt', 'one'], { env: { LOWRANK_ADDON: '/nowhere/x.node' } })
    expect(code).toBe(1)
    expect(stderr).toMatch(/expected the native engine for linux-x64-gnu .*Tried:\n {2}- \/nowhere\/x\.node: /)
    expect(stderr).toContain('npm run build')
  })
})
