/**
 * @file Chat templates by the names of their formats, for models whose tokenizer brings none. They are written here,
 * and print what the templates of the models themselves print of texts; of tools only Qwen's know. What their special
 * tokens are is the tokenizer's to say: a format is of use to a model whose vocabulary has its marks.
 */

const REFUSE_OTHERS = `{{- raise_exception('expected messages of system, user and assistant, got one of ' + message.role) }}`

/** Takes a system message from the front: `system`, and `turns` behind it, which have to alternate. */
const ALTERNATING = `
{%- set system = messages[0].content if messages and messages[0].role == 'system' else '' %}
{%- set turns = messages[1:] if messages and messages[0].role == 'system' else messages %}
{%- for message in turns %}
{%- if message.role != ['user', 'assistant'][loop.index0 % 2] %}
{{- raise_exception('expected user and assistant by turns, the user first, got ' + message.role) }}
{%- endif %}
{%- endfor %}`

const CHATML = String.raw`
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}`

// The first user turn has the system message in it.
const LLAMA2 = String.raw`${ALTERNATING}
{%- if messages and messages[0].role == 'system' %}{% set system = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' %}{% endif %}
{%- for message in turns %}
{%- if message.role == 'user' %}
{{- bos_token }}{{- '[INST] ' + ((system if loop.first else '') + message.content) | trim + ' [/INST]' }}
{%- else %}
{{- ' ' + message.content | trim + ' ' + eos_token }}
{%- endif %}
{%- endfor %}`

const LLAMA3 = String.raw`
{%- for message in messages %}
{{- bos_token if loop.first else '' }}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}`

const LLAMA4 = String.raw`
{{- bos_token }}
{%- for message in messages %}
{%- set content = message.content | trim if loop.first and message.role == 'system' else message.content %}
{{- '<|header_start|>' + message.role + '<|header_end|>\n\n' + content + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|header_start|>assistant<|header_end|>\n\n' }}{% endif %}`

// The third version of Mistral's tokenizers: the last user turn has the system message in it.
const MISTRAL = String.raw`${ALTERNATING}
{{- bos_token }}
{%- for message in turns %}
{%- if message.role == 'user' %}
{%- set has_system = loop.last and messages[0].role == 'system' %}
{{- '[INST] ' + (system + '\n\n' if has_system else '') + message.content + '[/INST]' }}
{%- else %}
{{- ' ' + message.content + eos_token }}
{%- endif %}
{%- endfor %}`

// Tekken's versions of Mistral's tokenizers: no blanks, and marks round the system message.
const MISTRAL_V7 = `${ALTERNATING}
{{- bos_token }}
{%- if messages and messages[0].role == 'system' %}{{- '[SYSTEM_PROMPT]' + system + '[/SYSTEM_PROMPT]' }}{% endif %}
{%- for message in turns %}
{%- if message.role == 'user' %}{{- '[INST]' + message.content + '[/INST]' }}
{%- else %}{{- message.content + eos_token }}{% endif %}
{%- endfor %}`

// As Gemma 3 has it: the first user turn has the system message in it.
const GEMMA = String.raw`${ALTERNATING}
{{- bos_token }}
{%- for message in turns %}
{%- set role = 'model' if message.role == 'assistant' else 'user' %}
{%- set prefix = system + '\n\n' if loop.first and messages[0].role == 'system' else '' %}
{{- '<start_of_turn>' + role + '\n' + prefix + message.content | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\n' }}{% endif %}`

const PHI3 = String.raw`
{%- for message in messages %}
{%- if message.role not in ['system', 'user', 'assistant'] %}${REFUSE_OTHERS}{% endif %}
{{- '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}
{%- endfor %}
{{- '<|assistant|>\n' if add_generation_prompt else eos_token }}`

const PHI4 = `
{%- for message in messages %}
{%- if message.role not in ['system', 'user', 'assistant'] %}${REFUSE_OTHERS}{% endif %}
{{- '<|im_start|>' + message.role + '<|im_sep|>' + message.content + '<|im_end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant<|im_sep|>' }}{% endif %}`

// The sentences about tools are part of Qwen's format (Qwen, Apache License 2.0): models know them by heart.
const QWEN_TOOLS = String.raw`
{{- "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>" }}
{%- for tool in tools %}{{- '\n' + tool | tojson }}{% endfor %}
{{- "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}`

const QWEN_RESULT = String.raw`
{%- set before = messages[loop.index0 - 1].role if loop.index0 > 0 else '' %}
{%- set after = messages[loop.index0 + 1].role if not loop.last else '' %}
{{- '<|im_start|>user' if before != 'tool' else '' }}
{{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
{{- '<|im_end|>\n' if after != 'tool' else '' }}`

const QWEN2_5 = String.raw`
{%- set has_system = messages[0].role == 'system' %}
{%- set system = messages[0].content if has_system else 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' %}
{{- '<|im_start|>system\n' + system }}
{%- if tools %}{{- '\n\n' }}${QWEN_TOOLS}{% else %}{{- '<|im_end|>\n' }}{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}${QWEN_RESULT}
{%- elif message.role == 'assistant' and message.tool_calls %}
{{- '<|im_start|>assistant' + ('\n' + message.content if message.content else '') }}
{%- for call in message.tool_calls %}
{%- set called = call.function if call.function is defined else call %}
{{- '\n<tool_call>\n{"name": "' + called.name + '", "arguments": ' + called.arguments | tojson + '}\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- elif message.role in ['user', 'assistant', 'system'] and not (loop.first and has_system) %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}`

// Reasoning stays in the turns behind the last question, whose answers to tools are part of it.
const QWEN3 = String.raw`
{%- set has_system = messages[0].role == 'system' %}
{%- if tools %}
{{- '<|im_start|>system\n' + (messages[0].content + '\n\n' if has_system else '') }}${QWEN_TOOLS}
{%- elif has_system %}{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{% endif %}
{%- set last = namespace(question=messages | length - 1, found=false) %}
{%- for message in messages | reverse %}
{%- if not last.found and message.role == 'user' and message.content is string %}
{%- if not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
{%- set last.found = true %}{% set last.question = messages | length - loop.index %}
{%- endif %}
{%- endif %}
{%- endfor %}
{%- for message in messages %}
{%- set content = message.content if message.content is string else '' %}
{%- if message.role == 'tool' %}
{%- set message = {'content': content} %}${QWEN_RESULT}
{%- elif message.role == 'assistant' %}
{%- set thought = '' %}
{%- if message.reasoning_content is string %}{% set thought = message.reasoning_content %}
{%- elif '</think>' in content %}
{%- set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
{%- set content = content.split('</think>')[-1].lstrip('\n') %}
{%- endif %}
{{- '<|im_start|>assistant\n' }}
{%- if loop.index0 > last.question and (loop.last or thought) %}
{{- '<think>\n' + thought.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
{%- else %}{{- content }}{% endif %}
{%- for call in message.tool_calls or [] %}
{%- set called = call.function or call %}
{%- set given = called.arguments if called.arguments is string else called.arguments | tojson %}
{{- ('\n' if content or not loop.first else '') + '<tool_call>\n{"name": "' + called.name + '", "arguments": ' + given + '}\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- elif message.role == 'user' or (message.role == 'system' and not loop.first) %}
{{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\n' + ('<think>\n\n</think>\n\n' if enable_thinking is defined and enable_thinking is false else '') }}
{%- endif %}`

const ALPACA = String.raw`
{%- set instructed = 'Below is an instruction that describes a task. Write a response that appropriately completes the request.' %}
{%- set has_system = messages and messages[0].role == 'system' %}
{{- bos_token }}{{- (messages[0].content if has_system else instructed) + '\n\n' }}
{%- for message in messages %}
{%- if message.role == 'user' %}{{- '### Instruction:\n' + message.content + '\n\n' }}
{%- elif message.role == 'assistant' %}{{- '### Response:\n' + message.content + eos_token + '\n\n' }}
{%- elif not loop.first or message.role != 'system' %}${REFUSE_OTHERS}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '### Response:\n' }}{% endif %}`

const VICUNA = `
{%- set asked = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions." %}
{%- set has_system = messages and messages[0].role == 'system' %}
{{- bos_token }}{{- (messages[0].content if has_system else asked) + ' ' }}
{%- for message in messages %}
{%- if message.role == 'user' %}{{- 'USER: ' + message.content + ' ' }}
{%- elif message.role == 'assistant' %}{{- 'ASSISTANT: ' + message.content + eos_token }}
{%- elif not loop.first or message.role != 'system' %}${REFUSE_OTHERS}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- 'ASSISTANT:' }}{% endif %}`

const ZEPHYR = String.raw`
{%- for message in messages %}
{%- if message.role not in ['system', 'user', 'assistant'] %}${REFUSE_OTHERS}{% endif %}
{{- '<|' + message.role + '|>\n' + message.content + eos_token + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\n' }}{% endif %}`

// The form of courses: a mark opens each turn, and only an answer has an end.
const ROLE_TAGS = String.raw`
{%- for message in messages %}
{%- if message.role not in ['system', 'user', 'assistant'] %}${REFUSE_OTHERS}{% endif %}
{{- '<|' + message.role + '|>\n' + message.content + (eos_token if message.role == 'assistant' else '') + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\n' }}{% endif %}`

/** Jinja texts by the names that the option `chatTemplate` knows. */
export const NAMED_TEMPLATES = {
  chatml: CHATML,
  llama2: LLAMA2,
  llama3: LLAMA3,
  llama4: LLAMA4,
  mistral: MISTRAL,
  'mistral-v7': MISTRAL_V7,
  gemma: GEMMA,
  phi3: PHI3,
  phi4: PHI4,
  'qwen2.5': QWEN2_5,
  qwen3: QWEN3,
  alpaca: ALPACA,
  vicuna: VICUNA,
  zephyr: ZEPHYR,
  'role-tags': ROLE_TAGS,
} as const satisfies Readonly<Record<string, string>>

/** The Jinja text of a name; any other text is a template itself. */
export function templateText(template: string): string {
  return Object.hasOwn(NAMED_TEMPLATES, template) ? NAMED_TEMPLATES[template as keyof typeof NAMED_TEMPLATES] : template
}
