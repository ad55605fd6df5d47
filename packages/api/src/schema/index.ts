export { type ParsedBody, parseBody } from './body.ts';
export { type Decoded, decodeObject } from './decode.ts';
export {
  type FieldSchema,
  fieldAt,
  type ObjectSchema,
  objectSchemaOf,
  type ScalarKind,
  schemaNameOf,
  schemaNames,
  schemaOf,
  type ValueSchema,
} from './schema.ts';
export { yamlText } from './yaml-text.ts';
