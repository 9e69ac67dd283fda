"""ICE, of which we are the lite side, with phones of others (RFC 8445)."""
from box import NUMBERS, uri
from lab import check
from t_audio import hold_and_resume, two_phones

CONFIG = {'extra': 'media { workers = 2  quarantine = 1ms }\n'}
CASES = []


def phones(a, b, title, srtp=(None, None), mux=False, hold=False, inbound=False):
    """a, b: does the phone speak ICE?"""
    def run(box):
        pa, pb, hosts, face = 'pbx', 'itsp', ('pbx0', 'itsp0'), 'lan'
        if inbound:
            pa, pb, hosts, face = pb, pa, hosts[::-1], 'wan'
        for trunk, ice, enc in ((pa, a, srtp[0]), (pb, b, srtp[1])):
            if ice:
                box.set(trunk, 'ice=yes', 'ice=no')
            if enc:
                box.cli('trunk', 'set', trunk, 'srtp=dtls', ok=None)
                box.undoing.append(('trunk', 'set', trunk, 'srtp=off'))
        seen = []
        two_phones(box.lab, hosts[0], hosts[1], uri(NUMBERS[pb], face), srtp=srtp, mux=mux, ice=(a, b),
                   while_up=lambda phone: seen.extend(hold_and_resume(box, phone) if hold else box.media()))
        for leg, ice in (('a', a), ('b', b)):
            m = [x for x in seen if x['leg'] == leg][0]
            check(m['ice'] == ('up' if ice else 'none') and m['level'] == 0, str(m))
    run.__doc__ = title
    CASES.append(run)


phones(True, False, 'PBX with ICE calls a provider without: both phones hear each other')
phones(False, True, 'provider with ICE is called: both phones hear each other')
phones(True, True, 'ICE on both sides, DTLS, one port: both phones hear each other', srtp=('dtls_srtp', 'dtls_srtp'), mux=True,
       inbound=True)
phones(True, False, 'hold and resume with ICE: packets cross again', hold=True)
