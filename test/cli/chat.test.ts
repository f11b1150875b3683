/** @file `lowrank chat` through a pipe, with adapters, and what `plan --generate` says. */

import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { generateText } from '../../src/generation/generate-text.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { temporaryDirectory, tinyAdapter, writeTinyModel } from '../support/tiny-model.js'
import { environment, lowrank, mainScript } from './run-cli.js'

const CHATML =
  '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}' +
  '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
const folder = temporaryDirectory()
let model: string
let adapter: string

beforeAll(async () => {
  model = await writeTinyModel(join(folder, 'model'))
  await writeFile(join(model, 'chat_template.jinja'), CHATML)
  const loaded = await loadModel(model, { dtype: 'float32' })
  adapter = join(folder, 'pirate', 'adapter')
  await mkdir(adapter, { recursive: true })
  await tinyAdapter(loaded).save(adapter)
  loaded.device.close()
})

/** Lines of stdout, an answer each. */
async function chat(
  input: string,
  ...args: string[]
): Promise<{ answers: string[]; stderr: string; code: number | null }> {
  const flags = ['--model', model, '--max-new-tokens', '6', '--json', ...args]
  const { code, stdout, stderr } = await lowrank(['chat', ...flags], { input })
  const answers = stdout
    .trimEnd()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line).content as string)
  return { answers, stderr, code }
}

describe('lowrank chat', () => {
  it('answers every line, keeps the turns, and forgets them on /reset', async () => {
    const { answers, stderr, code } = await chat('hello\nagain\n/reset\nhello\n')
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'The conversation starts anew.\n' })
    expect(answers).toHaveLength(3)
    expect(answers[2]).toBe(answers[0])

    const loaded = await loadModel(model)
    const tokenizer = await loadTokenizer(model)
    const options = { maxNewTokens: 6 }
    const turns = [{ role: 'user', content: 'hello' }]
    const first = await generateText(loaded, tokenizer, turns, options)
    expect(answers[0]).toBe(first.text)
    turns.push({ role: 'assistant', content: first.text }, { role: 'user', content: 'again' })
    expect(answers[1]).toBe((await generateText(loaded, tokenizer, turns, options)).text)
    loaded.device.close()
  })

  it('switches adapters by the name of their run', async () => {
    const input =
      'hello\n/adapter none\n/reset\nhello\n/adapter pirate\n/reset\nhello\n/adapter parrot\n/exit\nnever read\n'
    const { answers, stderr, code } = await chat(input, '--adapter', adapter)
    expect(code).toBe(0)
    expect(stderr).toContain('  pirate\n* none\n')
    expect(stderr).toContain('* pirate\n  none\n')
    expect(stderr).toContain('There is no adapter parrot.\n')
    expect(answers).toHaveLength(3)
    expect(answers[2]).toBe(answers[0])
    expect(answers[1]).not.toBe(answers[0])

    const loaded = await loadModel(model)
    const tokenizer = await loadTokenizer(model)
    await LoraAdapter.load(loaded, adapter)
    const answer = await generateText(loaded, tokenizer, [{ role: 'user', content: 'hello' }], { maxNewTokens: 6 })
    expect(answers[0]).toBe(answer.text)
    loaded.device.close()
  })

  it('ends by an error where stdin cannot be read or has no end in sight', async () => {
    const ends = async (stdin: number, ...args: string[]) => {
      const child = spawn(process.execPath, [mainScript, ...args], {
        env: environment(),
        stdio: [stdin, 'ignore', 'pipe'],
      })
      let stderr = ''
      child.stderr?.setEncoding('utf8').on('data', (text) => {
        stderr += text
      })
      const code = await new Promise((resolve) => child.on('close', resolve))
      closeSync(stdin)
      return { code, stderr }
    }
    const noEnd = 'of at most 10,000,000 characters on stdin, got more; give a shorter prompt\n'
    for (const [command, what] of [
      ['chat', 'lines'],
      ['generate', 'a text'],
    ] as const) {
      const flags = [command, '--model', model]
      const latin = join(folder, 'latin.txt')
      await writeFile(latin, Buffer.from('caf\xe9 au lait\n', 'latin1'))
      expect(await ends(openSync(latin, 'r'), ...flags)).toEqual({
        code: 1,
        stderr: `error: [${command}] expected UTF-8 text on stdin, got other bytes; convert it to UTF-8\n`,
      })
      expect(await ends(openSync('/dev/zero', 'r'), ...flags)).toEqual({
        code: 1,
        stderr: `error: [${command}] expected ${what} ${noEnd}`,
      })
      expect(await ends(openSync(folder, 'r'), ...flags)).toEqual({
        code: 1,
        stderr: `error: [${command}] expected text on stdin, got a directory; give a file\n`,
      })
    }
  })

  it('reads lines that end in CRLF, come in pieces, or have no end', async () => {
    const { answers } = await chat('hello\r\n/reset\r\n\r\nhello')
    expect(answers).toHaveLength(2)
    expect(answers[1]).toBe(answers[0])
    expect(answers[0]).toBe((await chat('hello\n')).answers[0])
  })

  it('streams plain text without escape codes when nobody watches', async () => {
    const { stdout, code } = await lowrank(['chat', '--model', model, '--max-new-tokens', '6'], {
      input: 'hello\n/what\n',
    })
    const { answers } = await chat('hello\n')
    expect({ stdout, code }).toEqual({ stdout: `${answers[0]}\n`, code: 0 })
  })

  it('draws by the flags, the same for a seed, and refuses what is out of range before it loads anything', async () => {
    const drawn = await chat('hello\n', '--temperature', '1.5', '--seed', '3')
    expect((await chat('hello\n', '--temperature', '1.5', '--seed', '3')).answers).toEqual(drawn.answers)
    expect((await chat('hello\n', '--temperature', '1.5', '--seed', '4')).answers).not.toEqual(drawn.answers)
    for (const [flag, value, message] of [
      ['--top-p', '2', '[chat] expected a number above 0 and at most 1 (1 draws from all) for --top-p, got 2'],
      ['--stop', '', '[chat] expected strings that are not empty for --stop, got [""]'],
    ]) {
      const { code, stderr } = await lowrank(['chat', '--model', '/nowhere', flag as string, value as string])
      expect({ code, stderr }).toEqual({ code: 2, stderr: `error: ${message}\nlowrank chat --help says more\n` })
    }
  })
})

describe('lowrank plan --generate', () => {
  it('shows what answers take, and gives it to programs', async () => {
    const args = ['plan', '--generate', '--model', model, '--prompt-tokens', '100', '--max-new-tokens', '20']
    const shown = await lowrank(args)
    expect(shown.code).toBe(0)
    expect(shown.stdout).toMatch(/^Answering 1 x 100 tokens with up to 20 in \w+\n {2}weights .*\n {2}keys and values /)
    expect(shown.stdout).toContain('It fits')
    const { stdout } = await lowrank([...args, '--json', '--memory', '50MiB'])
    expect(JSON.parse(stdout)).toMatchObject({ promptTokens: 100, maxNewTokens: 20, batchSize: 1, fits: false })
  })

  it('needs a model, and --generate for what is about answers', async () => {
    expect((await lowrank(['plan', '--generate'])).stderr).toBe(
      'error: [train] expected the directory, .gguf file or Hub id of a model for model, got nothing; add --model DIR\n',
    )
    const { code, stderr } = await lowrank(['plan', '--model', model, '--prompt-tokens', '2'])
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'error: [plan] expected --prompt-tokens with --generate, got it without\n',
    })
  })
})

describe('lowrank chat on a terminal', () => {
  it('ends at once by Ctrl-C while JavaScript is busy, by the operating system', async () => {
    // JavaScript that does not come back as soon as an answer begins.
    const source = `
      import { writeSync } from 'node:fs'
      const set = process.stdin.setRawMode
      process.stdin.setRawMode = function (mode) {
        set.call(this, mode)
        if (mode) return this
        writeSync(2, 'BUSY')
        for (;;);
      }`
    const inside = `exec '${process.execPath}' '${mainScript}' chat --model '${model}'`
    const child = spawn('script', ['-qfec', inside, '/dev/null'], {
      env: { ...environment(), NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(source)}` },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    let shown = ''
    const keys: string[] = []
    const press = (key: string): void => {
      if (keys.includes(key)) return
      keys.push(key)
      child.stdin.write(key)
    }
    child.stdout.setEncoding('utf8').on('data', (text) => {
      shown += text
      if (shown.includes('BUSY')) press('\u0003')
      else if (shown.includes('> ')) press('hello\r')
    })
    const code = await new Promise((resolve) => child.on('close', resolve))
    expect(keys).toEqual(['hello\r', '\u0003'])
    // As the shell has it: 128 and the number of SIGINT.
    expect(code).toBe(130)
  })
})
