/** @file The command line as a whole: help, exit codes, and what works without the native engine. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DoctorReport } from '../../src/cli/doctor.js'
import { lowrank } from './run-cli.js'

const withoutEngine = { LOWRANK_ADDON: '/nowhere/lowrank.node' }
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-cli-'))
})

afterAll(async () => {
  await rm(folder, { recursive: true })
})

describe('lowrank without the engine', () => {
  it('helps', async () => {
    const { code, stdout } = await lowrank(['--help'], { env: withoutEngine })
    expect(code).toBe(0)
    for (const command of ['train', 'init', 'generate', 'doctor']) expect(stdout).toContain(command)
    const train = await lowrank(['train', '--help'], { env: withoutEngine })
    expect(train.code).toBe(0)
    expect(train.stdout).toContain('--set KEY=VALUE')
  })

  it('examines the machine and says where it looked and what to do', async () => {
    const { code, stdout } = await lowrank(['doctor'], { env: withoutEngine })
    expect(code).toBe(1)
    expect(stdout).toContain('does not load; tried:\n    /nowhere/lowrank.node: ')
    expect(stdout).toContain(`platform        ${process.platform}-${process.arch}`)
    expect(stdout).toMatch(/Problem: the native engine does not load\n {2}to do: .*npm run build/)
  })
})

describe('errors on a terminal', () => {
  it('escape sequences in what was given change nothing on the screen', async () => {
    const { code, stderr } = await lowrank(['runs', '/nowhere/\u001b[31mred'])
    expect([code, stderr]).toEqual([1, expect.stringContaining('/nowhere/\u241b[31mred')])
    expect(stderr).not.toContain('\u001b')
  })
})

describe('lowrank doctor --json', () => {
  it('writes one object that names what was built', async () => {
    const { code, stdout } = await lowrank(['doctor', '--json'])
    expect(code).toBe(0)
    const report = JSON.parse(stdout) as DoctorReport
    expect(report).toMatchObject({ ok: true, node: process.versions.node, triedPaths: [] })
    expect(['generic', 'avx2', 'avx512', 'avx512bf16', 'amx']).toContain(report.engine?.isa)
    expect(report.engine?.devices).toContain('cpu')
    expect(report.engine?.availableMemory).toBeGreaterThan(0)
    expect(report.engine?.availableMemory).toBeLessThanOrEqual(report.engine?.totalMemory ?? 0)
  })

  it('says so when the instruction set is held lower than the processor allows', async () => {
    const report = JSON.parse(
      (await lowrank(['doctor', '--json'], { env: { LOWRANK_ISA: 'generic' } })).stdout,
    ) as DoctorReport
    expect(report.engine?.isa).toBe('generic')
    expect(report.problems.map(({ remedy }) => remedy)).toContain('unset LOWRANK_ISA')
  })

  it.each<[Record<string, string>, string]>([
    [{ LOWRANK_ISA: 'sse9' }, "for LOWRANK_ISA, got 'sse9'"],
    [{ LOWRANK_NUM_THREADS: 'many' }, "for LOWRANK_NUM_THREADS, got 'many'"],
    [{ LOWRANK_MEMORY_BUDGET: 'all' }, "for LOWRANK_MEMORY_BUDGET, got 'all'"],
    [{ LOWRANK_MEMORY_BUDGET: '1000' }, 'expected at least 16.0 MiB of memory for tensors, got 1000 B'],
  ])('ends with 1 where %j lets nothing train, and says why', async (env, message) => {
    const { code, stdout, stderr } = await lowrank(['doctor', '--json'], { env })
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    const report = JSON.parse(stdout) as DoctorReport
    expect(report).toMatchObject({ ok: false, engine: null, triedPaths: [] })
    expect(report.problems.at(-1)?.what).toContain(message)
  })

  it('says in words that the engine does not start', async () => {
    expect((await lowrank(['doctor'], { env: { LOWRANK_ISA: 'sse9' } })).stdout).toContain('does not start; see below')
  })
})

describe('exit codes', () => {
  it('are 2 for a wrong command line, with the nearest command named', async () => {
    const wrong: [string[], RegExp][] = [
      [[], /Usage: lowrank/],
      [['trian', 'x.yaml'], /^error: \[lowrank\] unknown command "trian"; did you mean train\?\n$/],
      [['train'], /expected the directory, \.gguf file or Hub id .* got nothing; add --model DIR\n/],
      [
        ['generate', '--prompt', 'x'],
        /\[generate\] expected --model DIR, or --adapter DIR, which names it; got neither/,
      ],
      [
        ['train', 'my', 'run'],
        /\[train\] expected CONFIG and flags alone, got "my", "run"; put quotes around a value with blanks or \* in it/,
      ],
      [['generate', '--model', 'x', 'Define: cat'], /\[generate\] expected flags alone, got "Define: cat"; put quotes/],
      [['train', '--set', 'lora.r', '8'], /expected key=value for --set, got "lora\.r"; for example --set lora\.r=8/],
      [['chat', '--json'], /\[chat\] expected --model DIR, or --adapter DIR/],
      [['train', '--learning-rate', '1'], /\[train\] unknown flag "--learning-rate"; write --lr NUMBER\n/],
      [['train', '--num_train_epochs', '1'], /unknown flag "--num_train_epochs"; write --epochs NUMBER\n/],
      [['train', '--warmup-steps=1'], /; write --set training\.warmupSteps=\.\.\.\n/],
      [['train', '--model-name-or-path', 'x'], /; write --model DIR\n/],
      [['plan', '--lora-alpha', '8'], /; write --alpha NUMBER\n/],
      [
        ['generate', '--model', 'x', '--max-new-tokens', '1.5'],
        /expected a whole number of at least 1 for --max-new-tokens, got 1\.5\n/,
      ],
      [
        ['doctor', '--jsno'],
        /^error: \[doctor\] unknown flag "--jsno"; did you mean --json\?\nlowrank doctor --help says more\n$/,
      ],
      [['help', 'trian'], /^error: \[help\] unknown command "trian"; did you mean train\?\n$/],
      [
        ['help', 'x'],
        /unknown command "x"; there are train, init, plan, simulate, generate, chat, serve, eval, report, runs, merge, export, convert, mlflow, data, pull, push, databricks, hosted, clean, doctor, schema, completion, help\n$/,
      ],
      [
        ['train', '--hlep'],
        /^error: \[train\] unknown flag "--hlep"; did you mean --help\?\nlowrank train --help says more\n$/,
      ],
      [
        ['generate', '--top-p', '-0', '--temperature', '1e308', '--device', 'gpu', '--dtype', 'int8', '--stop', ''],
        /^error: \[generate\] 6 options are wrong:\n.* a number above 0 and at most 1 \(1 draws from all\) for --top-p, got 0\n.* a number from 1e-20 to 1e20 \(0 takes the most likely token\) for --temperature, got 1e\+308\n.* for --device, got "gpu"\n.* for --dtype, got "int8"\n.* for --stop, got \[""\]\n.* expected --model DIR, .*\nlowrank generate --help says more\n$/,
      ],
      [
        ['generate', '--model', 'x', '--prompt', 'x', '--temperature', '0', '--top-k', '3'],
        /expected --top-k with a --temperature above 0, got 0, which always takes the most likely token; remove one\n/,
      ],
    ]
    for (const [args, message] of wrong) {
      const { code, stderr } = await lowrank(args)
      expect(stderr).toMatch(message)
      expect(code).toBe(2)
    }
  })

  it('are 2 for a configuration that is wrong, before anything is loaded', async () => {
    const config = join(folder, 'run.yaml')
    await writeFile(config, 'model: a/b\ndataset: rows.jsonl\noutput_dir: out\ntraining:\n  learning_rat: 1\n')
    const { code, stderr } = await lowrank(['train', config], { env: withoutEngine })
    expect(stderr).toMatch(
      /^error: \[training\] unknown option "learning_rat"; did you mean "learningRate"\?.* \(line 5 of /,
    )
    expect(stderr).toContain(`(line 5 of ${config})\n`)
    expect(code).toBe(2)
    const missing = await lowrank(['train', join(folder, 'none.yaml')])
    expect(missing.stderr).toContain('[config] expected a readable YAML file')
    expect(missing.code).toBe(2)
    await writeFile(config, 'model: a/b\ndataset: rows.jsonl\n')
    const nowhere = await lowrank(['train', config])
    expect(nowhere.stderr).toBe(
      `error: [train] expected the path of a directory for outputDir, got nothing; add --output DIR, or outputDir: ... to ${config}\n`,
    )
    expect(nowhere.code).toBe(2)
  })

  it('come with everything that is wrong, and where each of it was said', async () => {
    const config = join(folder, 'wrong.yaml')
    await writeFile(config, '# a run\nmodel: a/b\ntraining:\n  max_seq_length: 1\n  warmupSteps: 3\n  packing: 1\n')
    const args = ['--lr', 'fast', '--rank', '0', '--set', 'lora.lora_alpha=much', '--set', 'training.warmup_ratio=0.1']
    const { code, stderr, stdout } = await lowrank(['train', config, ...args], { env: withoutEngine })
    expect(stderr.split('\n')).toEqual([
      'error: [train] 8 options are wrong:',
      `  - [train] expected the path, glob or folder of rows, or an iterable of them for dataset, got nothing; add --dataset PATH, or dataset: ... to ${config}`,
      `  - [training] expected a whole number of at least 2 for maxLength, got 1 (line 4 of ${config})`,
      `  - [training] expected true or false for packing, got 1 (line 6 of ${config})`,
      '  - [training] expected a number above 0 for learningRate, got "fast" (--lr)',
      `  - [training] expected warmupRatio or warmupSteps, got both; remove one (--set training.warmup_ratio, line 5 of ${config})`,
      '  - [lora] expected a whole number from 1 to 65536 for r, got 0 (--rank)',
      '  - [lora] expected a number from 1e-30 to 1e30 for loraAlpha, got "much" (--set lora.lora_alpha)',
      '  - [train] expected the path of a directory for outputDir, got nothing; add --output DIR, or outputDir: ... to ' +
        config,
      '',
    ])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  })

  it('are 1 when the work fails', async () => {
    const config = join(folder, 'missing-model.yaml')
    const rows = join(folder, 'rows.jsonl')
    await writeFile(rows, '{"text": "one"}\n')
    await writeFile(config, `model: ${join(folder, 'no-model')}\ndataset: ${rows}\noutputDir: ${folder}/out\n`)
    const { code, stderr, stdout } = await lowrank(['train', config])
    expect(stderr).toMatch(/^error: \[model\] there is no directory .*no-model/)
    expect(stderr).not.toContain('    at ')
    expect(stdout).toBe('')
    expect(code).toBe(1)
  })

  it('come with a line of JSON where JSON was asked for, whatever the command and whatever is wrong', async () => {
    const missing = join(folder, 'no-such-model')
    const cases: [string[], number, RegExp][] = [
      [['trian', '--json'], 2, /^\[lowrank\] unknown command "trian"/],
      [['train', '--json', '--lr', 'fast'], 2, /^\[train\] 4 options are wrong:\n/],
      [['train', '--json', 'no.yaml'], 2, /^\[config\] .*no\.yaml, which does not exist/],
      [['plan', '--json', '--memory', 'much'], 2, /expected an amount of memory such as 8GiB for --memory, got "much"/],
      [['plan', '--json', '--model', missing], 1, /^\[model\] there is no directory/],
      [['generate', '--json', '--model', missing, '--prompt', 'x'], 1, /^\[model\] there is no directory/],
      [['chat', '--json', '--model', missing], 1, /^\[model\] there is no directory/],
      [['merge', '--json'], 2, /^\[merge\] 2 options are wrong/],
    ]
    for (const [args, exitCode, message] of cases) {
      const { code, stdout, stderr } = await lowrank(args)
      expect(JSON.parse(stdout), args.join(' ')).toEqual({
        type: 'error',
        code: exitCode === 2 ? 'INVALID_OPTION' : 'INVALID_MODEL',
        message: expect.stringMatching(message),
        exitCode,
      })
      expect(stdout.endsWith('\n')).toBe(true)
      expect(stderr).toMatch(/^error: /)
      expect(code).toBe(exitCode)
    }
    const plain = await lowrank(['merge'])
    expect(plain.stdout).toBe('')
  })

  it('come with a stack when asked for', async () => {
    const asked = await lowrank(['generate', '--model', 'no/model', '--prompt', 'x', '--verbose'])
    expect(asked.stderr).toContain('    at ')
    expect(
      (await lowrank(['generate', '--model', 'no/model', '--prompt', 'x'], { env: { DEBUG: '1' } })).stderr,
    ).toContain('    at ')
  })
})
