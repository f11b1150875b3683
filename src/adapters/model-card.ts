/**
 * @file README.md of an adapter: on the Hub it is the model card, and says what the adapter belongs to and under which
 * licence.
 */

import { CARD_MARK, cardHeader, licenseText, usageSection } from '../hub/card-text.js'
import type { ModelOrigin } from '../hub/model-origin.js'
import type { LoraConfig } from './lora-config.js'

/** The text of the card of an adapter for a model of the Hub. */
export function modelCard(baseModel: string, { revision, license }: ModelOrigin, { r, loraAlpha }: LoraConfig): string {
  const terms = license
    ? `The licence of the base model is ${licenseText(license)}.`
    : 'The licence of the base model was not known when this was saved; see its page.'
  return `${cardHeader({ baseModel, kind: 'adapter', license })}
# LoRA adapter for ${baseModel}

${CARD_MARK}

Rank ${r}, alpha ${loraAlpha}, trained with lowrank on ${baseModel}${revision === undefined ? '' : ` at commit ${revision}`}. ${terms}

${usageSection({ kind: 'adapter', base: baseModel, revision, id: undefined })}`
}
