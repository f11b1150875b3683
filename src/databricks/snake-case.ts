/** @file Names of fields as workspaces have them: `nodeTypeId` is `node_type_id`. */

/**
 * The fields of an object under their names in JSON; undefined ones are left out.
 * @param nested Fields whose own fields are renamed too. Others hold names of users, which stay.
 */
export function snakeCase(
  fields: Readonly<Record<string, unknown>>,
  nested: readonly string[] = [],
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [
        name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        nested.includes(name) ? snakeCase(value as Readonly<Record<string, unknown>>) : value,
      ]),
  )
}
