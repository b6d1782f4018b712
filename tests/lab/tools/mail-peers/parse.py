"""Reads mails strictly and prints what a mail program shows of each, one JSON line for a file."""
import email
import email.policy
import json
import sys

for path in sys.argv[1:]:
    with open(path, "rb") as file:
        mail = email.message_from_binary_file(file, policy=email.policy.SMTP.clone(raise_on_defect=True))
    defects = [str(defect) for part in mail.walk() for defect in part.defects]
    attached = [part.get_filename() for part in mail.iter_attachments()]
    print(json.dumps({
        "subject": mail["Subject"],
        "id": mail["Message-ID"],
        "references": mail["References"],
        "from": mail["From"].addresses[0].addr_spec,
        "automatic": mail["Auto-Submitted"],
        "text": mail.get_body(("plain",)).get_content(),
        "html": len(mail.get_body(("html",)).get_content()),
        "attached": attached,
        "defects": defects,
        "longest": max(len(line) for line in mail.as_bytes().split(b"\r\n")),
    }))
