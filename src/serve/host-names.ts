/** @file Which addresses are this machine's alone, and by which names its server may be called. */

/** Whether only programs of this machine reach an address. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, '$1')
  return name === 'localhost' || name === '::1' || /^127(?:\.\d{1,3}){3}$/.test(name) || name.endsWith('.localhost')
}

/** Whether a header `Host` names this machine, or one of `allowed`. */
export function isNamedHost(header: string | undefined, allowed: readonly string[]): boolean {
  const name = (header ?? '').toLowerCase().replace(/:\d+$/, '')
  return isLoopback(name) || allowed.some((host) => host.toLowerCase() === name)
}
