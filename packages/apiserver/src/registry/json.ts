export { copyJson, equalJson, freezeJson as deepFreeze } from '@wherry/base';
