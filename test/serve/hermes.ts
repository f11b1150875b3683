/** @file A tokenizer whose chat template lists tools and teaches Hermes' calls. */

import { createTokenizer } from '../../src/tokenizer/tokenizer.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

/** ChatML that lists tools and teaches Hermes' calls. */
const HERMES =
  "{% if tools %}{{ '<|im_start|>system\\n# Tools\\n' }}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{{ '\\nAnswer with <tool_call>{...}</tool_call><|im_end|>\\n' }}{% endif %}" +
  "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}{{ message.content or '' }}" +
  "{% for call in message.tool_calls or [] %}{{ '<tool_call>' }}{{ call.function | tojson }}{{ '</tool_call>' }}{% endfor %}" +
  "{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

const files = tinyByteLevelTokenizer({ chatTemplate: HERMES, eosToken: '<|im_end|>' })
export const HERMES_TOKENIZER = createTokenizer(files.tokenizer, files.config)
