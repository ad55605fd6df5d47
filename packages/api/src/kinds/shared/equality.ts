export { equalJson as sameValue } from '@wherry/base';
