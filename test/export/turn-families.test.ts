/** @file Families of chat templates: which template is of which, and what Ollama's Modelfile says of it. */

import { describe, expect, it } from 'vitest'
import { modelfileText } from '../../src/export/modelfile.js'
import { findFamily, goTemplate, renderTurns, TURN_FAMILIES } from '../../src/export/turn-families.js'
import { NAMED_TEMPLATES } from '../../src/tokenizer/named-templates.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { withChatTemplate } from '../../src/tokenizer/with-template.js'
import { CHATML_DEFAULT_SYSTEM, FORGETS } from '../support/chat-templates.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

function tokenizerWith(template: string): Tokenizer {
  const { tokenizer, config } = tinyByteLevelTokenizer()
  const named = createTokenizer(tokenizer, { ...config, bos_token: '<s>', eos_token: '</s>' })
  return withChatTemplate(named, template)
}

const family = (name: string) => TURN_FAMILIES.find((other) => other.name === name) as (typeof TURN_FAMILIES)[number]

describe('findFamily', () => {
  it.each([
    ['chatml', 'chatml'],
    ['llama3', 'llama3'],
    ['gemma', 'gemma'],
    ['phi3', 'phi3'],
    ['phi4', 'phi4'],
    ['zephyr', 'zephyr'],
    ['mistral', 'mistral'],
    ['mistral-v7', 'mistral-v7'],
    ['qwen2.5', 'chatml'],
    ['qwen3', 'chatml'],
  ] as const)('knows the template %s to be of the family %s', (template, expected) => {
    expect(findFamily(tokenizerWith(template))?.family.name).toBe(expected)
  })

  it('finds the system message that a template puts in by itself', () => {
    expect(findFamily(tokenizerWith(CHATML_DEFAULT_SYSTEM))).toEqual({
      family: family('chatml'),
      defaultSystem: 'Be helpful.',
    })
    expect(findFamily(tokenizerWith('qwen2.5'))?.defaultSystem).toBe(
      'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.',
    )
  })

  it('knows no family of a template that drops turns, or writes other marks', () => {
    expect(findFamily(tokenizerWith(FORGETS))).toBeUndefined()
    const { alpaca } = NAMED_TEMPLATES
    expect(findFamily(tokenizerWith(alpaca))).toBeUndefined()
  })
})

describe('goTemplate', () => {
  it('writes turns by role, and puts a system message into the user turn that the family says', () => {
    expect(goTemplate(family('chatml'))).toBe(
      '{{ range $i, $m := .Messages }}' +
        '{{ if eq $m.Role "system" }}<|im_start|>system\n{{ $m.Content }}<|im_end|>\n{{ end }}' +
        '{{ if eq $m.Role "user" }}<|im_start|>user\n{{ $m.Content }}<|im_end|>\n{{ end }}' +
        '{{ if eq $m.Role "assistant" }}<|im_start|>assistant\n{{ $m.Content }}<|im_end|>\n{{ end }}' +
        '{{ end }}<|im_start|>assistant\n',
    )
    const gemma = renderTurns(family('gemma'), [
      { role: 'system', content: 'S' },
      { role: 'user', content: 'U' },
    ])
    expect(gemma).toBe('<start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\n')
    const last = [
      { role: 'system', content: 'S' },
      ...['U', 'A', 'V'].map((content, i) => ({ role: ['user', 'assistant'][i % 2] as string, content })),
    ]
    expect(renderTurns(family('mistral'), last)).toBe('[INST] U[/INST] A</s>[INST] S\n\nV[/INST]')
    expect(renderTurns(family('mistral-v1'), last)).toBe('[INST] S\n\nU [/INST] A</s>[INST] V [/INST]')
  })
})

describe('modelfileText', () => {
  it('names files, template, system message and what ends answers', () => {
    const text = modelfileText({ from: 'm.gguf', adapter: 'a.gguf', tokenizer: tokenizerWith(CHATML_DEFAULT_SYSTEM) })
    const lines = text.split('\n')
    expect(lines.slice(0, 2)).toEqual(['FROM ./m.gguf', 'ADAPTER ./a.gguf'])
    expect(lines[2]).toBe('TEMPLATE """{{ range $i, $m := .Messages }}{{ if eq $m.Role "system" }}<|im_start|>system')
    expect(lines.slice(-4)).toEqual([
      'SYSTEM """Be helpful."""',
      'PARAMETER stop "<|im_end|>"',
      'PARAMETER stop "</s>"',
      '',
    ])
  })

  it('lets a model without a chat template complete text', () => {
    expect(modelfileText({ from: 'm.gguf', adapter: undefined, tokenizer: undefined })).toBe(
      'FROM ./m.gguf\nTEMPLATE """{{ .Prompt }}"""\n',
    )
  })

  it('refuses a template of no known family by naming those that are', () => {
    expect(() => modelfileText({ from: 'm', adapter: undefined, tokenizer: tokenizerWith(FORGETS) })).toThrow(
      "[export] expected a chat template of a known family for Ollama, whose templates are in Go's language, got another one; known are " +
        "chatml, llama3, phi3, phi4, zephyr, gemma, mistral, mistral-v1, mistral-v7; export format 'gguf', and write the Modelfile's TEMPLATE by hand",
    )
  })
})
