// Reads mails and prints what a mail program shows of each, one JSON line for a file.
'use strict';
const fs = require('fs');
const { simpleParser } = require('mailparser');

async function main(files) {
  for (const file of files) {
    const mail = await simpleParser(fs.readFileSync(file));
    console.log(JSON.stringify({
      subject: mail.subject,
      id: mail.messageId,
      references: mail.references || null,
      from: mail.from.value[0].address,
      automatic: mail.headers.get('auto-submitted'),
      text: mail.text,
      html: typeof mail.html === 'string' ? mail.html.length : 0,
      attached: mail.attachments.map((part) => part.filename),
    }));
  }
}

main(process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
