// A mail server that takes only XOAUTH2, and the token endpoint whose tokens it takes. Both are
// libraries of others. Prints one line when both listen, and one line for each accepted mail.
//
// Arguments: certificate, key.
'use strict';
const fs = require('fs');
const { OAuth2Server } = require('oauth2-mock-server');
const { SMTPServer } = require('smtp-server');

async function main([certificate, key]) {
  const tokens = new OAuth2Server();
  await tokens.issuer.keys.generate('RS256');
  await tokens.start(0, '127.0.0.1');
  const keys = [...tokens.issuer.keys.toJSON()].map((jwk) => require('crypto').createPublicKey({ key: jwk, format: 'jwk' }));
  const isSigned = (token) => {
    const [head, claims, signature] = String(token).split('.');
    const data = Buffer.from(`${head}.${claims}`);
    const known = keys.some((publicKey) =>
      require('crypto').verify('sha256', data, publicKey, Buffer.from(signature || '', 'base64url')));
    return known && JSON.parse(Buffer.from(claims, 'base64url')).exp * 1000 > Date.now();
  };
  const mails = new SMTPServer({
    authMethods: ['XOAUTH2'],
    cert: fs.readFileSync(certificate),
    key: fs.readFileSync(key),
    onAuth(auth, session, done) {
      if (auth.method !== 'XOAUTH2' || !isSigned(auth.accessToken)) {
        return done(null, { data: { status: '401', schemes: 'bearer' } });
      }
      return done(null, { user: auth.username });
    },
    onData(stream, session, done) {
      let size = 0;
      stream.on('data', (part) => { size += part.length; });
      stream.on('end', () => {
        console.log(JSON.stringify({ user: session.user, to: session.envelope.rcptTo.map((to) => to.address), size }));
        done();
      });
    },
  });
  mails.listen(0, '127.0.0.1', () => {
    console.log(JSON.stringify({ smtp: mails.server.address().port, tokens: tokens.address().port }));
  });
}

main(process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
