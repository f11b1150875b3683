/** @file `lowrank init`: the file that it writes, and what it does not overwrite. */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { readConfig } from '../../src/cli/config.js'
import { TRAIN_OPTIONS } from '../../src/integrations/options.js'
import { resolveAllOptions } from '../../src/integrations/resolve-options.js'
import { everyOption } from '../../src/train/options-file.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { lowrank } from './run-cli.js'

const folder = temporaryDirectory()

describe('lowrank init', () => {
  it('writes a file that train accepts, with the names that were given', async () => {
    const path = join(folder, 'given.yaml')
    const model = "it's: a #model"
    const { code, stdout } = await lowrank(['init', path, '--model', model, '--dataset', '*.jsonl', '--output', 'o/1'])
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^Wrote .*given\.yaml\. Then:\n/) })
    const { options } = await readConfig(path)
    expect(resolveAllOptions(options)).toMatchObject({ model, dataset: '*.jsonl', outputDir: 'o/1' })
    const plain = join(folder, 'plain.yaml')
    await lowrank(['init', plain, '--model', 'm', '--dataset', 'rows,and more.jsonl'])
    expect((await readConfig(plain)).options).toMatchObject({ model: 'm', dataset: 'rows,and more.jsonl' })
    await lowrank(['init', plain, '--force', '--dataset', 'rows.jsonl'])
    expect((await readConfig(plain)).options).toMatchObject({ dataset: 'rows.jsonl' })
  })

  it('says in the file what else there is, every line of which is accepted where its # is taken away', async () => {
    const { stdout } = await lowrank(['init'], { cwd: folder })
    expect(stdout).toContain('Wrote run.yaml. Fill in model and dataset. Then:\n  node ')
    expect(stdout).toContain('main.js train run.yaml\n')
    const lines = (await readFile(join(folder, 'run.yaml'), 'utf8')).split('\n')
    const commented = lines.flatMap((line, index) => (/^ *# \w+: /.test(line) ? [index] : []))
    expect(commented.length).toBeGreaterThanOrEqual(10)
    for (const index of commented) {
      const text = lines.map((line, i) => (i === index ? line.replace('# ', '') : line)).join('\n')
      const before = resolveAllOptions(parse(lines.join('\n')))
      expect(resolveAllOptions(parse(text)), lines[index]).not.toEqual(before)
    }
  })

  it('writes every option with --all, which takes no other names', async () => {
    const path = join(folder, 'all.yaml')
    expect((await lowrank(['init', path, '--all'])).code).toBe(0)
    expect(await readFile(path, 'utf8')).toBe(everyOption(TRAIN_OPTIONS))
    const both = await lowrank(['init', join(folder, 'both.yaml'), '--all', '--model', 'm'])
    expect(both.stderr).toContain('[init] expected --all, or --model, --dataset and --output, got both')
  })

  it('replaces no file unless it is told to', async () => {
    const path = join(folder, 'mine.yaml')
    await writeFile(path, 'mine')
    const refused = await lowrank(['init', path])
    expect(refused).toEqual({
      code: 2,
      stdout: '',
      stderr: `error: [init] expected a new file, got ${path}, which exists; choose another, or add --force\n`,
    })
    expect(await readFile(path, 'utf8')).toBe('mine')
    expect((await lowrank(['init', path, '--force'])).code).toBe(0)
    expect(await readFile(path, 'utf8')).toContain('outputDir: out/mine')
  })

  it('refuses names that are not those of a configuration', async () => {
    for (const args of [['rows.jsonl'], ['model'], ['x.yaml', '--model', '']]) {
      const { code, stderr } = await lowrank(['init', ...args], { cwd: folder })
      expect(stderr).toMatch(/^error: \[init\] expected (?:a|the) /)
      expect(code).toBe(2)
    }
  })
})
