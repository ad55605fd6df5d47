import { stringify } from 'yaml';

/** A JSON value as YAML, keys in their order, no lines folded: what `Accept: application/yaml` gets. */
export function yamlText(value: unknown): string {
  return stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 });
}
