type Json = Readonly<Record<string, unknown>>;
type Encoder = (value: unknown) => Buffer;

/**
 * Encodes an OpenAPI v2 document as the `openapi.v2.Document` message, which kubectl asks for
 * (`/openapi/v2` as `proto-openapi.spec.v2`). Field numbers: OpenAPIv2.proto of the gnostic project.
 * Covers what `createOpenApiDocuments` writes; an `x-` key becomes a vendor extension, any other key
 * is a mistake and throws.
 */
export function encodeOpenApiV2(document: Json): Buffer {
  return documentMessage(document);
}

/** A field that is a length and bytes. */
function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  return Buffer.from([...bytes, rest]);
}

type Writer = (value: unknown) => Buffer;

const text =
  (number: number): Writer =>
  (value) =>
    field(number, Buffer.from(String(value)));
const flag =
  (number: number): Writer =>
  (value) =>
    value === true ? Buffer.concat([varint(number * 8), varint(1)]) : Buffer.alloc(0);
const one =
  (number: number, encode: Encoder): Writer =>
  (value) =>
    field(number, encode(value));
const each =
  (number: number, encode: Encoder): Writer =>
  (value) =>
    Buffer.concat((value as readonly unknown[]).map((item) => field(number, encode(item))));
/** A map as its `Named…` messages (name = 1, value = 2). */
const named =
  (number: number, encode: Encoder): Writer =>
  (value) =>
    Buffer.concat(Object.entries(value as Json).map((entry) => field(number, namedItem(entry, encode))));

function namedItem([name, value]: readonly [string, unknown], encode: Encoder): Buffer {
  return Buffer.concat([text(1)(name), field(2, encode(value))]);
}

const plain: Encoder = (value) => Buffer.from(String(value));
/** `Any`: its YAML, of which JSON is a part. */
const any: Encoder = (value) => text(2)(JSON.stringify(value));
const wrap =
  (writer: Writer): Encoder =>
  (value) =>
    writer(value);

/** A message of known fields; `x-` keys go to the vendor extensions. */
function message(fields: Readonly<Record<string, Writer>>, extensions: number): Encoder {
  return (value) => {
    const parts: Buffer[] = [];
    for (const [key, item] of Object.entries(value as Json)) {
      if (item === undefined) continue;
      const write = key.startsWith('x-') ? undefined : fields[key];
      if (write) parts.push(write(item));
      else if (key.startsWith('x-')) parts.push(field(extensions, namedItem([key, item], any)));
      else throw new RangeError(`no protobuf field for "${key}"`);
    }
    return Buffer.concat(parts);
  };
}

const schema: Encoder = (value) => schemaMessage(value);
const listed = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);
const schemaMessage = message(
  {
    $ref: text(1),
    format: text(2),
    title: text(3),
    description: text(4),
    default: one(5, any),
    pattern: text(13),
    uniqueItems: flag(16),
    required: each(19, plain),
    enum: each(20, any),
    additionalProperties: one(
      21,
      wrap((value) => (typeof value === 'boolean' ? flag(2) : one(1, schema))(value)),
    ),
    type: one(22, (value) => each(1, plain)(listed(value))),
    items: one(23, (value) => each(1, schema)(listed(value))),
    allOf: each(24, schema),
    properties: one(25, named(1, schema)),
  },
  31,
);
const queryParameter = message(
  {
    required: flag(1),
    in: text(2),
    description: text(3),
    name: text(4),
    type: text(6),
    format: text(7),
    uniqueItems: flag(20),
  },
  23,
);
/** ParametersItem → Parameter → NonBodyParameter → QueryParameterSubSchema. */
const parameter: Encoder = (value) => field(1, field(2, field(3, queryParameter(value))));
const response = message({ description: text(1), schema: one(2, (value) => field(1, schema(value))) }, 5);
const operation = message(
  {
    tags: each(1, plain),
    description: text(3),
    operationId: text(5),
    produces: each(6, plain),
    consumes: each(7, plain),
    parameters: each(8, parameter),
    responses: one(
      9,
      named(1, (value) => field(1, response(value))),
    ),
    schemes: each(10, plain),
  },
  13,
);
const pathItem = message(
  {
    get: one(2, operation),
    put: one(3, operation),
    post: one(4, operation),
    delete: one(5, operation),
    patch: one(8, operation),
    parameters: each(9, parameter),
  },
  10,
);
const documentMessage = message(
  {
    swagger: text(1),
    info: one(2, message({ title: text(1), version: text(2), description: text(3) }, 7)),
    paths: one(8, named(2, pathItem)),
    definitions: one(9, named(1, schema)),
  },
  16,
);
