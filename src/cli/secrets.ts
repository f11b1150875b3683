/**
 * @file Secrets that this process was given, so that nothing it writes for people shows them. Filled from the command
 * line and configuration files.
 */

import { isSecretName, withoutSecrets } from '../errors.js'

const secrets = new Set<string>()

/** Remembers a secret, or every text in a list or object that stands where a secret is expected. */
function keepSecret(value: unknown): void {
  if (typeof value === 'string') {
    if (value.trim() !== '') secrets.add(value.trim())
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      if (!Array.isArray(value)) keepSecret(key)
      keepSecret(inner)
    }
  }
}

/** Remembers what stands under the names of secrets, at any depth. */
export function keepSecretsOf(options: unknown): void {
  if (typeof options !== 'object' || options === null) return
  for (const [name, value] of Object.entries(options)) {
    if (isSecretName(name)) keepSecret(value)
    else keepSecretsOf(value)
  }
}

/** Remembers the values of arguments that name a secret: `--token=x`, `--token x`, `--set token=x`, `token:x`. */
export function keepSecretsOfArguments(args: readonly string[]): void {
  for (const [index, argument] of args.entries()) {
    const [, path, mark, value] = /^(?:--set=)?(?:--)?([\w.-]+)([=: ]*)(.*)$/s.exec(argument) ?? []
    if (path === undefined || !isSecretName(path.split('.').at(-1) as string)) continue
    if (mark) keepSecret(value)
    else if (argument.startsWith('--') || args[index - 1] === '--set') keepSecret(args[index + 1])
  }
}

/** Remembers what the environment holds for the Hub and for endpoints. */
export function keepSecretsOfEnvironment(environment: NodeJS.ProcessEnv): void {
  const { HF_TOKEN, HUGGING_FACE_HUB_TOKEN, OPENAI_API_KEY } = environment
  keepSecret(HF_TOKEN)
  keepSecret(HUGGING_FACE_HUB_TOKEN)
  keepSecret(OPENAI_API_KEY)
}

/** A text without the secrets that are known, and without what has the form of one. */
export function hideSecrets(text: string): string {
  return withoutSecrets(text, [...secrets])
}
