/** @file `lowrank serve` as a process: what it shows, what it refuses, whom it lets in, and how it ends. */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { startScreen } from '../../src/cli/serve-screen.js'
import { CHATML } from '../serve/served.js'
import { temporaryDirectory, tinyAdapter, writeTinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer, writeTinyTokenizer } from '../support/tiny-tokenizer.js'
import { lowrank, mainScript } from './run-cli.js'
import { endLeftBehind, press, type Running, start } from './running.js'

const folder = temporaryDirectory()
const model = join(folder, 'tiny')
const adapter = join(folder, 'law', 'adapter')
const KEY = 'planted-key-of-a-file'

endLeftBehind()

beforeAll(async () => {
  await writeTinyModel(model)
  await writeTinyTokenizer(model, tinyByteLevelTokenizer({ chatTemplate: CHATML }))
  const loaded = await loadModel(model)
  await (tinyAdapter(loaded) as LoraAdapter).save(adapter)
  loaded.dispose()
  await writeFile(join(folder, 'keys.txt'), `# of the tests\n${KEY}\n\nanother-key-of-the-file\n`)
})

/** What `--json` says, once it listens. */
async function listening(running: Running): Promise<{ url: string; models: string[]; hasKeys: boolean }> {
  await running.shows('"listening"')
  await expect.poll(() => running.output().includes('}\n')).toBe(true)
  return JSON.parse(running.output().split('\n')[0] as string) as { url: string; models: string[]; hasKeys: boolean }
}

describe('lowrank serve', () => {
  it('serves a model and an adapter to those who have a key, writes a log, and ends in order', async () => {
    const log = join(folder, 'logs', 'requests.jsonl')
    const flags = [
      '--adapter',
      adapter,
      '--port',
      '0',
      '--api-key-file',
      join(folder, 'keys.txt'),
      '--log',
      log,
      '--json',
    ]
    const running = start(process.execPath, [mainScript, 'serve', model, ...flags, '--max-model-len', '256'], {})
    const { url, models, hasKeys } = await listening(running)
    expect({ models, hasKeys }).toEqual({ models: ['tiny', 'law'], hasKeys: true })
    const ask = async (name: string, key: string): Promise<Response> =>
      await fetch(`${url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
        body: JSON.stringify({ model: name, prompt: 'planted-prompt', max_tokens: 5, temperature: 0 }),
      })
    expect((await ask('tiny', 'planted-other-key')).status).toBe(401)
    const texts: string[] = []
    for (const name of ['tiny', 'law', 'tiny:law']) {
      const answer = (await (await ask(name, KEY)).json()) as {
        choices: { text: string }[]
        usage: { completion_tokens: number }
      }
      expect(answer.usage.completion_tokens).toBeGreaterThan(0)
      texts.push(answer.choices[0]?.text as string)
    }
    expect(texts[1]).toBe(texts[2])
    expect(texts[1]).not.toBe(texts[0])
    running.child.kill('SIGTERM')
    expect(await running.ended).toEqual({ code: 0, signal: null })
    const logged = await readFile(log, 'utf8')
    expect(
      logged
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as { status: number }).status),
    ).toEqual([401, 200, 200, 200])
    expect(logged + running.output()).not.toContain('planted')
  })

  it('ends at once by a second signal', async () => {
    const flags = ['--port', '0', '--json', '--max-sequences', '1']
    const running = start(process.execPath, [mainScript, 'serve', model, ...flags], {
      LOWRANK_API_KEY: 'planted-key-of-the-environment',
    })
    const { url, hasKeys } = await listening(running)
    expect(hasKeys).toBe(true)
    expect((await fetch(`${url}/v1/models`)).status).toBe(401)
    // A request whose body does not come keeps the server from ending.
    const body = new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from('{')) })
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer planted-key-of-the-environment' },
      body,
      duplex: 'half',
    }
    const waiting = fetch(`${url}/v1/completions`, init as RequestInit).catch(() => undefined)
    await expect
      .poll(async () => {
        const metrics = await fetch(`${url}/metrics`, {
          headers: { authorization: 'Bearer planted-key-of-the-environment' },
        })
        return /^lowrank_requests_open 2$/m.test(await metrics.text())
      })
      .toBe(true)
    // Two within a tenth of a second are one.
    expect(await press(running, () => running.child.kill('SIGTERM'))).toBeGreaterThan(1)
    expect(await running.ended).toEqual({ code: null, signal: 'SIGTERM' })
    await waiting
  })

  it.each<[string[], string]>([
    [[], '[serve] expected MODEL, or --adapter DIR, which names it; got neither'],
    [
      ['m', '--adapter', 'a/x', '--adapter', 'b/x/adapter'],
      '[serve] expected each name of an adapter once, got x twice',
    ],
    [['m', '--host', '0.0.0.0', '--admin'], '[serve] expected --api-key-file with --admin'],
    [['m', '--port', '70000'], 'expected a whole number of at least 0 and at most 65535 for --port'],
  ])('refuses %j', async (words, message) => {
    const { code, stderr } = await lowrank(['serve', ...words])
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(message) })
  })

  it('refuses a file of keys that has none, before anything is loaded', async () => {
    await writeFile(join(folder, 'empty.txt'), '# none\n')
    const { code, stderr } = await lowrank(['serve', '/nowhere', '--api-key-file', join(folder, 'empty.txt')])
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('[serve] expected a key per line in') })
  })
})

describe('the start screen', () => {
  it('shows where, what, and a line to try', () => {
    const served = {
      url: 'http://127.0.0.1:8000',
      models: ["o'hara", 'law'],
      maxModelLen: 8192,
      hasKeys: true,
      hasPage: true,
      hasChat: true,
    }
    const screen = startScreen(served, (_, text) => text)
    expect(screen).toContain('base URL   http://127.0.0.1:8000/v1\n')
    expect(screen).toContain("models     o'hara, law\n")
    expect(screen).toContain('context    8,192 tokens\n')
    expect(screen).toContain('-H "authorization: Bearer $LOWRANK_API_KEY" \\\n')
    expect(screen).toContain(`-d '{"model":"o'\\''hara","messages":[{"role":"user","content":"Hello!"}]}'`)
    expect(startScreen({ ...served, hasChat: false, hasKeys: false }, (_, text) => text)).toContain(
      '/v1/completions \\\n  -H',
    )
  })
})
