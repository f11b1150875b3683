/**
 * @file Writes THIRD_PARTY_NOTICES from what is shipped: production dependencies as package-lock.json and node_modules have them, what is
 * compiled into the engine, and the texts that the model in models/ was trained on. The package of the engine with CUDA has its own, which
 * scripts/pack.mjs makes: it also names what that engine has of the CUDA toolkit. `--check` compares instead of writing, and fails when the
 * file is out of date; `--root DIR` looks at another checkout.
 *
 * A package without a licence file, or under a licence that nobody has looked at, is an error: see KNOWN_LICENCES.
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './phases.mjs'

export const NOTICES_FILE = 'THIRD_PARTY_NOTICES'

/** Those that allow shipping beside and inside Apache-2.0 when their text goes along. */
const KNOWN_LICENCES = [
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'ISC',
  'MIT',
  'Python-2.0',
]
/** Packages that name a licence and ship no text of it, nor name a holder of the copyright: its usual text stands for it. */
const WITHOUT_TEXT = {
  'gearhash-jit': {
    license: 'MIT',
    text: `(The package names the MIT licence and no holder of the copyright; this is the usual text.)

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software
is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR
IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`,
  },
}
/** Licences of texts, as models/lowrank-base-5m/README.md names them before a bracket. */
const KNOWN_TEXT_LICENCES = [
  ...KNOWN_LICENCES,
  'Apache-2.0 with LLVM exception',
  'BSL-1.0',
  'MIT or Apache-2.0',
  'PSF-2.0',
  'PostgreSQL',
  'WordNet 3.0',
  'public domain',
]
/** Packages whose headers native/ includes. */
const COMPILED_IN = ['node-addon-api', 'node-api-headers']
const GCC_RUNTIME =
  'libstdc++ and libgcc, linked statically: GPL-3.0 with the GCC Runtime Library Exception 3.1,\n' +
  '  https://www.gnu.org/licenses/gcc-exception-3.1.html'
/** What nvcc and the linker put into the engine with CUDA: both are listed in Attachment A of the agreement. */
const CUDA_TOOLKIT =
  'Parts of the NVIDIA CUDA Toolkit, owned by NVIDIA Corporation: the CUDA Runtime (libcudart_static), linked statically, and mathematical\n' +
  '  functions (libdevice) in the kernels: NVIDIA CUDA Toolkit End User License Agreement, whose Attachment A lets them be distributed within an\n' +
  '  application, https://docs.nvidia.com/cuda/eula/index.html'
const MODEL_CARD = 'models/lowrank-base-5m/README.md'
const LICENCE_FILE = /^(licen[cs]e|copying|notice)([.-].*)?$/i
const RULE = '-'.repeat(80)

/**
 * The text of THIRD_PARTY_NOTICES for the checkout in `directory`.
 * @param cuda for the package of the engine with CUDA; default false.
 * @throws naming what lacks a licence, and the remedy
 */
export function notices(directory = root, { cuda = false } = {}) {
  const dependencies = productionPackages(directory).map((path) => readPackage(directory, path))
  const compiledIn = COMPILED_IN.map((name) => readPackage(directory, `node_modules/${name}`))
  const sections = [
    'Third-party notices\n\nlowrank itself is under the Apache License 2.0, see LICENSE. This file is made by scripts/notices.mjs.',
    `1. Packages that npm installs with lowrank\n\n${dependencies.map(line).join('\n')}`,
    `2. Compiled into the engine\n\n${[...compiledIn.map(line), GCC_RUNTIME, ...(cuda ? [CUDA_TOOLKIT] : [])].join('\n')}`,
    '3. Texts that the weights in models/lowrank-base-5m (in the repository, not in the npm packages) were trained on\n\n' +
      `${trainingTexts(directory).map(line).join('\n')}`,
    `Licence texts\n\n${licenceTexts([...dependencies, ...compiledIn])}`,
  ]
  return `${sections.join(`\n\n${RULE}\n\n`)}\n`
}

/** Folders of all packages that a user gets, sorted by name. An optional one that this platform lacks is not there to read. */
function productionPackages(directory) {
  const { packages } = JSON.parse(readFileSync(join(directory, 'package-lock.json'), 'utf8'))
  const ofOthers = packagesOfWorkspaces(packages)
  return (
    Object.entries(packages)
      .filter(([path, { dev, link }]) => path.includes('node_modules/') && !dev && !link && !ofOthers.has(path))
      // devOptional: what a tool of development and an optional package of users both need.
      .filter(([path, { optional, devOptional }]) => !(optional || devOptional) || existsSync(join(directory, path)))
      .map(([path]) => path)
      .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
  )
}

/** Folders of packages that only packages below packages/ need: npm installs them with these, and not with lowrank. */
function packagesOfWorkspaces(packages) {
  const reached = (from) => {
    const seen = new Set()
    const waiting = [...from]
    for (const path of waiting) {
      const { dependencies, optionalDependencies, peerDependencies } = packages[path]
      for (const name of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies })) {
        const found = folderOf(packages, path, name)
        if (found === undefined || seen.has(found)) continue
        seen.add(found)
        waiting.push(found)
      }
    }
    return seen
  }
  const own = reached([''])
  const workspaces = Object.keys(packages).filter((path) => path !== '' && !path.includes('node_modules/'))
  return new Set([...reached(workspaces)].filter((path) => !own.has(path)))
}

/** Where Node finds a package for another one: in the nearest node_modules. */
function folderOf(packages, from, name) {
  for (let folder = from; ; ) {
    const found = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`
    if (packages[found] !== undefined) return found
    if (folder === '') return undefined
    const at = folder.lastIndexOf('node_modules/')
    folder = at > 0 ? folder.slice(0, at - 1) : ''
  }
}

function nameOf(path) {
  return path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
}

function readPackage(directory, path) {
  const folder = join(directory, path)
  if (!existsSync(join(folder, 'package.json')))
    throw new Error(`expected ${path} to be installed, found nothing; run npm ci`)
  const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const name = nameOf(path)
  if (typeof license !== 'string' || !isKnown(license)) {
    throw new Error(
      `${name} ${version}: expected a licence of ${KNOWN_LICENCES.join(', ')}, got ${JSON.stringify(license) ?? 'none'}; ` +
        'read it, then add it to KNOWN_LICENCES in scripts/notices.mjs, or use another package',
    )
  }
  const files = readdirSync(folder)
    .filter((file) => LICENCE_FILE.test(file))
    .sort()
  const usual = WITHOUT_TEXT[name]
  if (files.length === 0 && usual?.license === license) return { name, version, license, text: usual.text }
  if (files.length === 0) {
    throw new Error(
      `${name} ${version}: expected a file with the text of its licence (${license}), found none; use another package`,
    )
  }
  const text = files
    .map((file) => readFileSync(join(folder, file), 'utf8').replaceAll('\r\n', '\n').trim())
    .join('\n\n')
  return { name, version, license, text }
}

/** An SPDX expression without exceptions: one side of OR is enough. */
function isKnown(license) {
  const sides = license.replace(/[()]/g, '').split(' OR ')
  return sides.some((side) => side.split(' AND ').every((name) => KNOWN_LICENCES.includes(name)))
}

/** The rows of the table "The text" of the model card. */
function trainingTexts(directory) {
  const card = readFileSync(join(directory, MODEL_CARD), 'utf8')
  const section = card.split('\n## The text\n')[1]?.split('\n## ')[0] ?? ''
  const rows = section
    .split('\n')
    .filter((row) => row.startsWith('| '))
    .slice(2)
  if (rows.length === 0) throw new Error(`expected a table of packages under "The text" in ${MODEL_CARD}, found none`)
  return rows.map((row) => {
    const [name, version, license] = row
      .split('|')
      .slice(1)
      .map((cell) => cell.trim())
    if (!KNOWN_TEXT_LICENCES.includes(license?.replace(/ \(.*\)$/, ''))) {
      throw new Error(
        `${name} in ${MODEL_CARD}: expected a licence of ${KNOWN_TEXT_LICENCES.join(', ')}, got ${JSON.stringify(license)}; ` +
          'read it, then add it to KNOWN_TEXT_LICENCES in scripts/notices.mjs, or train without the text',
      )
    }
    return { name, version, license }
  })
}

function line({ name, version, license }) {
  return `${name} ${version}: ${license}`
}

/** Each text once, under the names of all that have it. */
function licenceTexts(packages) {
  const owners = new Map()
  for (const { name, version, text } of packages) owners.set(text, [...(owners.get(text) ?? []), `${name} ${version}`])
  return [...owners].map(([text, names]) => `${names.join(', ')}\n\n${text}`).join(`\n\n${RULE}\n\n`)
}

function main(args) {
  const at = args.indexOf('--root')
  const directory = at < 0 ? root : args[at + 1]
  const path = join(directory, NOTICES_FILE)
  const text = notices(directory)
  if (!args.includes('--check')) writeFileSync(path, text)
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== text)
    throw new Error(
      `expected ${NOTICES_FILE} to say what is shipped, but it is out of date; run node scripts/notices.mjs`,
    )
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    main(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`[notices] ${error.message}\n`)
    process.exitCode = 1
  }
}
