/** @file Commands without a file: what flags say, and the model that an adapter names. */

import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { flagFor } from '../../src/cli/train-flags.js'
import { resolveTrainOptions } from '../../src/train/resolve-options.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { lowrank, program } from './run-cli.js'

const folder = temporaryDirectory()
const model = join(folder, "a model's")
const rows = join(folder, 'rows.jsonl')
const out = join(folder, 'out $1')
const adapter = join(out, 'adapter')

const CHATML =
  '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}' +
  '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'

beforeAll(async () => {
  await writeTinyModel(model)
  await writeFile(join(model, 'chat_template.jinja'), CHATML)
  const lines = tinyRows(12).map(({ prompt, completion }) => ({
    messages: [
      { role: 'user', content: prompt },
      { role: 'assistant', content: completion },
    ],
  }))
  await writeFile(rows, lines.map((row) => `${JSON.stringify(row)}\n`).join(''))
})

describe('help', () => {
  it('shows the defaults that options have', async () => {
    const { stdout } = await lowrank(['train', '--help'])
    const help = stdout.replace(/\s+/g, ' ')
    const { lora, training, dtype, device, method } = resolveTrainOptions({ model: 'a/b', dataset: [] })
    /** What help says of one flag. */
    const helpOf = (flag: string): string => help.slice(help.indexOf(` ${flag} `)).split(/ --\w/)[1] as string
    for (const [flag, value] of [
      ['--rank', lora?.r],
      ['--alpha', lora?.loraAlpha],
      ['--target-modules', lora?.targetModules],
      ['--epochs', training.numTrainEpochs],
      ['--lr', training.learningRate.toExponential()],
      ['--batch-size', training.perDeviceTrainBatchSize],
      ['--max-length', training.maxLength],
      ['--seed', training.seed],
      ['--method', method],
      ['--dtype', dtype],
      ['--device', device],
    ])
      expect(helpOf(flag as string), flag as string).toContain(`(default: ${value})`)
    expect(help).not.toContain('[]')
  })
})

describe('lowrank train without a file', () => {
  it('trains by its flags, and its last line is a command that runs', async () => {
    const args = '--epochs 1 --lr 1e-3 --rank 4 --alpha 8 --max-length 64 --batch-size 6 --seed 3 --dtype float32'
    const targets = ['--target-modules', 'q_proj,v_proj', '--set', 'training.gradientAccumulationSteps=1']
    const paths = ['--model', model, '--dataset', rows, '--output', out, '--eval-dataset', rows]
    const { code, stdout, stderr } = await lowrank(['train', ...paths, ...args.split(' '), ...targets])
    expect(stderr).toMatch(/on 12 rows, 12 to evaluate on: 2 steps/)
    expect(code).toBe(0)
    const quotedModel = `'${model.replace("'", "'\\''")}'`
    expect(stdout).toBe(
      `Saved ${adapter}\nTry it: ${program} generate --model ${quotedModel} --adapter '${adapter}' --chat --prompt "..."\n`,
    )
    const config = JSON.parse(await readFile(join(adapter, 'adapter_config.json'), 'utf8'))
    expect(config).toMatchObject({ r: 4, lora_alpha: 8, target_modules: ['q_proj', 'v_proj'] })
    const answer = await lowrank(['generate', '--adapter', adapter, '--chat', '--prompt', 'x', '--max-new-tokens', '2'])
    expect(answer).toMatchObject({ code: 0, stderr: '' })
  })

  it('resumes with --resume, and refuses epochs that have no effect', async () => {
    const file = join(folder, 'steps.yaml')
    await writeFile(file, `model: ${JSON.stringify(model)}\ndataset: ${rows}\ntraining:\n  maxSteps: 1\n`)
    const refused = await lowrank(['train', file, '--output', 'x', '--epochs', '2'])
    expect(refused).toEqual({
      code: 2,
      stdout: '',
      stderr: `error: [training] expected numTrainEpochs or maxSteps, got both, and maxSteps counts; --max-steps -1 takes it back (--epochs, line 4 of ${file})\n`,
    })
    const none = join(folder, 'none')
    const nothing = await lowrank(['train', file, '--output', none, '--resume', '--max-length', '64'])
    expect(nothing.code).toBe(0)
    expect(nothing.stderr).toContain(`[resume] ${none} holds no checkpoint: the run begins at its first step\n`)
  })
})

describe('flags', () => {
  it('are found by the names that options have in Python', () => {
    expect(flagFor('learning_rate')).toBe('--lr NUMBER')
    expect(flagFor('per-device-train-batch-size')).toBe('--batch-size COUNT')
    expect(flagFor('max-seq-length')).toBe('--max-length TOKENS')
    expect(flagFor('save_steps')).toBe('--set training.saveSteps=...')
    expect(flagFor('use-rslora')).toBe('--set lora.useRslora=...')
    expect(flagFor('nonsense')).toBeUndefined()
  })
})

describe('the model of an adapter', () => {
  const renamed = async (name: string, base: unknown): Promise<string> => {
    const directory = join(folder, name)
    await mkdir(directory)
    await cp(adapter, directory, { recursive: true })
    const config = JSON.parse(await readFile(join(adapter, 'adapter_config.json'), 'utf8'))
    await writeFile(
      join(directory, 'adapter_config.json'),
      JSON.stringify({ ...config, base_model_name_or_path: base }),
    )
    await rm(join(directory, 'SHA256SUMS'))
    return directory
  }
  const prompt = ['--prompt', 'one', '--max-new-tokens', '2']

  it('is what chat talks to, and all adapters have to share it', async () => {
    const twin = await renamed('twin', model)
    const args = ['chat', '--adapter', adapter, '--adapter', twin, '--max-new-tokens', '2']
    expect(await lowrank(args, { input: 'hello\n' })).toMatchObject({ code: 0, stderr: '' })
    const stranger = await renamed('stranger', 'some/where')
    const refused = await lowrank([...args, '--adapter', stranger], { input: '' })
    expect(refused.stderr).toBe(
      `error: [chat] expected adapters of one model, got ${adapter} of ${model} and ${stranger} of some/where; give the one to load them on with --model\n`,
    )
    expect(refused.code).toBe(2)
  })

  it('has to be given where the adapter does not name it, and goes first where it is', async () => {
    const nameless = await renamed('nameless', null)
    const refused = await lowrank(['generate', '--adapter', nameless, ...prompt])
    expect(refused).toEqual({
      code: 2,
      stdout: '',
      stderr: `error: [generate] expected --model DIR, or a name of it in adapter_config.json of ${nameless}; got neither\n`,
    })
    const given = await lowrank(['generate', '--adapter', nameless, '--model', model, ...prompt])
    expect(given).toMatchObject({ code: 0, stderr: '' })
  })
})
