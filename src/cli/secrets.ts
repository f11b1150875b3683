/**
 * @file Secrets that this process was given, so that nothing it writes for people shows them. Filled from the command
 * line and configuration files.
 */

import { isSecretName, isSecretVariable, withoutSecrets } from '../errors.js'

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

/** Variables that hold a secret of the Hub, of Kaggle, of an endpoint, or of Databricks, Azure and MLflow. */
const SECRET_VARIABLES = [
  'HF_TOKEN',
  'HUGGING_FACE_HUB_TOKEN',
  'KAGGLE_API_TOKEN',
  'KAGGLE_KEY',
  'OPENAI_API_KEY',
  'LOWRANK_API_KEY',
  'DATABRICKS_TOKEN',
  'DATABRICKS_PASSWORD',
  'DATABRICKS_CLIENT_SECRET',
  'DATABRICKS_OIDC_TOKEN',
  'ARM_CLIENT_SECRET',
  'ACTIONS_ID_TOKEN_REQUEST_TOKEN',
  'MLFLOW_TRACKING_TOKEN',
  'MLFLOW_TRACKING_PASSWORD',
]

/**
 * Remembers what the environment holds for servers, and gives an environment of this program alone. The one that the
 * system has of it loses its secrets: diagnostic reports of Node print all of that.
 */
export function takeSecretsOfEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  for (const name of SECRET_VARIABLES) keepSecret(environment[name])
  const own = { ...environment }
  for (const [name, value = ''] of Object.entries(own)) {
    const isNamed = isSecretVariable(name) || name === own.DATABRICKS_OIDC_TOKEN_ENV
    if (isNamed || withoutSecrets(value) !== value) delete environment[name]
  }
  return own
}

/** A text without the secrets that are known, and without what has the form of one. */
export function hideSecrets(text: string): string {
  return withoutSecrets(text, [...secrets])
}
