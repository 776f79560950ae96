// The identity provider of the tests: the certified `oidc-provider` with a few people and a sign-in form of our own.
//
//   node provider.mjs NODE_MODULES SETTINGS
//
// SETTINGS is JSON: { clients: [{ client_id, client_secret, redirect_uris }], people: [{ sub, password, amr, … claims }] }.
// Prints "Ready: ISSUER" once it answers. Ends when its standard input does.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [modules, settings] = [process.argv[2], JSON.parse(process.argv[3])];
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));

const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;
const people = new Map(settings.people.map((person) => [person.sub, person]));

const provider = new Provider(issuer, {
  clients: settings.clients,
  // As the standard has it: what a scope asks for is in the user info, and the ID token says who and how only.
  claims: {
    openid: ['sub', 'amr'],
    email: ['email', 'email_verified'],
    profile: ['name', 'groups'],
    acr: null,
    auth_time: null,
  },
  features: { devInteractions: { enabled: false } },
  pkce: { required: () => true, methods: ['S256'] },
  cookies: { keys: ['only-for-tests'] },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, sub) => {
    const { password, ...claims } = people.get(sub) ?? {};
    return people.has(sub) ? { accountId: sub, claims: () => claims } : undefined;
  },
  // Nobody is asked for consent: this portal is the organisation's own.
  loadExistingGrant: async (ctx) => {
    const { client, session, params } = ctx.oidc;
    const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope);
    await grant.save();
    return grant;
  },
});

const page = (uid, wrong) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in at Example Corp</title>
<main><h1>Example Corp</h1>${wrong ? '<p role="alert">Wrong.</p>' : ''}
<form method="post" action="/interaction/${uid}">
<label for="name">User</label> <input id="name" name="name" autocomplete="username">
<label for="password">Password</label> <input id="password" name="password" type="password">
<button type="submit">Continue</button></form></main></html>`;

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

async function interact(request, response, uid) {
  const form = request.method === 'POST' ? await body(request) : undefined;
  const person = people.get(form?.get('name'));
  if (!form || !person || person.password !== form.get('password')) {
    await provider.interactionDetails(request, response);
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page(uid, Boolean(form)));
    return;
  }
  const login = { accountId: person.sub, amr: person.amr, acr: person.acr };
  await provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false });
}

const answer = provider.callback();
server.on('request', (request, response) => {
  const uid = /^\/interaction\/([\w-]+)$/.exec(request.url)?.[1];
  if (!uid) return answer(request, response);
  interact(request, response, uid).catch((error) => response.writeHead(400).end(String(error)));
});
provider.on('server_error', (_, error) => console.error(error));

process.stdin.resume().on('end', () => process.exit(0));
console.log(`Ready: ${issuer}`);
