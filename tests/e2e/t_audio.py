"""Real phones (baresip) with audio that is listened to."""
import time

import audio
import peers
from lab import ITSP_PORT, PBX_PORT, check


def heard(phone, mine, theirs, seconds):
    """The phone's recording holds the other's tone for so long, and nothing of its own."""
    path = phone.recording()
    check(path, '%s recorded nothing' % phone.host)
    good, own = audio.seconds_of(path, theirs, mine)
    check(good >= seconds, '%s heard %.1f s of %d Hz, wanted %.1f (%s)' % (phone.host, good, theirs, seconds, path))
    check(own == 0, '%s heard itself for %.1f s' % (phone.host, own))


def two_phones(lab, caller, callee, uri, family=4, transport='udp', hold=False, while_up=None):
    """A call with 440 Hz one way and 1000 Hz the other; both recordings are judged."""
    port = {'p': PBX_PORT, 'i': ITSP_PORT}
    a = peers.Baresip(lab, 'a', caller, port[caller[0]], 440, family, transport)
    b = peers.Baresip(lab, 'b', callee, port[callee[0]], 1000, family, transport, answer=True)
    a.command('dial', uri)
    a.event('CALL_ESTABLISHED')
    time.sleep(3.0)                 # three seconds of talk: what is judged afterwards
    if while_up:
        while_up()
    if hold:
        a.command('hold')
        time.sleep(1.5)
        a.command('resume')
        time.sleep(2.5)
    a.command('hangup')
    b.event('CALL_CLOSED')
    a.stop()
    b.stop()
    heard(b, 1000, 440, 2.5 + (2.0 if hold else 0))
    heard(a, 440, 1000, 2.5 + (2.0 if hold else 0))
    return a, b


CASES = []
