/**
 * @file Target modules by PEFT's rules: names, Python's regular expressions, all-linear, and errors that list what
 * there is.
 */

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromPeftConfig, parseLoraOptions } from '../../src/adapters/peft-config.js'
import { endMatches, fullMatches, numbersBehind } from '../../src/adapters/python-regex.js'
import {
  checkTargetLimits,
  matchTargetModules,
  patternValues,
  type TargetableModule,
  type TargetLimits,
  targetNames,
} from '../../src/adapters/target-modules.js'

const LINEARS = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
]
const llama: TargetableModule[] = [
  { path: 'model.embed_tokens', kind: 'embedding' },
  ...[0, 1, 10].flatMap((layer) =>
    LINEARS.map((name): TargetableModule => ({ path: `model.layers.${layer}.${name}`, kind: 'linear' })),
  ),
  { path: 'lm_head', kind: 'head' },
]
const gpt2: TargetableModule[] = [
  { path: 'transformer.wte', kind: 'embedding' },
  ...['attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj'].map(
    (name): TargetableModule => ({ path: `transformer.h.0.${name}`, kind: 'conv1d' }),
  ),
  { path: 'lm_head', kind: 'head' },
]

describe('matchTargetModules', () => {
  test('all-linear takes every linear layer but the head', () => {
    expect(matchTargetModules('all-linear', llama)).toEqual(llama.slice(1, -1).map(({ path }) => path))
    expect(matchTargetModules('all-linear', gpt2)).toEqual([
      'transformer.h.0.attn.c_attn',
      'transformer.h.0.attn.c_proj',
      'transformer.h.0.mlp.c_fc',
      'transformer.h.0.mlp.c_proj',
    ])
  })

  test('a name is a whole path or its dotted end, never a part of a word', () => {
    expect(matchTargetModules(['layers.1.self_attn.q_proj', 'model.layers.0.mlp.up_proj', 'lm_head'], llama)).toEqual([
      'model.layers.0.mlp.up_proj',
      'model.layers.1.self_attn.q_proj',
      'lm_head',
    ])
    expect(matchTargetModules(['0.self_attn.q_proj'], llama)).toEqual(['model.layers.0.self_attn.q_proj'])
    expect(() => matchTargetModules(['proj'], llama)).toThrow('"proj" matches no module')
  })

  test('an expression has to match whole paths', () => {
    expect(matchTargetModules(String.raw`.*\.(q|v)_proj`, llama)).toHaveLength(6)
    expect(matchTargetModules(String.raw`model\.layers\.1\..*_proj`, llama)).toHaveLength(7)
    expect(() => matchTargetModules('q_proj', llama)).toThrow('"q_proj" matches no module of this model; it has: ')
  })

  test('modules to save, and what is inside them, never match', () => {
    const saving = (target: string | string[], ...modulesToSave: string[]) =>
      matchTargetModules(target, llama, { modulesToSave })
    expect(saving(['q_proj', 'lm_head'], 'lm_head', 'layers.1')).toEqual([
      'model.layers.0.self_attn.q_proj',
      'model.layers.10.self_attn.q_proj',
    ])
    expect(saving('all-linear', 'model.layers.0', 'self_attn', 'norm')).toHaveLength(6)
    expect(saving('.*head|.*k_proj', 'lm_head')).toHaveLength(3)
    for (const target of [['lm_head'], '.*head']) {
      expect(() => saving(target, 'lm_head')).toThrow(
        `[targetModules] every module that ${JSON.stringify(target)} matches is in modulesToSave (lm_head); name other modules`,
      )
    }
  })

  test('excluded modules never match', () => {
    const all = matchTargetModules('all-linear', llama)
    const without = (excludeModules: string | string[]) => matchTargetModules('all-linear', llama, { excludeModules })
    expect(without(['q_proj', '1.mlp.up_proj'])).toEqual(
      all.filter((path) => !path.endsWith('q_proj') && path !== 'model.layers.1.mlp.up_proj'),
    )
    expect(without(String.raw`.*\.1?0\..*`)).toEqual(all.filter((path) => path.includes('layers.1.')))
    expect(matchTargetModules(['embed_tokens', 'q_proj'], llama, { excludeModules: ['embed_tokens'] })).toHaveLength(3)
    expect(() => without('.*')).toThrow(
      '[excludeModules] every module that "all-linear" matches is excluded by ".*"; exclude fewer',
    )
  })

  test('layers limit a list of names, but not a whole path in it', () => {
    const limited = (target: string[], limits: TargetLimits) => matchTargetModules(target, llama, limits)
    expect(limited(['q_proj', 'model.layers.0.mlp.up_proj'], { layersToTransform: [1, 10] })).toEqual([
      'model.layers.0.mlp.up_proj',
      'model.layers.1.self_attn.q_proj',
      'model.layers.10.self_attn.q_proj',
    ])
    expect(() => limited(['q_proj', 'v_proj'], { layersToTransform: 2 })).toThrow(
      '[layersToTransform] ["q_proj", "v_proj"] matches no module in 2; these modules are in layers 0 to 10',
    )
    expect(() => limited(['q_proj'], { layersToTransform: [1], layersPattern: 'h' })).toThrow(
      '[layersToTransform] ["q_proj"] matches no module in [1] behind "h"; these modules are in no layers of that name; change layersPattern, or leave it out',
    )
  })

  test('a name that matches nothing is an error with the nearest and all that there are', () => {
    expect(() => matchTargetModules(['q_proj', 'vproj'], llama)).toThrow(
      '[targetModules] "vproj" matches no module of this model; did you mean "v_proj"? it has: down_proj, embed_tokens, gate_proj, ' +
        'k_proj, lm_head, o_proj, q_proj, up_proj, v_proj',
    )
    expect(() => matchTargetModules(['c_atn'], gpt2)).toThrow('did you mean "c_attn"?')
    expect(() => matchTargetModules(['q_proj'], gpt2)).toThrow('it has: c_attn, c_fc, c_proj, lm_head, wte')
    expect(() => matchTargetModules([''], llama)).toThrow('"" matches no module')
  })

  test('an embedding is an error that names the way out', () => {
    for (const target of [['embed_tokens'], '.*embed_tokens']) {
      expect(() => matchTargetModules(target, llama)).toThrow(
        'LoRA on the embedding model.embed_tokens is not supported yet; leave it out, or train it in full with modulesToSave',
      )
    }
  })
})

describe('limits that limit nothing', () => {
  const check = (limits: TargetLimits) => () => checkTargetLimits(['q_proj'], llama, limits)

  test('are errors: an excluded name or expression without a module, a layer that is not there', () => {
    expect(check({ excludeModules: ['v_proj', 'oproj'] })).toThrow(
      '[excludeModules] "oproj" matches no module of this model; did you mean "o_proj"? it has: down_proj, ',
    )
    // A module that only holds others: neither here nor in PEFT does its name exclude them.
    expect(check({ excludeModules: ['mlp'] })).toThrow('[excludeModules] "mlp" matches no module of this model;')
    expect(check({ excludeModules: '.*self_attn' })).toThrow('[excludeModules] ".*self_attn" matches no module')
    expect(check({ layersToTransform: [0, 11] })).toThrow(
      '[layersToTransform] expected layers of the model, got 11; these modules are in layers 0 to 10',
    )
    expect(check({ layersToTransform: 7 })).toThrow('[layersToTransform] expected layers of the model, got 7;')
  })

  test('what is found passes', () => {
    expect(check({ excludeModules: ['v_proj'], layersToTransform: [0, 10] })()).toBeUndefined()
    expect(check({ excludeModules: '.*v_proj', layersToTransform: 1, layersPattern: 'layers' })()).toBeUndefined()
  })
})

describe('patterns of ranks and alphas', () => {
  const paths = matchTargetModules(['q_proj', 'v_proj'], llama)

  test('a key that matches no module of the adapter is an error in options, and nothing in files', () => {
    expect(() => patternValues('rankPattern', { q_proj: 2, k_proj: 3 }, paths, true)).toThrow(
      '[rankPattern] "k_proj" matches no module that the adapter changes; did you mean "q_proj"? it has: q_proj, v_proj',
    )
    expect([...patternValues('rankPattern', { q_proj: 2, k_proj: 3 }, paths, false).values()]).toEqual([2, 2, 2])
  })

  test('a key that is no expression is an error that shows it', () => {
    expect(() => patternValues('alphaPattern', { 'q_proj[': 2 }, paths, false)).toThrow(
      '[alphaPattern] expected a Python regular expression, got "q_proj[": Unterminated character class',
    )
  })
})

describe('PEFT answers the same', () => {
  interface Row {
    model: string
    lora: Record<string, unknown>
    /** Rank and alpha by path. */
    matched?: Record<string, [number, number]>
    error?: string
  }
  const table = JSON.parse(readFileSync(new URL('../golden/matching.json', import.meta.url), 'utf8')) as {
    models: Record<string, string[]>
    rows: Row[]
  }

  test.each(table.rows.map((row) => [row.model, JSON.stringify(row.lora), row] as const))('%s, %s', (model, _, row) => {
    const json = { peft_type: 'LORA', r: 8, lora_alpha: 16, ...row.lora }
    if (row.error !== undefined) {
      expect(() => fromPeftConfig(json)).toThrow(
        /expected (a list of names for target_modules|layers_to_transform) with/,
      )
      expect(() => parseLoraOptions(row.lora)).toThrow(
        /expected (a list of names for targetModules|layersToTransform) with/,
      )
      return
    }
    const { lora } = fromPeftConfig(json)
    const modules = (table.models[model] as string[]).map((path): TargetableModule => {
      const kind = path === 'lm_head' ? 'head' : path.endsWith('embed_tokens') ? 'embedding' : 'linear'
      return { path, kind }
    })
    const paths = Object.keys(row.matched ?? {})
    const match = () => matchTargetModules(lora.targetModules, modules, lora)
    if (paths.length === 0) {
      expect(match).toThrow(/matches no module|is excluded by/)
      return
    }
    expect(match()).toEqual(paths)
    const ranks = patternValues('rankPattern', lora.rankPattern, paths, false)
    const alphas = patternValues('alphaPattern', lora.alphaPattern, paths, false)
    const ours = paths.map((path) => [path, [ranks.get(path) ?? lora.r, alphas.get(path) ?? lora.loraAlpha]])
    expect(Object.fromEntries(ours)).toEqual(row.matched)
  })
})

describe('targetNames', () => {
  test('is the shortest list that means the same modules', () => {
    const lists: [TargetableModule[], string[] | string, string[], string[]][] = [
      [llama, 'all-linear', [], ['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj']],
      [gpt2, 'all-linear', [], ['c_attn', 'c_fc', 'c_proj']],
      [gpt2, ['attn.c_proj'], [], ['attn.c_proj']],
      [llama, String.raw`.*\.1\.mlp\.up_proj`, [], ['1.mlp.up_proj']],
      [
        llama,
        'all-linear',
        ['layers.0'],
        ['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj'],
      ],
    ]
    for (const [modules, target, save, names] of lists) {
      const limits = { modulesToSave: save }
      const matched = matchTargetModules(target, modules, limits)
      expect(targetNames(matched, modules, limits)).toEqual(names)
      expect(matchTargetModules(names, modules, limits)).toEqual(matched)
    }
  })

  test('targetNames may cover what is excluded', () => {
    const limits = { excludeModules: ['layers.1.mlp.up_proj', 'k_proj'] }
    const matched = matchTargetModules('all-linear', llama, limits)
    const names = targetNames(matched, llama, limits)
    expect(names).toEqual(['down_proj', 'gate_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj'])
    expect(matchTargetModules(names, llama, limits)).toEqual(matched)
  })
})

describe('Python expressions', () => {
  const matches = (pattern: string, ...texts: string[]) => fullMatches('test', pattern, texts)

  test.each([
    // pattern, what it matches in full, what it does not
    [String.raw`(?P<block>\w)\.(?P=block)`, 'a.a', 'a.b'],
    [String.raw`\Aab\Z`, 'ab', 'abc'],
    ['(?i)ABC', 'aBc', 'abd'],
    ['(?is)a.C', 'A\nc', 'ab'],
    ['a{,2}b', 'aab', 'aaab'],
    ['a{2,}', 'aaa', 'a'],
    ['a{2}', 'aa', 'aaa'],
    ['a{x}', 'a{x}', 'ax'],
    ['a{}', 'a{}', 'a'],
    ['a]}', 'a]}', 'a]'],
    ['[]a]+', ']a', 'b'],
    ['[^]a]', 'b', ']'],
    ['[[a]', '[', 'b'],
    [String.raw`[\]\-\\]+`, ']-\\', 'a'],
    [String.raw`\_\-\@\.`, '_-@.', '_-@x'],
    ['q(?#query)_proj', 'q_proj', 'q_'],
    ['(?:a|ab)c', 'abc', 'ab'],
    ['(?!b).(?<=a)', 'a', 'b'],
    [String.raw`(a)\1`, 'aa', 'ab'],
    [String.raw`\x41\u0042`, 'AB', 'ab'],
    ['a|ab', 'ab', 'abc'],
    ['.*?ü', 'xü', 'xu'],
    ['', '', 'a'],
  ])('%s', (pattern, matching, other) => {
    expect(matches(pattern, matching, other)).toEqual([matching])
  })

  test.each([
    ['(', 'Unterminated group'],
    ['*', 'Nothing to repeat'],
    ['a++', 'Nothing to repeat'],
    ['[a', 'Unterminated character class'],
    ['a\\', 'it ends in a backslash'],
    [String.raw`\p{L}`, String.raw`the escape \p is not supported`],
    ['(?x)a b', 'the flag "x" is not supported'],
    ['a(?i:b)', 'flags inside of the expression are not supported; put (?i) first'],
    ['(?P>a)', 'Invalid group'],
    ['(?>a)', 'Invalid group'],
    [String.raw`(a)\2`, 'Invalid escape'],
  ])('%s is refused', (pattern, problem) => {
    expect(() => matches(pattern, 'a')).toThrow('[test] expected a Python regular expression, got ')
    expect(() => matches(pattern, 'a')).toThrow(problem)
  })

  test('alternatives and anchors of a Python expression keep their places at the end of a path', () => {
    const paths = ['a.b', 'b', 'ab', 'a.c']
    expect(endMatches('test', ['b', 'b|c', '^b', 'a.b', '.*'], paths)).toEqual([
      ['a.b', 'b'],
      ['a.b', 'b', 'a.c'],
      ['b'],
      ['a.b'],
      paths,
    ])
    expect(() => endMatches('test', ['b', '(?i)b'], paths)).toThrow(
      '[test] expected a Python regular expression, got "(?i)b": flags are not supported here, where it is a part of an expression',
    )
  })

  test('the number behind a name is that of the first pattern and the first place', () => {
    const paths = ['x.h.3.y', 'h.4.h.5.y', 'xh.6.y', 'x.h.y', 'x.k.7.h.8.y']
    expect(numbersBehind('test', ['h'], paths)).toEqual([3, 4, undefined, undefined, 8])
    expect(numbersBehind('test', ['k', 'h'], paths)).toEqual([3, 4, undefined, undefined, 7])
    expect(numbersBehind('test', ['.*h'], paths)).toEqual([3, 5, 6, undefined, 8])
  })

  test('one of 5 MB is refused before it is read, and one of the greatest length is read in time that grows with it', () => {
    expect(() => matches('a'.repeat(5e6), 'a')).toThrow(
      /^\[test\] expected regular expressions of at most 100000 characters together, got 5000000 in "a{80}\.\.\."; name the modules in a list$/,
    )
    const before = process.cpuUsage().user
    expect(() => matches('(?#'.repeat(33_000), 'a')).toThrow('a comment (?# has no end')
    for (const part of ['[', '(', '(?P<a>', '\\(', 'a{', '{1,', '(|){9}', '|'])
      expect(() => matches(part.repeat(100_000 / part.length), 'a'), part).toSatisfy((run: () => unknown) => {
        try {
          return Array.isArray(run())
        } catch (error) {
          return (error as Error).message.length < 500
        }
      })
    // A quarter of a second; what went through the rest of the text for every character took minutes.
    expect(process.cpuUsage().user - before).toBeLessThan(10e6)
  })

  test('one that would never end is stopped', () => {
    expect(() => matches('(a+)+b', 'a'.repeat(60))).toThrow('takes too long (too many steps); avoid nested quantifiers')
  })
})
