"""SASL for all protocols: each mechanism once, and the strict base64 that carries them.

A protocol gives the mechanism's name, the initial response if there was one, and a way to ask (`Ask`); it gets the
authority's word. A mechanism is one file that knows messages and nothing else: who is asked about passwords, keys
and tokens is the `Door`, which `accounts.directory` is. No I/O here, and a secret is never logged.
"""

from postroom.accounts.sasl.claims import Credentials as Credentials
from postroom.accounts.sasl.claims import credentials as credentials
from postroom.accounts.sasl.exchange import Ask as Ask
from postroom.accounts.sasl.exchange import Cancelled as Cancelled
from postroom.accounts.sasl.exchange import Malformed as Malformed
from postroom.accounts.sasl.exchange import NoSuchMechanism as NoSuchMechanism
from postroom.accounts.sasl.exchange import decode_base64 as decode_base64
from postroom.accounts.sasl.exchange import decode_initial as decode_initial
from postroom.accounts.sasl.table import MECHANISMS as MECHANISMS
from postroom.accounts.sasl.table import offered as offered
from postroom.accounts.sasl.table import run as run
