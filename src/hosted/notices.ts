/** @file What vendors have said of services that end: known on 2026-12-01, and told before anything is begun. */

import type { HostedService } from './service.js'

const OPENAI_CLOSES = '2027-01-06'
const GEMINI_25_RETIRED = '2026-10-20'

/** @param today As in `2026-12-01`. */
export function noticesOf(
  { provider, server }: Pick<HostedService, 'provider' | 'server'>,
  model: string,
  today: string,
): string[] {
  const notices: string[] = []
  if (provider === 'openai' && server.startsWith('https://api.openai.com'))
    notices.push(
      today >= OPENAI_CLOSES
        ? `OpenAI has closed fine-tuning on ${OPENAI_CLOSES}`
        : `OpenAI has taken no new customers for fine-tuning since 2026-05-07, and closes it to all on ${OPENAI_CLOSES}`,
    )
  if (provider === 'azure' && /^gpt-4(?:o|\.1)/.test(model))
    notices.push(`Azure OpenAI fine-tunes ${model} for customers who have done so before, and for nobody else`)
  if (provider === 'vertex' && /gemini-2\.5/.test(model))
    notices.push(
      today >= GEMINI_25_RETIRED
        ? `Google has retired gemini-2.5 on ${GEMINI_25_RETIRED}: tune gemini-3.5-flash or gemini-3.5-flash-lite`
        : `Google retires gemini-2.5 on ${GEMINI_25_RETIRED}: tune gemini-3.5-flash or gemini-3.5-flash-lite`,
    )
  return notices
}
