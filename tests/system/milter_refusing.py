"""A filter on python3-milter (Debian's libmilter binding), for Debian's python3: refuses, adds, quarantines.

python3 milter_refusing.py SOCKET
"""

# Debian's python3 runs it, which alone has the binding.
# mypy: ignore-errors

import sys

import Milter


class Refusing(Milter.Base):
    @Milter.noreply
    def connect(self, name, family, address):
        self.address = address
        return Milter.CONTINUE

    def envfrom(self, sender, *words):
        self.octets, self.subject = 0, ""
        if sender == "<banned@other.test>":
            self.setreply("550", "5.7.1", "banned", "is banned, 100%%")
            return Milter.REJECT
        return Milter.CONTINUE

    def envrcpt(self, recipient, *words):
        if recipient == "<bob@example.test>":
            self.setreply("450", "4.2.1", "Bob is out")
            return Milter.TEMPFAIL
        return Milter.CONTINUE

    def header(self, name, value):
        if name == "Subject":
            self.subject = value
        return Milter.CONTINUE

    def body(self, chunk):
        self.octets += len(chunk)
        return Milter.CONTINUE

    def eom(self):
        if self.subject == "refuse":
            return Milter.REJECT
        if self.subject == "discard":
            return Milter.DISCARD
        if self.subject == "quarantine":
            self.quarantine("a test")
        if self.subject == "body":
            self.replacebody(b"another body\r\n")
        self.addheader("X-Filter", f"{self.address[0]} {self.getsymval('i')} {self.octets}", 0)
        return Milter.CONTINUE


Milter.factory = Refusing
Milter.set_flags(Milter.ADDHDRS + Milter.CHGBODY + Milter.QUARANTINE)
Milter.runmilter("refusing", sys.argv[1], 30)
