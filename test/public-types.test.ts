/**
 * @file The types that programs are written against: every option has hover text and a default, every type that is
 * named can be imported.
 */

import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import oldTs from '@tsd/typescript'
import ts from 'typescript'
import { beforeAll, describe, expect, it } from 'vitest'
import { LORA_OPTIONS } from '../src/adapters/lora-config.js'
import type { OptionTable } from '../src/options/table.js'
import { TRAINING_OPTIONS } from '../src/train/training-options.js'
import { isLong } from './support/long.js'
import { temporaryDirectory } from './support/tiny-model.js'

const root = fileURLToPath(new URL('..', import.meta.url))
/** What programs import: the package, and what stands beside it. */
const ENTRIES = ['index', 'databricks', 'hosted', 'mlflow', 'notebook', 'testing', 'tfjs'].map(
  (name) => `${root}dist/${name}.d.ts`,
)
/** Options by another name: `LoraConfig` is what options become, `ForwardBatch` what a call takes. */
const OPTIONS = /Options$|Input$|Batch$|^LoraConfig$/

const { SECTIONS } = (await import(new URL('../scripts/options-page.mjs', import.meta.url).href)) as {
  SECTIONS: readonly { readonly type: string; readonly file: string; readonly table: string }[]
}

let checker: ts.TypeChecker
/** What a program can import, by name, of each entry. */
let entries: Map<string, ts.Symbol>[]
/** The same of all of them. */
let exported: Map<string, ts.Symbol>

beforeAll(() => {
  const program = ts.createProgram(ENTRIES, {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    typeRoots: [`${root}node_modules/@types`],
    types: ['node'],
  })
  checker = program.getTypeChecker()
  entries = ENTRIES.map((file) => {
    const entry = checker.getSymbolAtLocation(program.getSourceFile(file) as ts.SourceFile) as ts.Symbol
    return new Map(checker.getExportsOfModule(entry).map((symbol) => [symbol.name, origin(symbol)]))
  })
  exported = new Map(entries.flatMap((entry) => [...entry]))
})

function origin(symbol: ts.Symbol): ts.Symbol {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
}

interface Option {
  readonly name: string
  readonly text: string
  readonly default: string | undefined
  /** Whether it may be left out; what options become has every value. */
  readonly hasDefault: boolean
}

function optionsOf(type: ts.Symbol): Option[] {
  return checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(type)).map((property) => {
    const tag = property.getJsDocTags(checker).find(({ name }) => name === 'default')
    return {
      name: property.name,
      text: ts.displayPartsToString(property.getDocumentationComment(checker)),
      default: tag && ts.displayPartsToString(tag.text),
      hasDefault: (property.flags & ts.SymbolFlags.Optional) !== 0 || type.name === 'LoraConfig',
    }
  })
}

describe('the published types', () => {
  it('say of every option what it is, and what it is where it is left out', () => {
    const lacking: string[] = []
    let seen = 0
    for (const [name, symbol] of exported) {
      if (!OPTIONS.test(name)) continue
      for (const option of optionsOf(symbol)) {
        seen++
        if (option.text === '' || (option.hasDefault && !option.default)) lacking.push(`${name}.${option.name}`)
      }
    }
    expect(lacking).toEqual([])
    // Fewer would mean that the walk misses them.
    expect(seen).toBeGreaterThan(150)
  })

  it('name the defaults that the tables of options have', async () => {
    const tables: [type: string, table: OptionTable][] = [
      ['TrainingOptions', TRAINING_OPTIONS],
      ['LoraConfig', LORA_OPTIONS],
    ]
    for (const { type, file, table } of SECTIONS)
      tables.push([type, (await import(/* @vite-ignore */ new URL(`../dist/${file}.js`, import.meta.url).href))[table]])
    let compared = 0
    for (const [type, table] of tables) {
      for (const option of optionsOf(exported.get(type) as ts.Symbol)) {
        const value = table[option.name]?.default
        // What is left open has no value that could be written down.
        if (value === undefined) continue
        const written = inspect(value).replaceAll(' ', '')
        // Behind a comma stands where a value comes from: 1e-3, as PyTorch's.
        const said = (option.default as string).replace(/, [a-z][^:]*$/, '').replaceAll(' ', '')
        const shown = /^-?[\d.e-]+$/.test(said) ? String(Number(said)) : said
        expect(`${type}.${option.name} ${shown}`).toBe(`${type}.${option.name} ${written}`)
        compared++
      }
    }
    expect(compared).toBeGreaterThan(100)
  })

  it('can be imported, all that a signature names, from the entry that has it', () => {
    for (const entry of entries) expect(unexported(checker, entry.values(), `${root}dist/`)).toEqual([])
    expect(exported.size).toBeGreaterThan(100)
  })

  it.each([
    ['a parameter', 'export declare function f(x: Missing): void'],
    ['a return type', 'export declare function f(): Promise<readonly Missing[]>'],
    ['a constraint of a generic', 'export declare function f<T extends Missing>(x: T): T'],
    ['a default of a generic', 'export interface I<T = Missing> { x: T }'],
    ['a member of a class', 'export declare class C { get x(): Missing }'],
    ['a parameter of a constructor', 'export declare class C { constructor(x: { y: Missing }) }'],
    ['a static member of a class', 'export declare class C { static f(x?: Missing): C }'],
    ['a member of an interface', 'export interface I { f(x: () => Missing): void }'],
    ['a base class', 'export declare class C extends Base {}'],
    ['a base interface', 'export interface I extends Missing {}'],
    ['an alias', "export type A = Pick<Missing, 'y'> | undefined"],
    ['the type of a constant', 'export declare const c: Record<string, Missing>'],
    ['the type of a value', 'export declare function f(x: typeof value): void'],
    ['a key of the type of a value', 'export declare function f(x: keyof typeof value): void'],
    ['a type that is imported in place', "export declare function f(x: import('./parts.js').Missing): void"],
    ['a type predicate', 'export declare function f(x: unknown): x is Missing'],
    ['a re-exported function', "export { g } from './parts.js'"],
  ])('a type that is not exported is found in %s', (_, text) => {
    const found = missingFrom({
      'index.d.ts': `import { Base, type Missing, value } from './parts.js'\n${text}\n`,
      'parts.d.ts':
        'export interface Missing { y: 1 }\nexport declare class Base {}\nexport declare const value: { z: 1 }\n' +
        'export declare function g(x: Missing): void\n',
    })
    expect(found).toEqual([/typeof/.test(text) ? 'value' : /Base/.test(text) ? 'Base' : 'Missing'])
  })

  it('private members and parameters of types need no export', () => {
    const text = 'export declare class C<T> { private x; private constructor(); f<U>(x: T, y: U): Array<U> }'
    expect(missingFrom({ 'index.d.ts': text })).toEqual([])
  })
})

/** Names of what the declarations of `symbols` name and these do not have, of files below `folder`. */
function unexported(types: ts.TypeChecker, symbols: Iterable<ts.Symbol>, folder: string): string[] {
  const known = new Set(symbols)
  const missing = new Set<string>()
  const see = (name: ts.Node): void => {
    const found = types.getSymbolAtLocation(name)
    const symbol = found && found.flags & ts.SymbolFlags.Alias ? types.getAliasedSymbol(found) : found
    const isOurs = symbol?.declarations?.some(
      (declaration) =>
        declaration.getSourceFile().fileName.startsWith(folder) &&
        !ts.isTypeParameterDeclaration(declaration) &&
        !ts.isParameter(declaration),
    )
    if (symbol && isOurs && !known.has(symbol)) missing.add(symbol.name)
  }
  const visit = (node: ts.Node): void => {
    const isPrivate =
      ts.canHaveModifiers(node) && ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword)
    if (isPrivate) return
    if (ts.isTypeReferenceNode(node)) see(node.typeName)
    if (ts.isExpressionWithTypeArguments(node)) see(node.expression)
    // An alias of the values of a constant stands for itself.
    if (ts.isTypeQueryNode(node) && !ts.findAncestor(node, ts.isTypeAliasDeclaration)) see(node.exprName)
    if (ts.isImportTypeNode(node) && node.qualifier) see(node.qualifier)
    ts.forEachChild(node, visit)
  }
  for (const symbol of known) for (const declaration of symbol.declarations ?? []) visit(declaration)
  return [...missing].sort()
}

/** The same of a package of a few declarations. */
function missingFrom(files: Readonly<Record<string, string>>): string[] {
  const folder = '/package/'
  const host = ts.createCompilerHost({})
  const program = ts.createProgram(
    [`${folder}index.d.ts`],
    { module: ts.ModuleKind.NodeNext, noLib: true, types: [] },
    {
      ...host,
      directoryExists: () => true,
      fileExists: (path) => path.slice(folder.length) in files,
      readFile: (path) => files[path.slice(folder.length)],
      getSourceFile: (path, version) => {
        const text = files[path.slice(folder.length)]
        return text === undefined ? undefined : ts.createSourceFile(path, text, version)
      },
    },
  )
  const types = program.getTypeChecker()
  const source = program.getSourceFile(`${folder}index.d.ts`) as ts.SourceFile
  const symbols = types.getExportsOfModule(types.getSymbolAtLocation(source) as ts.Symbol)
  return unexported(
    types,
    symbols.map((symbol) => (symbol.flags & ts.SymbolFlags.Alias ? types.getAliasedSymbol(symbol) : symbol)),
    folder,
  )
}

const PROGRAM = `
import { createProgress, type LoraOptions, loadModel, loadTokenizer, OptionError, streamText, type TrainEvent, type TrainLoraOptions, trainLora, type TrainCallback, type TrainResult, type TrainRun } from 'lowrank'

const lora: LoraOptions = { r: 8, targetModules: 'all-linear' }
const options: TrainLoraOptions = {
  model: 'org/name',
  dataset: [{ text: 'a row' }],
  lora,
  training: { learningRate: 1e-4, evalSplit: 0.1 },
  onEvent: (event: TrainEvent) => console.log(event.type === 'log' ? event.loss : event.type),
}
const run = await trainLora(options).catch((error: unknown) => {
  if (error instanceof OptionError) for (const problem of error.problems) console.log(problem.message)
  throw error
})
await run.adapter.save('adapter')
const patience: TrainCallback = {
  name: 'early stopping',
  onEvent(event, control) {
    if (event.type === 'evaluate' && event.loss > 3) control.stop()
  },
}
const begun: TrainRun = trainLora({ ...options, callbacks: [patience, createProgress()] })
for await (const event of begun) if (event.type === 'fail') console.log(event.code, event.message)
const { reason, statistics }: TrainResult = await begun
console.log(reason, statistics.rows)
const model = await loadModel('directory', { dtype: 'bfloat16', device: 'auto' })
const tokenizer = await loadTokenizer(model.path ?? 'directory')
for await (const piece of streamText(model, tokenizer, [{ role: 'user', content: 'x' }], { topP: 0.9 })) console.log(piece.length)
const ids: number[] = await model.generate([1, 2, 3], { maxNewTokens: 2 })
console.log(ids.length)
// @ts-expect-error an option that does not exist
await trainLora({ model: 'x', dataset: 'y', learningRate: 1 })
`

describe('a program in strict TypeScript 5.4', () => {
  const folder = temporaryDirectory()

  beforeAll(async () => {
    await mkdir(join(folder, 'node_modules'))
    await symlink(root, join(folder, 'node_modules/lowrank'))
    await writeFile(join(folder, 'program.mts'), PROGRAM)
  })

  const resolutions = [
    ['node16', oldTs.ModuleKind.Node16, oldTs.ModuleResolutionKind.Node16],
    ['bundler', oldTs.ModuleKind.ESNext, oldTs.ModuleResolutionKind.Bundler],
    // The same as node16 so far.
    ...(isLong ? ([['nodenext', oldTs.ModuleKind.NodeNext, oldTs.ModuleResolutionKind.NodeNext]] as const) : []),
  ] as const

  it.each(resolutions)(
    'compiles with the resolution of %s and every declaration checked',
    (_, module, moduleResolution) => {
      expect(oldTs.version).toMatch(/^5\.4\./)
      const program = oldTs.createProgram([join(folder, 'program.mts')], {
        target: oldTs.ScriptTarget.ES2022,
        lib: ['lib.es2022.d.ts'],
        module,
        moduleResolution,
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: false,
        noEmit: true,
        typeRoots: [join(root, 'node_modules/@types')],
        // As programs of TypeScript 6 have it that name none: lowrank asks for the types of Node itself.
        types: [],
      })
      const messages = oldTs.getPreEmitDiagnostics(program).map(({ file, messageText }) => {
        return `${file?.fileName ?? ''}: ${oldTs.flattenDiagnosticMessageText(messageText, '\n')}`
      })
      expect(messages).toEqual([])
    },
  )
})
