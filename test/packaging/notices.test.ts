/**
 * @file THIRD_PARTY_NOTICES: made from what is shipped, checked for drift, and refused where a licence is missing or
 * unknown.
 */

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const script = join(root, 'scripts/notices.mjs')

/** What the script says when it fails; empty when it does not. */
async function complaint(...args: string[]): Promise<string> {
  return await run(process.execPath, [script, ...args]).then(
    ({ stderr }) => stderr,
    ({ stderr }: { stderr: string }) => stderr,
  )
}

describe('of this checkout', () => {
  it('is up to date, and names every production dependency with the text of its licence', async () => {
    expect(await complaint('--check')).toBe('')
    const text = await readFile(join(root, 'THIRD_PARTY_NOTICES'), 'utf8')
    const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
    for (const [name, version] of Object.entries(dependencies)) {
      expect(text).toContain(`\n${name} ${version}: `)
      const files = await readFile(join(root, 'node_modules', name, 'package.json'), 'utf8')
      expect(text).toContain(`: ${JSON.parse(files).license}\n`)
    }
    for (const name of ['node-addon-api', 'node-api-headers', 'libstdc++', 'string-width', 'wordnet-base'])
      expect(text).toContain(`\n${name} `)
    expect(text).toContain('Copyright Eemeli Aro <eemeli@gmail.com>')
    expect(text).not.toContain('vitest')
  })

  it('names what is inside of the CUDA toolkit for the engine with CUDA, and for no other', async () => {
    const { notices } = (await import(script)) as { notices: (root?: string, options?: { cuda: boolean }) => string }
    const plain = notices()
    expect(plain).toBe(await readFile(join(root, 'THIRD_PARTY_NOTICES'), 'utf8'))
    expect(plain).not.toMatch(/NVIDIA|CUDA/)
    const cuda = notices(root, { cuda: true })
    const added = cuda.split('\n').filter((row) => !plain.split('\n').includes(row))
    expect(added.join('\n')).toMatch(
      /^Parts of the NVIDIA CUDA Toolkit, owned by NVIDIA Corporation: the CUDA Runtime \(libcudart_static\), linked statically,[\s\S]*: NVIDIA CUDA Toolkit End User License Agreement, [\s\S]*, https:\/\/docs\.nvidia\.com\/cuda\/eula\/index\.html$/,
    )
    // Nothing else differs.
    expect(cuda.replace(`${added.join('\n')}\n`, '')).toBe(plain)
  })
})

describe('of another', () => {
  const card = '# m\n\n## The text\n\n| package | version | licence | kB |\n| --- | --- | --- | ---: |\n'
  let directory: string
  let packages: Record<string, object>

  const install = async (path: string, license: string | undefined, files: Record<string, string>, lock = {}) => {
    const folder = join(directory, path)
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'package.json'), JSON.stringify({ version: '1.2.3', license }))
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
    await lockAs(path, lock)
  }
  const lockAs = async (path: string, lock: object) => {
    packages[path] = { version: '1.2.3', ...lock }
    await writeFile(join(directory, 'package-lock.json'), JSON.stringify({ packages }))
  }
  const writeCard = (rows: string) => writeFile(join(directory, 'models/lowrank-base-5m/README.md'), card + rows)

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lowrank-notices-'))
    packages = { '': {} }
    await mkdir(join(directory, 'models/lowrank-base-5m'), { recursive: true })
    await writeCard('| dict | 1-2 | MIT (old) | 3 |\n\n## More\n')
    for (const name of ['node-addon-api', 'node-api-headers'])
      await install(`node_modules/${name}`, 'MIT', { LICENSE: 'MIT text' }, { dev: true })
    await install('node_modules/@a/b', '(GPL-3.0 OR ISC)', { 'LICENCE.md': 'ISC text\r\nof b', NOTICE: 'b says' })
    await install('node_modules/c/node_modules/d', 'MIT', { LICENSE: 'MIT text' })
    await install('node_modules/tool', 'Proprietary', {}, { dev: true })
    await lockAs('node_modules/of-another-platform', { optional: true })
  })
  afterEach(() => rm(directory, { recursive: true }))

  it('has each text once, and nothing of development', async () => {
    expect(await complaint('--root', directory)).toBe('')
    const text = await readFile(join(directory, 'THIRD_PARTY_NOTICES'), 'utf8')
    expect(text).toContain(
      '1. Packages that npm installs with lowrank\n\n@a/b 1.2.3: (GPL-3.0 OR ISC)\nd 1.2.3: MIT\n\n---',
    )
    expect(text).toContain('were trained on\n\ndict 1-2: MIT (old)\n\n---')
    expect(text).toContain('Licence texts\n\n@a/b 1.2.3\n\nISC text\nof b\n\nb says\n')
    expect(text).toMatch(/\nd 1\.2\.3, node-addon-api 1\.2\.3, node-api-headers 1\.2\.3\n\nMIT text\n$/)
    expect(text.match(/MIT text/g)).toHaveLength(1)
  })

  it('is out of date when a dependency is added, until it is made again', async () => {
    await complaint('--root', directory)
    expect(await complaint('--root', directory, '--check')).toBe('')
    await install('node_modules/new', 'MIT', { LICENSE: 'MIT text of new' })
    expect(await complaint('--root', directory, '--check')).toBe(
      '[notices] expected THIRD_PARTY_NOTICES to say what is shipped, but it is out of date; run node scripts/notices.mjs\n',
    )
    await complaint('--root', directory)
    expect(await complaint('--root', directory, '--check')).toBe('')
  })

  it.each<[string, string | undefined, Record<string, string>, string]>([
    [
      'a licence that nobody has looked at',
      'SSPL-1.0',
      { LICENSE: '' },
      'x 1.2.3: expected a licence of 0BSD, Apache-2.0',
    ],
    ['no licence', undefined, { LICENSE: '' }, 'got none; read it, then add it to KNOWN_LICENCES'],
    ['a known licence and another', 'MIT AND SSPL-1.0', { LICENSE: '' }, 'got "MIT AND SSPL-1.0"; read it'],
    [
      'no text',
      'MIT',
      { 'README.md': 'MIT' },
      'x 1.2.3: expected a file with the text of its licence (MIT), found none',
    ],
  ])('fails on a package with %s', async (_, license, files, message) => {
    await install('node_modules/x', license, files)
    expect(await complaint('--root', directory)).toContain(message)
  })

  it('fails on a package that is not installed', async () => {
    await lockAs('node_modules/absent', {})
    expect(await complaint('--root', directory)).toBe(
      '[notices] expected node_modules/absent to be installed, found nothing; run npm ci\n',
    )
  })

  it('fails on a text under a licence that nobody has looked at', async () => {
    await writeCard('| novel | 1 | all rights reserved | 3 |\n')
    expect(await complaint('--root', directory)).toContain(
      'novel in models/lowrank-base-5m/README.md: expected a licence of',
    )
  })
})
