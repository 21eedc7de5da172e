"""SMTP's words: command lines, paths, parameters, host names, xtext, reply lines; read and write stand together.

Pure: bytes to values and back, for the server and the client; imports no I/O. A reader takes (buffer, position)
and gives (value, position); it raises `SyntaxFault` and nothing else. A writer raises ValueError for a value that
would not read back, so that no CR, LF or NUL ever slips into a line.

    read_path(b"<@relay.example:jo@example.org> SIZE=5", 0)  ->  Address("jo", "example.org"), 31
"""

from postroom.smtp.grammar.attributes import XCLIENT as XCLIENT
from postroom.smtp.grammar.attributes import XFORWARD as XFORWARD
from postroom.smtp.grammar.attributes import read_attributes as read_attributes
from postroom.smtp.grammar.attributes import write_attributes as write_attributes
from postroom.smtp.grammar.commands import read_bdat as read_bdat
from postroom.smtp.grammar.commands import read_command as read_command
from postroom.smtp.grammar.commands import read_mail as read_mail
from postroom.smtp.grammar.commands import read_mailbox as read_mailbox
from postroom.smtp.grammar.commands import read_rcpt as read_rcpt
from postroom.smtp.grammar.commands import read_wish as read_wish
from postroom.smtp.grammar.commands import write_bdat as write_bdat
from postroom.smtp.grammar.commands import write_mail as write_mail
from postroom.smtp.grammar.commands import write_rcpt as write_rcpt
from postroom.smtp.grammar.domains import to_ascii as to_ascii
from postroom.smtp.grammar.faults import AddressFault as AddressFault
from postroom.smtp.grammar.faults import ControlFault as ControlFault
from postroom.smtp.grammar.faults import LineEndFault as LineEndFault
from postroom.smtp.grammar.faults import SyntaxFault as SyntaxFault
from postroom.smtp.grammar.faults import Utf8Fault as Utf8Fault
from postroom.smtp.grammar.parameters import Parameter as Parameter
from postroom.smtp.grammar.parameters import read_number as read_number
from postroom.smtp.grammar.parameters import read_parameters as read_parameters
from postroom.smtp.grammar.parameters import read_xtext as read_xtext
from postroom.smtp.grammar.parameters import write_parameters as write_parameters
from postroom.smtp.grammar.parameters import write_xtext as write_xtext
from postroom.smtp.grammar.paths import Address as Address
from postroom.smtp.grammar.paths import check_literal as check_literal
from postroom.smtp.grammar.paths import read_address as read_address
from postroom.smtp.grammar.paths import read_client_name as read_client_name
from postroom.smtp.grammar.paths import read_literal as read_literal
from postroom.smtp.grammar.paths import read_local_part as read_local_part
from postroom.smtp.grammar.paths import read_path as read_path
from postroom.smtp.grammar.paths import read_reverse_path as read_reverse_path
from postroom.smtp.grammar.paths import write_client_name as write_client_name
from postroom.smtp.grammar.paths import write_path as write_path
from postroom.smtp.grammar.replylines import ReplyLine as ReplyLine
from postroom.smtp.grammar.replylines import read_reply_line as read_reply_line
from postroom.smtp.grammar.replylines import write_reply as write_reply
