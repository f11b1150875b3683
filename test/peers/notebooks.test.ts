/**
 * @file The notebooks of examples/notebooks in Deno's kernel and in tslab, Node's: nbclient runs them without a
 * browser. CI and `npm run test:long` run all of them in both kernels, `npm test` two.
 */

import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isThorough } from '../support/long.js'
import { describeWithPython, runPython } from './python.js'

const runtimes = process.env.LOWRANK_TEST_RUNTIMES || undefined
if (runtimes === undefined && process.env.LOWRANK_TEST_PEERS === 'required') {
  throw new Error(
    '[test] expected LOWRANK_TEST_RUNTIMES to name a node_modules folder with test/peers/runtimes-without-scripts.txt, got nothing',
  )
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const SCRIPT = fileURLToPath(new URL('notebooks.py', import.meta.url))
const NOTEBOOKS = ['first-adapter', 'look-at-masks', 'qlora', 'compare-adapters', 'databricks']
const QUICK = ['look-at-masks', 'databricks']

interface Cell {
  readonly cell_type: string
  readonly source: readonly string[]
  readonly outputs?: readonly {
    readonly output_type: string
    readonly name?: string
    readonly text?: readonly string[]
    readonly data?: Readonly<Record<string, readonly string[]>>
  }[]
}

const read = async (file: string): Promise<Cell[]> => JSON.parse(await readFile(file, 'utf8')).cells
const outputsOf = (cells: readonly Cell[]) => cells.flatMap(({ outputs = [] }) => outputs)
/** What does not change from run to run: seconds and ports do. */
const formsOf = (cells: readonly Cell[]) =>
  outputsOf(cells).map(({ output_type, data = {} }) => `${output_type} ${Object.keys(data)[0] ?? ''}`)

describe('the notebooks of the examples', () => {
  const file = (name: string) => join(ROOT, 'examples/notebooks', `${name}.ipynb`)

  it('are those that the tests run', async () => {
    const names = (await readdir(join(ROOT, 'examples/notebooks'))).filter((name) => name.endsWith('.ipynb'))
    expect(names.sort()).toEqual(NOTEBOOKS.map((name) => `${name}.ipynb`).sort())
  })

  it.each(NOTEBOOKS)('%s is small, and has outputs without warnings', async (name) => {
    expect((await readFile(file(name))).length).toBeLessThan(24_000)
    const outputs = outputsOf(await read(file(name)))
    expect(outputs.length).toBeGreaterThan(2)
    expect(outputs.filter((output) => output.output_type === 'error' || output.name === 'stderr')).toEqual([])
  })

  const describeInKernels = runtimes === undefined ? describe.skip : describeWithPython
  describeInKernels('run', () => {
    let folder: string
    let variables: NodeJS.ProcessEnv

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'lowrank-notebooks-'))
      const packages = runtimes as string
      // A project with the package installed, and the examples at their place in it.
      await mkdir(join(folder, 'node_modules'))
      await mkdir(join(folder, 'examples'))
      await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
      await cp(join(ROOT, 'examples/notebooks'), join(folder, 'examples/notebooks'), { recursive: true })
      await symlink(join(ROOT, 'examples/quickstart'), join(folder, 'examples/quickstart'))
      await symlink(join(ROOT, 'models'), join(folder, 'models'))
      await symlink(ROOT, join(folder, 'node_modules/lowrank'))
      await symlink(join(packages, '@observablehq'), join(folder, 'node_modules/@observablehq'))
      const env = { ...process.env, HOME: folder, XDG_DATA_HOME: join(folder, '.local/share') }
      await promisify(execFile)(join(packages, '.bin/deno'), ['jupyter', '--install', '--force'], { env })
      const tslab = join(folder, '.local/share/jupyter/kernels/tslab')
      await mkdir(tslab, { recursive: true })
      const program = await realpath(join(packages, 'tslab/bin/tslab'))
      const argv = [process.execPath, program, 'kernel', '--config-path', '{connection_file}']
      await writeFile(
        join(tslab, 'kernel.json'),
        JSON.stringify({ argv, display_name: 'tslab', language: 'typescript' }),
      )
      variables = { JUPYTER_PATH: join(folder, '.local/share/jupyter') }
    })
    afterAll(() => rm(folder, { recursive: true }))

    describe.each(['deno', 'tslab'])('in the kernel %s', (kernel) => {
      it.each(isThorough ? NOTEBOOKS : QUICK)(
        '%s, from top to bottom, with the outputs that it shows',
        async (name) => {
          const place = join(folder, 'examples/notebooks')
          const output = join(folder, `${name}-${kernel}.ipynb`)
          const result = await runPython([SCRIPT, join(place, `${name}.ipynb`), kernel, place, output], '', variables)
          expect(result.code, result.stderr).toBe(0)
          const [shown, made] = await Promise.all([read(file(name)), read(output)])
          expect(made.map(({ source }) => source)).toEqual(shown.map(({ source }) => source))
          expect(formsOf(made)).toEqual(formsOf(shown))
          expect(outputsOf(made).filter((one) => one.output_type === 'error' || one.name === 'stderr')).toEqual([])
          expect((await readFile(output)).length).toBeLessThan(24_000)
        },
      )
    })
  })
})
