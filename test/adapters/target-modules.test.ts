/** @file Target modules by PEFT's rules: names, Python's regular expressions, all-linear, and errors that list what there is. */

import { describe, expect, test } from 'vitest'
import { fullMatches } from '../../src/adapters/python-regex.js'
import { matchTargetModules, type TargetableModule, targetNames } from '../../src/adapters/target-modules.js'

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
    expect(matchTargetModules(['q_proj', 'lm_head'], llama, ['lm_head', 'layers.1'])).toEqual([
      'model.layers.0.self_attn.q_proj',
      'model.layers.10.self_attn.q_proj',
    ])
    expect(matchTargetModules('all-linear', llama, ['model.layers.0', 'self_attn', 'norm'])).toHaveLength(6)
    expect(matchTargetModules('.*head|.*k_proj', llama, ['lm_head'])).toHaveLength(3)
    expect(() => matchTargetModules(['lm_head'], llama, ['lm_head'])).toThrow(
      '[targetModules] every module that ["lm_head"] matches is in modulesToSave (lm_head); name other modules',
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
      const matched = matchTargetModules(target, modules, save)
      expect(targetNames(matched, modules, save)).toEqual(names)
      expect(matchTargetModules(names, modules, save)).toEqual(matched)
    }
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

  test('one that would never end is stopped', () => {
    expect(() => matches('(a+)+b', 'a'.repeat(60))).toThrow('took longer than 1000 ms; avoid nested quantifiers')
  })
})
