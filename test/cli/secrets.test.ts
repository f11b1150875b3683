/** @file No secret in anything that a command writes, wherever somebody put it. */

import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { isLong } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { lowrank } from './run-cli.js'

const folder = temporaryDirectory()
const model = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))
/** A token of the Hub, told by its form, and one of a mirror, which is known only by where it stands. */
const TOKEN = 'hf_abcdefghijKLMNOPqrstuv0123456789'
const PLAIN = 'mirror-secret-7'
const offline = { HF_ENDPOINT: 'http://127.0.0.1:9', HF_HUB_OFFLINE: '0', HF_HOME: folder }
const to = ['--output', join(folder, 'out')]

type Case = [string, string[], Record<string, string>]

const CASES: Case[] = [
  ['in the id of a model', ['plan', '--model', `org/${TOKEN}`], {}],
  ['in an address', ['train', '--model', model, '--dataset', `https://me:${PLAIN}@host/x.jsonl`, ...to], {}],
  ['as a file of options', ['train', TOKEN], {}],
  ['behind a flag that does not exist', ['train', `--token=${PLAIN}`, '--model', PLAIN], {}],
  ['as a setting without =', ['train', '--set', 'token', PLAIN, '--model', PLAIN, '--dataset', 'x', ...to], {}],
  ['as a setting of the wrong kind', ['train', '--set', `token=[${PLAIN}]`, '--model', 'm'], {}],
  [
    'as a setting and elsewhere',
    ['train', '--set', `token=${PLAIN}`, '--model', `a/${PLAIN}`, '--dataset', PLAIN, ...to],
    {},
  ],
  ['in the environment and elsewhere', ['plan', '--model', `org/${PLAIN}`], { HF_TOKEN: PLAIN }],
  ['in the address of the Hub', ['plan', '--model', 'org/x'], { HF_ENDPOINT: `http://me:${PLAIN}@127.0.0.1:9` }],
]

/** For the full series: each is a process. */
const MORE_CASES: Case[] = [
  ['as a model', ['train', '--model', TOKEN, '--dataset', 'x', ...to], {}],
  ['as a revision', ['generate', '--model', 'org/name', '--prompt', 'x', '--revision', TOKEN], {}],
  ['as a data set', ['train', '--model', model, '--dataset', TOKEN, ...to], {}],
  ['in the query of an address', ['train', '--model', model, '--dataset', `https://h/x?token=${PLAIN}`, ...to], {}],
  ['as a command', [TOKEN], {}],
  ['as the next argument', ['train', '--hf-token', PLAIN], {}],
  ['as a setting without a key', ['train', '--set', TOKEN], {}],
  ['as a number', ['generate', '--model', 'x', '--prompt', 'x', '--seed', TOKEN], {}],
  ['as an adapter', ['merge', '--adapter', TOKEN, ...to], {}],
  ['as a preset', ['plan', '--model', model, '--preset', TOKEN], {}],
  ['with characters that no header takes', ['plan', '--model', 'org/x'], { HF_TOKEN: `${PLAIN}\u00e4` }],
  ['in an address of the Hub that is none', ['plan', '--model', 'org/x'], { HF_ENDPOINT: `ftp://me:${PLAIN}@host` }],
]

describe('a secret', () => {
  it.each(isLong ? [...CASES, ...MORE_CASES] : CASES)('is not shown %s', async (_, args, env) => {
    const { code, stdout, stderr } = await lowrank([...args, '--verbose'], { env: { ...offline, ...env } })
    expect(stdout + stderr).not.toMatch(/hf_abc|mirror-secret/)
    expect(stderr).toMatch(/^error: /)
    expect([1, 2]).toContain(code)
  })

  it('a secret in a file is not shown by any mistake in it, nor in what programs read', async () => {
    const file = join(folder, 'run.yaml')
    const rows = join(folder, 'rows.jsonl')
    await writeFile(rows, '{"text":"one"}\n')
    const run = `model: ${model}\ndataset: ${rows}\noutputDir: ${folder}/run\ntraining: { maxSteps: 1, maxLength: 64 }\n`
    for (const line of [
      `token: [${PLAIN}`,
      `hf_token: ${PLAIN}`,
      `token: { value: ${PLAIN} }`,
      `lora: { token: ${PLAIN} }`,
    ]) {
      await writeFile(file, `${run}${line}\n`)
      const { code, stdout, stderr } = await lowrank(['train', file, '--json', '--verbose'])
      expect(stdout + stderr, line).not.toContain(PLAIN)
      expect(code).toBe(2)
    }
    await writeFile(file, `${run}token: ${PLAIN}\n`)
    const { code, stdout, stderr } = await lowrank(['train', file, '--json', '--verbose'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('"type":"save","kind":"adapter"')
    expect(stdout).not.toContain(PLAIN)
    expect(readFileSync(join(folder, 'run/adapter/adapter_config.json'), 'utf8')).not.toContain(PLAIN)
  })
})
