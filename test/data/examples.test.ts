/**
 * @file Rows to tokens and labels: what is learnt of each form, truncation, and what becomes of rows without a target.
 */

import { describe, expect, it } from 'vitest'
import { IGNORE_INDEX } from '../../src/architecture/ragged-batch.js'
import { alpacaPrompt } from '../../src/data/alpaca.js'
import { chatRenderer } from '../../src/data/chat-renderer.js'
import { prepareDataset } from '../../src/data/dataset.js'
import { type EncodeRowOptions, encodeRow } from '../../src/data/examples.js'
import { resolveDataOptions } from '../../src/data/options.js'
import { dataWarnings } from '../../src/data/report.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { CHATML, CHATML_GENERATION, LLAMA3 } from '../support/chat-templates.js'
import { sequenceRow } from '../support/read-rows.js'
import { type TinyTokenizerOptions, tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

function build(options: TinyTokenizerOptions = {}): Tokenizer {
  const { tokenizer, config } = tinyByteLevelTokenizer(options)
  return createTokenizer(tokenizer, config)
}

function encode(tokenizer: Tokenizer, row: object, options: Partial<EncodeRowOptions> = {}) {
  const all = { maxLength: 512, completionOnlyLoss: true, assistantOnlyLoss: true, ...options }
  return encodeRow(sequenceRow(row, { row: 7 }), tokenizer, chatRenderer(tokenizer), all)
}

/** The text of an example and of the tokens that are learnt. */
function texts(
  tokenizer: Tokenizer,
  row: object,
  options: Partial<EncodeRowOptions> = {},
): [whole: string, learnt: string] {
  const { example } = encode(tokenizer, row, options)
  const { inputIds, labels } = example
  for (let at = 0; at < inputIds.length; at++) expect([IGNORE_INDEX, inputIds[at]]).toContain(labels[at])
  expect(example.numSupervised).toBe(labels.subarray(1).filter((label) => label !== IGNORE_INDEX).length)
  return [tokenizer.decode(inputIds), tokenizer.decode(inputIds.filter((_, at) => labels[at] !== IGNORE_INDEX))]
}

const turns = [
  { role: 'user', content: 'What is the capital?' },
  { role: 'assistant', content: 'Paris' },
  { role: 'user', content: 'of France?' },
  { role: 'assistant', content: 'The capital of France is Paris.' },
]

describe('encodeRow', () => {
  it('learns the completion and its end, not the prompt', () => {
    const tokenizer = build({ bosToken: '<s>' })
    const row = { prompt: 'The capital of France is', completion: ' Paris.' }
    expect(texts(tokenizer, row)).toEqual(['<s>The capital of France is Paris.</s>', ' Paris.</s>'])
    expect(encode(tokenizer, row).example.promptLength).toBe(
      1 + tokenizer.encode(row.prompt, { addSpecialTokens: false }).length,
    )
    const all = texts(tokenizer, row, { completionOnlyLoss: false })
    expect(all).toEqual(['<s>The capital of France is Paris.</s>', '<s>The capital of France is Paris.</s>'])
  })

  it('never doubles a BOS or an EOS that the text spells out', () => {
    const tokenizer = build({ bosToken: '<s>' })
    const row = { prompt: '<s>one', completion: ' two</s>' }
    expect(texts(tokenizer, row)).toEqual(['<s>one two</s>', ' two</s>'])
  })

  it('adds no end where the tokenizer has none', () => {
    expect(texts(build({ eosToken: null }), { prompt: 'one', completion: ' two' })).toEqual(['one two', ' two'])
  })

  it('learns all of a text', () => {
    const tokenizer = build({ bosToken: '<s>' })
    expect(texts(tokenizer, { text: 'one two' })).toEqual(['<s>one two</s>', '<s>one two</s>'])
    const { example } = encode(tokenizer, { text: 'one two' })
    // Nothing predicts the first token, so the loss does not count it.
    expect(example).toMatchObject({ numSupervised: example.inputIds.length - 1, promptLength: 0 })
  })

  it('writes Alpaca prompts as Stanford does, byte for byte', () => {
    expect(alpacaPrompt('Add.', '1 2')).toBe(
      'Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:',
    )
    const bare =
      'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Response:'
    expect(alpacaPrompt('Add.')).toBe(bare)
    expect(texts(build(), { instruction: 'Add.', input: '', output: '3' })).toEqual([`${bare}3</s>`, '3</s>'])
  })

  it('learns each assistant turn of a conversation with one BOS, or everything when asked', () => {
    const tokenizer = build({ chatTemplate: LLAMA3, bosToken: '<|begin_of_text|>' })
    const [whole, learnt] = texts(tokenizer, { messages: turns })
    expect(whole.match(/<\|begin_of_text\|>/g)).toHaveLength(1)
    expect(whole.endsWith('Paris.<|eot_id|>')).toBe(true)
    expect(learnt).toBe('Paris<|eot_id|>The capital of France is Paris.<|eot_id|>')
    expect(texts(tokenizer, { messages: turns }, { assistantOnlyLoss: false })).toEqual([whole, whole])
  })

  it('learns the completion of a conversation given in two parts, with the template', () => {
    const tokenizer = build({ chatTemplate: CHATML })
    const row = { prompt: turns.slice(0, 3), completion: turns.slice(3) }
    const [whole, learnt] = texts(tokenizer, row)
    expect(whole).toBe(tokenizer.applyChatTemplate(turns))
    expect(learnt).toBe('The capital of France is Paris.<|im_end|>')
    expect(texts(tokenizer, row, { completionOnlyLoss: false })[1]).toBe(whole)
  })

  it('learns the segments that say so, of a text as it is', () => {
    const tokenizer = build({ bosToken: '<s>' })
    const segments = [
      { label: true, text: '' },
      { label: false, text: '<s>one' },
      { label: true, text: ' two' },
      { label: true, text: ' three</s>' },
      { label: false, text: ' four' },
    ]
    expect(texts(tokenizer, { segments })).toEqual(['<s>one two three</s> four', ' two three</s>'])
    expect(encode(tokenizer, { segments }).example.promptLength).toBe(
      tokenizer.encode('<s>one', { addSpecialTokens: false }).length,
    )
  })

  it('learns what labels and masks of token ids say, and no more', () => {
    const tokenizer = build({ bosToken: '<s>' })
    const row = { input_ids: [5, 6, 7, 8, 9] }
    const labels = (masks: object, options = {}) => [...encode(tokenizer, { ...row, ...masks }, options).example.labels]
    expect(labels({})).toEqual([5, 6, 7, 8, 9])
    expect(labels({ labels: [-100, -100, 7, 8, -100] })).toEqual([-100, -100, 7, 8, -100])
    const completion = { completion_mask: [0, 0, 1, 1, 1] }
    const both = { ...completion, assistant_masks: [0, 1, 1, 0, 1] }
    expect(labels(completion)).toEqual([-100, -100, 7, 8, 9])
    expect(labels(both)).toEqual([-100, -100, 7, -100, 9])
    expect(labels(both, { completionOnlyLoss: false })).toEqual([-100, 6, 7, -100, 9])
    expect(labels(both, { completionOnlyLoss: false, assistantOnlyLoss: false })).toEqual([5, 6, 7, 8, 9])
    expect(encode(tokenizer, { ...row, ...both }).example).toMatchObject({ promptLength: 2, numSupervised: 2 })
    expect(labels({ labels: [-100, -100, -100, -100, -100] })).toEqual([-100, -100, -100, -100, -100])
    expect(() => encode(tokenizer, row, { vocabSize: 9 })).toThrow(
      "expected token ids below the model's vocabulary of 9",
    )
  })

  it('keeps the beginning of a row that is too long', () => {
    const tokenizer = build()
    const row = { prompt: 'one two three', completion: ' four five six' }
    const whole = encode(tokenizer, row)
    const { example, truncated, fullLength } = encode(tokenizer, row, { maxLength: 5 })
    expect([whole.truncated, truncated, fullLength]).toEqual([false, true, whole.example.inputIds.length])
    expect([...example.inputIds]).toEqual([...whole.example.inputIds.slice(0, 5)])
    expect([...example.labels]).toEqual([...whole.example.labels.slice(0, 5)])
    expect(encode(tokenizer, row, { maxLength: 3 }).example.numSupervised).toBe(0)
  })

  it('names token and row of an id that the model does not have', () => {
    const tokenizer = build()
    const eos = tokenizer.eosTokenId as number
    expect(() => encode(tokenizer, { text: 'one' }, { vocabSize: eos })).toThrow(
      `[data] expected token ids below the model's vocabulary of ${eos}, got ${eos} ("</s>"); use the tokenizer that belongs ` +
        'to the model (in row 7)',
    )
    expect(encode(tokenizer, { text: 'one' }, { vocabSize: eos + 1 }).example.numSupervised).toBeGreaterThan(0)
  })

  it('names the row where the template is missing or refuses', () => {
    expect(() => encode(build(), { messages: turns })).toThrow(
      /\[chat template\] expected a chat template.*\(in row 7\)/,
    )
    const refusing = build({ chatTemplate: "{{ raise_exception('No system turns') }}" })
    expect(() => encode(refusing, { messages: turns })).toThrow('[chat template] No system turns (in row 7)')
  })

  it('refuses a row that is nested too deeply for a template', () => {
    const deep = JSON.parse(`${'['.repeat(200_000)}${']'.repeat(200_000)}`) as unknown
    const messages = [{ role: 'user', content: 'Hi', extra: deep }]
    expect(() => encode(build({ chatTemplate: CHATML }), { messages })).toThrow(
      '[data] expected at most 500 levels for messages[0].extra in row 7, got more; flatten it',
    )
  })
})

describe('resolveDataOptions', () => {
  it('fills in defaults, also for options that are undefined', () => {
    expect(resolveDataOptions({ maxLength: 64, packing: undefined })).toEqual({
      maxLength: 64,
      packing: false,
      packingStrategy: 'bfd',
      padding: false,
      completionOnlyLoss: true,
      assistantOnlyLoss: true,
      trainOnTurns: 'all',
      trainOnReasoning: true,
      shuffle: true,
      seed: 42,
      evalSplit: 0,
      chatTemplate: undefined,
      chatTemplateKwargs: {},
      columns: {},
      roleMapping: {},
      onDroppedContent: 'warn',
      onError: 'error',
    })
  })

  it('takes options by their earlier names, and refuses both names of one', async () => {
    const old = { roles: { human: 'user' }, maxSeqLength: 9 } as object
    expect(resolveDataOptions(old)).toMatchObject({ roleMapping: { human: 'user' }, maxLength: 9 })
    const rows = [
      {
        messages: [
          { role: 'human', content: 'a' },
          { role: 'assistant', content: 'b' },
        ],
      },
    ]
    const tokenizer = build({ chatTemplate: CHATML })
    const { examples } = await prepareDataset(rows, tokenizer, { roles: { human: 'user' } } as object)
    expect(examples).toEqual((await prepareDataset(rows, tokenizer, { roleMapping: { human: 'user' } })).examples)
    expect(() => resolveDataOptions({ ...old, roleMapping: {} } as object)).toThrow(
      '[data] expected roleMapping once, got it by two names; remove one',
    )
  })

  it('names the nearest option for an unknown one and the range for a bad value', () => {
    const fail = (options: object, text: string) => expect(() => resolveDataOptions(options, 'training')).toThrow(text)
    fail({ maxLenght: 5 }, '[training] unknown option "maxLenght"; did you mean "maxLength"?')
    fail({ maxLength: 1 }, '[training] expected a whole number of at least 2 for maxLength, got 1')
    fail({ packing: 'yes' }, '[training] expected true or false for packing, got "yes"')
    fail({ packingStrategy: 'wrapped' }, "expected 'bfd' or 'sequential' (rows are never cut) for packingStrategy")
    fail({ evalSplit: 1.5 }, 'expected a fraction below 1 or a whole number of rows for evalSplit, got 1.5')
    fail({ seed: -1 }, 'expected a whole number of at least 0 for seed, got -1')
  })
})

describe('roles', () => {
  const asked = { role: 'user', content: 'one' }
  const TOOLS = `${CHATML}{% if messages[0].role == 'developer' or messages[0]['role'] in ['ipython', "critic"] %}!{% endif %}`

  it('roles that the template does not know are refused, with the option that maps them', () => {
    const messages = [
      { role: 'human', content: 'one' },
      { role: 'gpt', content: 'two' },
    ]
    const tokenizer = build({ chatTemplate: CHATML })
    expect(() => encode(tokenizer, { messages })).toThrow(
      '[data] expected a role that the chat template knows, got "human" in message 1; rename it, or set roleMapping: { human: \'user\' } ' +
        '(in row 7)',
    )
    expect(() => encode(tokenizer, { messages: [asked, messages[1]] })).toThrow("set roleMapping: { gpt: 'assistant' }")
    const roleMapping = { human: 'user', gpt: 'assistant' }
    expect(texts(tokenizer, { messages }, { roleMapping })).toEqual([
      '<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\ntwo<|im_end|>\n',
      'two<|im_end|>',
    ])
    for (const role of ['developer', 'function', 'Assistant', 'toString', "it's"]) {
      expect(() => encode(tokenizer, { messages: [{ role, content: 'x' }] })).toThrow(
        `got ${JSON.stringify(role)} in message 1`,
      )
    }
  })

  it('roles that the option maps to one which the template does not know are refused too, unless that is mapped to itself', () => {
    const tokenizer = build({ chatTemplate: CHATML })
    const messages = [
      { role: 'human', content: 'x' },
      { role: 'assistant', content: 'y' },
    ]
    expect(() => encode(tokenizer, { messages }, { roleMapping: { human: 'usr' } })).toThrow(
      '[data] expected roleMapping to map "human" to a role that the chat template knows, got "usr"; write one of system, user, assistant, tool, ' +
        'or add usr: "usr" where the template is to print it',
    )
    expect(texts(tokenizer, { messages }, { roleMapping: { human: 'usr', usr: 'usr' } })[0]).toContain(
      '<|im_start|>usr\nx',
    )
  })

  it('roles that the template asks for by name are known, those that it only prints are not', () => {
    const tokenizer = build({ chatTemplate: TOOLS })
    for (const role of ['developer', 'ipython', 'critic', 'tool', 'system']) {
      expect(texts(tokenizer, { messages: [{ role, content: 'x' }, asked] })[0]).toContain(`<|im_start|>${role}\nx`)
    }
    const gemma = build({ chatTemplate: `{% set role = 'model' %}{# == 'commented' #}${CHATML}` })
    for (const role of ['model', 'commented']) {
      expect(() => encode(gemma, { messages: [{ role, content: 'x' }] })).toThrow(`got "${role}" in message 1`)
    }
    expect(
      texts(gemma, { messages: [{ role: 'model', content: 'x' }] }, { roleMapping: { model: 'model' } })[0],
    ).toContain('model')
  })
})

describe('weight: 0', () => {
  const weighted = turns.map((turn, index) => (index === 1 ? { ...turn, weight: 0 } : turn))

  it('leaves a turn out of the loss, and of nothing else', () => {
    for (const chatTemplate of [CHATML, LLAMA3, CHATML_GENERATION]) {
      const tokenizer = build({ chatTemplate, bosToken: '<|begin_of_text|>' })
      const [whole, learnt] = texts(tokenizer, { messages: weighted })
      expect(whole).toBe(texts(tokenizer, { messages: turns })[0])
      expect(learnt).toMatch(/^The capital of France is Paris\.<\|(im_end|eot_id)\|>$/)
      const last = turns.map((turn, index) => (index === 3 ? { ...turn, weight: 0 } : turn))
      expect(texts(tokenizer, { messages: last })[1]).toMatch(/^Paris<\|(im_end|eot_id)\|>$/)
      const promptLength = (messages: object[]) => encode(tokenizer, { messages }).example.promptLength
      expect(promptLength(weighted)).toBe(promptLength(turns))
    }
  })

  it('leaves it out where everything else is learnt', () => {
    const tokenizer = build({ chatTemplate: CHATML })
    const [whole, learnt] = texts(tokenizer, { messages: weighted }, { assistantOnlyLoss: false })
    expect(learnt).toBe(whole.replace('Paris<|im_end|>', ''))
    const row = { prompt: turns.slice(0, 2), completion: [turns[2], { ...turns[3], weight: 0 }] }
    expect(encode(tokenizer, row).example.numSupervised).toBe(0)
  })

  it("weight: 0 of another message than the assistant's is refused where it would change something", () => {
    const tokenizer = build({ chatTemplate: CHATML })
    const row = (weight: number) => ({ messages: [{ role: 'user', content: 'one', weight }, turns[1]] })
    expect(texts(tokenizer, row(0))[1]).toBe('Paris<|im_end|>')
    for (const [weight, options] of [
      [1, {}],
      [0, { assistantOnlyLoss: false }],
    ] as const) {
      expect(() => encode(tokenizer, row(weight), options)).toThrow(
        `expected only assistant messages to be learnt or left out by themselves, got ${weight} for a user message (message 1)`,
      )
    }
  })

  it('leaves all blocks of a turn out, and is refused where a block belongs to no turn', () => {
    const twice = CHATML_GENERATION.replace(
      "{{- message.content + '<|im_end|>' }}",
      "{{- message.content }}{% endgeneration %}{% generation %}{{- '<|im_end|>' }}",
    )
    const answer = 'The capital of France is Paris.<|im_end|>'
    const both = build({ chatTemplate: twice })
    expect(texts(both, { messages: turns })[1]).toBe(`Paris<|im_end|>${answer}`)
    expect(texts(both, { messages: weighted })[1]).toBe(answer)
    const outside = `{% set answers = messages | selectattr('role', 'equalto', 'assistant') | map(attribute='content') %}
      {%- generation %}{{ answers | join(' ') }}{% endgeneration %}`
    const joined = build({ chatTemplate: outside })
    expect(texts(joined, { messages: turns })[1]).toBe('Paris The capital of France is Paris.')
    expect(() => encode(joined, { messages: weighted })).toThrow(
      'expected to know which message each {% generation %} block',
    )
  })
})

describe('content in parts', () => {
  it('is joined to a text where the template takes strings', () => {
    const tokenizer = build({ chatTemplate: CHATML })
    const parts = (text: string) => [
      { type: 'text', text: text.slice(0, 3) },
      { type: 'text', text: text.slice(3) },
    ]
    const messages = turns.map(({ role, content }) => ({ role, content: parts(content) }))
    expect(texts(tokenizer, { messages })).toEqual(texts(tokenizer, { messages: turns }))
  })

  it('is given as it is where the template looks into parts', () => {
    const tokenizer = build()
    const seen: unknown[] = []
    const renderer = {
      contentFormat: 'parts' as const,
      render: (messages: readonly unknown[]) => String(seen.push(...messages)),
    }
    const content = [
      { type: 'text', text: 'a' },
      { type: 'input_text', text: 'b' },
    ]
    encodeRow(sequenceRow({ messages: [{ role: 'user', content }] }, { row: 1 }), tokenizer, renderer, {
      maxLength: 9,
      completionOnlyLoss: true,
      assistantOnlyLoss: true,
    })
    expect(seen[0]).toEqual({
      role: 'user',
      content: [
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ],
    })
  })
})

describe('text for a template that prints parts alone', () => {
  const PARTS = // as those of Idefics and SmolVLM
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}" +
    '{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'

  it('is given as a part, so that nothing of it is lost', () => {
    const wrapped = turns.map(({ role, content }) => ({ role, content: [{ type: 'text', text: content }] }))
    const expected = texts(build({ chatTemplate: CHATML }), { messages: turns })
    expect(texts(build({ chatTemplate: PARTS }), { messages: turns })).toEqual(expected)
    expect(texts(build({ chatTemplate: PARTS }), { messages: wrapped })).toEqual(expected)
  })

  it('is located in long conversations too', () => {
    const messages = Array.from({ length: 30 }, () => turns).flat()
    const expected = texts(build({ chatTemplate: CHATML }), { messages })
    expect(texts(build({ chatTemplate: PARTS }), { messages })).toEqual(expected)
  })

  it('stays a text where the template takes both, and parts are joined for roles that it takes as text', () => {
    const chatTemplate =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'system' %}{{ 'S ' + m.content }}{% elif m.content is string %}" +
      "text {{ m.content }}{% else %}parts {{ m.content | map(attribute='text') | join('+') }}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    const parts = [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ]
    const messages = [
      { role: 'system', content: parts },
      { role: 'user', content: parts },
      { role: 'assistant', content: 'c' },
    ]
    const tokenizer = build({ chatTemplate })
    const { example } = encode(tokenizer, { messages })
    expect(tokenizer.decode(example.inputIds)).toBe(
      '<|im_start|>system\nS ab<|im_end|>\n<|im_start|>user\nparts a+b<|im_end|>\n<|im_start|>assistant\ntext c<|im_end|>\n',
    )
  })
})

describe('what the template leaves out', () => {
  const tools = [{ type: 'function', function: { name: 'get_weather', parameters: {} } }]
  const call = {
    role: 'assistant',
    content: '',
    tool_calls: [{ type: 'function', function: { name: 'get_weather', arguments: {} } }],
  }
  const rows = [
    { messages: turns },
    { messages: turns, tools },
    { messages: [turns[0], call, turns[1]], tools },
    ...Array.from({ length: 200 }, () => ({ messages: turns, tools })),
  ]

  it('is counted row by row and told in a warning', async () => {
    const tokenizer = build({ chatTemplate: CHATML })
    const { statistics } = await prepareDataset(rows, tokenizer)
    expect(statistics).toMatchObject({ rows: 203, droppedParts: { tools: 202, tool_calls: 1 } })
    const warnings = dataWarnings(statistics, 512).filter(({ code }) => code === 'dropped')
    expect(warnings.map(({ code, rows, message }) => [code, rows, message])).toEqual([
      [
        'dropped',
        202,
        '202 of 203 rows have tools that the chat template leaves out: it has no place for them; use another chatTemplate, or onDroppedContent: error to stop there',
      ],
      [
        'dropped',
        1,
        '1 of 203 rows have tool calls that the chat template leaves out: it has no place for them; use another chatTemplate, or onDroppedContent: error to stop there',
      ],
    ])
    const { statistics: plain } = await prepareDataset(rows.slice(0, 1), tokenizer)
    expect(plain).not.toHaveProperty('droppedParts')
    const echo = build({ chatTemplate: `{{ tools | tojson if tools else '' }}${CHATML}` })
    const { statistics: printed } = await prepareDataset(rows.slice(0, 2), echo)
    expect(printed).not.toHaveProperty('droppedParts')
  })

  it('is an error on request, naming the row', async () => {
    const tokenizer = build({ chatTemplate: CHATML })
    await expect(prepareDataset(rows, tokenizer, { onDroppedContent: 'error' })).rejects.toThrow(
      '[data] expected a chat template with a place for all of a row, got one that leaves out tools; use another chatTemplate, ' +
        "change the row, or set onDroppedContent: 'warn' (in row 2)",
    )
    await expect(
      prepareDataset([{ messages: [turns[0], call, turns[1]] }], tokenizer, { onDroppedContent: 'error' }),
    ).rejects.toThrow('leaves out tool calls (message 2)')
  })

  it('is told where arguments given as JSON text are printed in quotes', async () => {
    const called = (given: unknown) => ({
      messages: [
        turns[0],
        {
          role: 'assistant',
          content: '',
          tool_calls: [{ type: 'function', function: { name: 'f', arguments: given } }],
        },
      ],
    })
    const calls = [called('{"a": "b\\n"}'), called({ a: 'b' }), called('{}'), { messages: turns }]
    for (const [print, quoted] of [
      ['| tojson', 1],
      ['| string', 1],
      ['[0].function.arguments', 0],
    ] as const) {
      const chatTemplate = `{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls ${print} }}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}`
      const { statistics } = await prepareDataset(calls, build({ chatTemplate }), { maxLength: 2048 })
      expect(statistics.quotedArgumentRows ?? 0).toBe(quoted)
      const warnings = dataWarnings(statistics, 2048).filter(({ code }) => code === 'quotedArguments')
      expect(warnings.map(({ code, rows, message }) => [code, rows, message])).toEqual(
        quoted === 0
          ? []
          : [
              [
                'quotedArguments',
                1,
                '1 of 4 rows have arguments of tool calls as JSON text, which the chat template prints as a string in quotes; ' +
                  'write arguments as objects',
              ],
            ],
      )
    }
  })

  it('is looked for in every row where rows that look alike are treated differently', async () => {
    const template = `${CHATML}{% if tools and messages[0].content == 'print' %}{{ tools | tojson }}{% endif %}`
    const mixed = Array.from({ length: 40 }, (_, row) => ({
      messages: [{ role: 'user', content: row % 4 === 0 ? 'print' : 'hide' }, turns[1]],
      tools,
    }))
    const { statistics } = await prepareDataset(mixed, build({ chatTemplate: template }))
    expect(statistics.droppedParts).toEqual({ tools: 30 })
  })

  it('is told of columns and nulls as well', async () => {
    const given = [
      { messages: turns, id: 1 },
      { messages: turns, source: 'x', tools: [{ name: 'f', parameters: { default: null } }] },
    ]
    const { statistics } = await prepareDataset(given, build({ chatTemplate: CHATML }))
    expect(statistics).toMatchObject({ ignoredColumns: ['id', 'source'], nullArgumentRows: 1 })
    expect(dataWarnings(statistics, 512).find(({ code }) => code === 'nullArguments')?.message).toBe(
      '1 of 2 rows have nulls in arguments or defaults of tools, taken as absent fields; to keep them, write tools or tool_calls as JSON text',
    )
  })
})
