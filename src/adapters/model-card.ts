/**
 * @file README.md of an adapter: on the Hub it is the model card, and says what the adapter belongs to and under which
 * licence.
 */

import type { ModelOrigin } from '../hub/model-origin.js'
import { yamlText } from '../yaml-text.js'
import type { LoraConfig } from './lora-config.js'

/** In every card of ours. One without it is someone's own, and stays as it is. */
export const CARD_MARK = '<!-- Written by lowrank, anew with every save. Take this line out to keep your changes. -->'

/** Whether a card may be replaced. */
export function isOwnCard(text: string): boolean {
  return text.includes(CARD_MARK)
}

/** The text of the card of an adapter for a model of the Hub. */
export function modelCard(baseModel: string, { revision, license }: ModelOrigin, { r, loraAlpha }: LoraConfig): string {
  const header = yamlText({
    base_model: baseModel,
    library_name: 'peft',
    // An adapter is made from its base model, whose terms go on with it.
    ...(license && {
      license: license.id,
      ...(license.name && { license_name: license.name }),
      ...(license.link && { license_link: license.link }),
    }),
    tags: ['lora', 'lowrank'],
  })
  const terms = license
    ? `The licence of the base model is ${[license.id, license.name, license.link].filter(Boolean).join(', ')}.`
    : 'The licence of the base model was not known when this was saved; see its page.'
  return `---
${header}---

# LoRA adapter for ${baseModel}

${CARD_MARK}

Rank ${r}, alpha ${loraAlpha}, trained with lowrank on ${baseModel}${revision === undefined ? '' : ` at commit ${revision}`}. ${terms}
`
}
