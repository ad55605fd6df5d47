import { describe, expect, it } from 'vitest';
import { decodeGo, type GoStruct, goBool, goInteger, goString, goStringMap, goStrings, goTime } from './go-types.ts';

const inner: GoStruct = {
  kind: 'struct',
  type: 'container.Config',
  fields: { Env: goStrings, Cmd: { ...goStrings, type: 'strslice.StrSlice', text: true }, Labels: goStringMap },
};
const type: GoStruct = {
  kind: 'struct',
  type: 'image.Image',
  embedded: { name: 'V1Image', fields: ['name', 'isOn', 'count', 'created', 'config'] },
  fields: { name: goString, isOn: goBool, count: goInteger('int'), created: goTime, config: inner, history: goStrings },
};

describe('JSON read into types of Go', () => {
  it.each([
    [[], 'json: cannot unmarshal array into Go value of type image.Image'],
    [1, 'json: cannot unmarshal number into Go value of type image.Image'],
    [{ name: 1 }, 'json: cannot unmarshal number into Go struct field Image.V1Image.name of type string'],
    [{ isOn: 'x' }, 'json: cannot unmarshal string into Go struct field Image.V1Image.isOn of type bool'],
    [{ count: 1.5 }, 'json: cannot unmarshal number 1.5 into Go struct field Image.V1Image.count of type int'],
    [
      { config: { Env: 'x' } },
      'json: cannot unmarshal string into Go struct field Config.V1Image.config.Env of type []string',
    ],
    [
      { config: { Env: [true] } },
      'json: cannot unmarshal bool into Go struct field Config.V1Image.config.Env of type string',
    ],
    [
      { config: { labels: { a: {} } } },
      'json: cannot unmarshal object into Go struct field Config.V1Image.config.Labels of type string',
    ],
    [{ history: 1 }, 'json: cannot unmarshal number into Go struct field Image.history of type []string'],
    [{ created: 1 }, 'Time.UnmarshalJSON: input is not a JSON string'],
    [
      { created: 'yesterday' },
      'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
    ],
    [
      { created: '2024-01-02 03:04' },
      'parsing time "2024-01-02 03:04" as "2006-01-02T15:04:05Z07:00": cannot parse " 03:04" as "T"',
    ],
    [{ created: '2024-01-02T03:04:05Zz' }, 'parsing time "2024-01-02T03:04:05Zz": extra text: "z"'],
  ])('refuses %j', (value, message) => {
    expect(() => decodeGo(value, type)).toThrow(expect.objectContaining({ code: 'corrupt', message }) as Error);
  });

  it('gives members by their names, whatever their case, and nothing else', () => {
    const value = {
      NAME: 'n',
      count: null,
      other: 1,
      created: '2024-01-02T03:04:05.678+01:00',
      config: { Cmd: 'run' },
    };
    expect(decodeGo(value, type)).toEqual({ name: 'n', created: value.created, config: { Cmd: ['run'] } });
    expect(decodeGo({ config: { Env: [null, 'a'], Labels: { k: null } } }, type)).toEqual({
      config: { Env: ['', 'a'], Labels: { k: '' } },
    });
    expect(decodeGo(null, type)).toBeUndefined();
  });
});
