/** Where it stands in its image. */
export const serverPath = '/srv/demo/server.mjs';

/** The demo's web server: what it answers shows which pod answered, and what the pod knows of itself. */
export const demoServer = `import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => '&#' + c.charCodeAt(0) + ';');
const read = (path) => { try { return readFileSync(path, 'utf8').trim(); } catch { return ''; } };
let served = 0;

const page = () => {
  const rows = {
    'This pod': hostname(),
    'Its address': process.env.POD_IP,
    'Its node': process.env.NODE_NAME,
    'Requests it has served': served,
    'Running for': Math.round(process.uptime()) + ' s',
    'Node.js': process.version,
  };
  return '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Wherry demo</title>'
    + '<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem;color:#123}'
    + 'table{border-collapse:collapse;width:100%}td{padding:.4rem .6rem;border-bottom:1px solid #dde}td:first-child{color:#567}h1{font-size:1.6rem}</style>'
    + '<h1>' + escape(read('/etc/demo/greeting') || 'Hello') + '</h1><table>'
    + Object.entries(rows).map(([k, v]) => '<tr><td>' + escape(k) + '<td>' + escape(v)).join('') + '</table>'
    + '<p>Reload: the service sends you to one of its pods each time.</p>';
};

const server = createServer((request, response) => {
  if (request.url === '/healthz') return response.end('ok');
  served++;
  if (request.headers.accept?.includes('text/html')) {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    return response.end(page());
  }
  response.end((read('/etc/demo/greeting') || 'Hello') + ' from ' + hostname() + '\\n');
});
server.listen(8080, () => console.log('listening on 8080'));
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
`;
