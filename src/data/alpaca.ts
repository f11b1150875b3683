/** @file The prompt of Stanford Alpaca, byte for byte (https://github.com/tatsu-lab/stanford_alpaca). */

/** The Alpaca prompt; the answer follows its last colon directly. An empty input leaves its section out. */
export function alpacaPrompt(instruction: string, input = ''): string {
  if (input === '') {
    return (
      'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n' +
      `### Instruction:\n${instruction}\n\n### Response:`
    )
  }
  return (
    'Below is an instruction that describes a task, paired with an input that provides further context. Write a ' +
    'response that appropriately completes the request.\n\n' +
    `### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:`
  )
}
