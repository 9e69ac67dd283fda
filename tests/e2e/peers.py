"""Programs of others as parties: SIPp pairs, baresip."""
import json
import os
import re
import socket
import subprocess

import audio
import scn
from lab import HERE, HOSTS, ITSP_PORT, LISTEN, PBX_PORT, Failed, addr, hp, inside, listening, wait

CALLED, CALLING = '+4989998877', '+49301234501'


class Sipp:
    """A scenario of scn/ on two hosts. via: the box's face the caller sends to; None: straight to the callee."""

    def __init__(self, lab, name, caller='pbx0', callee='itsp0', via='lan', transport='u1', family=4,
                 callee_transport=None, callee_family=None, echo=False, called=None, calling=None, bodies=None,
                 seconds=20, calls=1, rate=5, callee_port=None, caller_port=None, to=None, trace=True):
        self.lab, self.name, self.calls, self.seconds = lab, name, calls, seconds
        self.dir = lab.fresh('%s-%s' % (name, transport))
        xml = scn.compile_file(os.path.join(HERE, 'scn', name + '.scn'), name, bodies)
        for side, text in xml.items():
            with open(os.path.join(self.dir, side + '.xml'), 'w') as f:
                f.write(text)
        if any('audio.pcap' in t for t in xml.values()):
            audio.pcap(os.path.join(self.dir, 'audio.pcap'), 700, 2)
        port = {'p': PBX_PORT, 'i': ITSP_PORT}
        self.uas = None
        called = called or (CALLED if caller.startswith('pbx') else CALLING)
        calling = calling or (CALLING if caller.startswith('pbx') else CALLED)
        self.callee_at = (callee, addr(callee, callee_family or family), callee_port or port[callee[0]])
        common = ['-m', str(calls), '-timeout', '%ds' % seconds, '-timeout_error', '-nostdin', '-trace_err',
                  *(['-trace_msg'] if trace else []), '-s', called, '-key', 'calling', calling,
                  '-default_behaviors', 'all,-bye', '-recv_timeout', str(seconds * 1000)]
        if 'uas' in xml:
            t = callee_transport or transport
            host, a, p = self.callee_at
            argv = ['sipp', '-sf', 'uas.xml', '-i', a, '-p', str(p), '-mi', a, '-mp', '6000', '-t', t,
                    '-key', 'domain', hp(a, p) if ':' not in a else '[%s]' % a] + common
            if echo:
                argv.append('-rtp_echo')
            self.uas = lab.run(host, argv + self._files('uas'), name + '-uas', cwd=self.dir)
            wait('SIPp to listen', lambda: listening(host, 'tcp' if t[0] == 't' else 'udp', a, p)
                 or not self.uas.running(), 5)
        a = addr(caller, family)
        if to:
            to = hp(*to)
        else:
            to = hp(addr(via, family), LISTEN) if via else hp(self.callee_at[1], self.callee_at[2])
        p = caller_port or port[caller[0]]
        argv = ['sipp', to, '-sf', 'uac.xml', '-i', a, '-p', str(p), '-mi', a, '-mp', '6000', '-t', transport,
                '-r', str(rate), '-key', 'domain', '[%s]' % a if ':' in a else a] + common
        self.uac = lab.run(caller, argv + self._files('uac'), name + '-uac', cwd=self.dir) if 'uac' in xml else None

    def _files(self, side):
        return ['-message_file', side + '.msg', '-error_file', side + '.err']

    def text(self, side):
        """Every message a side sent and took, as SIPp wrote it down."""
        try:
            with open(os.path.join(self.dir, side + '.msg'), errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def finish(self):
        """Waits for both; Failed with SIPp's own words when a side did not do its whole scenario."""
        bad = []
        for side, p in (('uac', self.uac), ('uas', self.uas)):
            if p is None:
                continue
            rc = p.wait(self.seconds + 5)
            if rc is None:
                p.stop()
            if rc != 0:
                err = ''
                try:
                    with open(os.path.join(self.dir, side + '.err'), errors='replace') as f:
                        err = ' '.join(f.read().split())[:900]
                except FileNotFoundError:
                    err = ' '.join(p.text().split())[-300:]
                bad.append('%s ended with %s: %s' % (side, rc, err))
            else:
                p.stop()
        if bad:
            raise Failed('; '.join(bad))
        return self


def messages(text):
    """SIPp's message file as (sent?, text) pairs"""
    out = []
    for part in re.split(r'^-{20,}.*\n', text, flags=re.M):
        m = re.match(r'(?:UDP|TCP|SCTP) message (sent|received) .*\n\n?', part)
        if m:
            out.append((m.group(1) == 'sent', part[m.end():]))
    return out


class Baresip:
    """A headless baresip on a host, driven by its control port; records what it hears."""

    def __init__(self, lab, name, host, port, hz, family=4, transport='udp', answer=False, codecs='PCMA', rtp=None, number=None,
                 account=None, srtp=None, instance=None, mux=False, ice=False):
        self.lab, self.host, self.hz = lab, host, hz
        self.dir = lab.fresh('baresip-' + name)
        a = addr(host, family)
        mods = subprocess.run(['dpkg', '-L', 'baresip-core'], stdout=subprocess.PIPE, text=True).stdout
        mods = os.path.dirname(re.search(r'^(/.*)/account\.so$', mods, re.M).group(0))
        audio.tone(os.path.join(self.dir, 'tone.wav'), hz, 30)
        with open(os.path.join(self.dir, 'config'), 'w') as f:
            f.write('\n'.join([
                'poll_method epoll', 'sip_listen ' + hp(a, port), 'call_local_timeout 30', 'call_max_calls 4',
                'audio_player aubridge,sink', 'audio_source aufile,%s/tone.wav' % self.dir,
                'audio_alert aubridge,alert', 'audio_level no', 'ausrc_format s16', 'auplay_format s16',
                'auenc_format s16', 'audec_format s16', 'audio_buffer 20-160', 'rtcp_mux ' + ('yes' if mux else 'no'),
                'jitter_buffer_delay 1-10', 'rtp_timeout 0', 'net_interface eth0', 'module_path ' + mods,
                'module g711.so', 'module %s.so' % ('dtls_srtp' if (srtp or '').startswith('dtls') else 'srtp'),
                *(['module ice.so'] if ice else []), 'module aubridge.so', 'module aufile.so', 'module sndfile.so',
                'module_tmp account.so', 'module_app ctrl_tcp.so', 'module_app menu.so',
                'ctrl_tcp_listen 127.0.0.1:4444', 'snd_path %s' % self.dir, 'ringback_disabled yes'] +
                (['module uuid.so'] if instance else [])) + '\n')
        if instance:
            with open(os.path.join(self.dir, 'uuid'), 'w') as f:
                f.write(instance)
        with open(os.path.join(self.dir, 'accounts'), 'w') as f:
            f.write(account + '\n' if account else '<sip:%s@%s;transport=%s>;regint=0;audio_codecs=%s%s%s\n'
                    % (number or (CALLING if host[0] == 'p' else CALLED), hp(a, port), transport, codecs,
                       ';answermode=auto' if answer else '', (';mediaenc=' + srtp if srtp else '') + (';medianat=ice' if ice else '')))
        open(os.path.join(self.dir, 'contacts'), 'w').close()
        self.p = lab.run(host, ['baresip', '-v', '-s', '-f', self.dir] + (['-6'] if family == 6 else ['-4']),
                         'baresip-' + name, cwd=self.dir)
        wait('baresip to be ready', lambda: 'baresip is ready' in self.p.text(), 10)
        wait('its control port', lambda: listening(host, 'tcp', '127.0.0.1', 4444), 5)
        with inside(host):
            self.ctl = socket.create_connection(('127.0.0.1', 4444), 5)
        lab.sockets.append(self.ctl)
        self.buf = b''
        self.events = []

    def command(self, name, params=''):
        m = json.dumps({'command': name, 'params': params, 'token': name}).encode()
        self.ctl.sendall(b'%d:%s,' % (len(m), m))

    def poll(self):
        """Reads what the control port says into .events."""
        self.ctl.settimeout(0.02)
        try:
            d = self.ctl.recv(65536)
            self.buf += d
        except socket.timeout:
            pass
        while True:
            n, sep, rest = self.buf.partition(b':')
            if not sep or len(rest) < int(n) + 1:
                return
            self.events.append(json.loads(rest[:int(n)]))
            self.buf = rest[int(n) + 1:]

    def event(self, kind, seconds=8):
        """Waits for an event (CALL_ESTABLISHED, CALL_CLOSED, ...) and forgets what came before it."""
        def seen():
            self.poll()
            for i, e in enumerate(self.events):
                if e.get('type') == kind:
                    del self.events[:i + 1]
                    return e
        return wait('%s: %s' % (self.host, kind), seen, seconds)

    def recordings(self):
        """Files of what it heard: one, and another after each hold."""
        return sorted(os.path.join(self.dir, f) for f in os.listdir(self.dir) if f.endswith('-dec.wav'))

    def recorded(self):
        """Seconds of what it heard that are in its recordings: 16 bits, 8000 a second."""
        return sum(max(os.path.getsize(f) - 44, 0) for f in self.recordings()) / 16000

    def stop(self):
        self.p.stop()


class Linphone:
    """linphone's daemon on a host: no sound card, answers each call, driven by its Unix socket."""

    def __init__(self, lab, host, port, name='linphone'):
        self.dir = lab.fresh(name)
        pipe = 'postern-%s-%d' % (name, os.getpid())
        path = '/tmp/' + pipe
        os.makedirs(os.path.join(self.dir, '.local/share/linphone'))        # where its database goes; it does not begin without
        a = addr(host)
        with open(os.path.join(self.dir, 'rc'), 'w') as f:
            f.write('\n'.join([
                '[sip]', 'sip_port=%d' % port, 'sip_tcp_port=%d' % port, 'sip_tls_port=-1', 'bind_address=' + a, 'use_ipv6=0',
                'guess_hostname=1', 'register_only_when_network_is_up=0', 'store_auth_info=0', 'media_encryption=none',
                '[net]', 'stun_server=', 'nat_policy_ref=', '[sound]', 'echocancellation=0',
                '[misc]', 'uuid=', 'config-uri=', 'version_check_url_root=', '[rtp]', 'audio_rtp_port=7078']) + '\n')
        self.p = lab.run(host, ['linphone-daemon', '--pipe', pipe, '--config', os.path.join(self.dir, 'rc'), '--auto-answer',
                                '--disable-stats-events', '--log', os.path.join(self.dir, 'log')], name, cwd=self.dir,
                         env=dict(os.environ, HOME=self.dir))

        def there():
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(path)
                os.unlink(path)
                return s
            except OSError:
                s.close()
                return None
        self.ctl = wait('linphone to listen', there, 15)
        lab.sockets.append(self.ctl)

    def command(self, line, seconds=5):
        """What it says to a command."""
        self.ctl.settimeout(seconds)
        self.ctl.sendall(line.encode())
        text = b''
        while b'Status:' not in text:
            d = self.ctl.recv(65536)
            if not d:
                break
            text += d
        return text.decode()

    def log(self):
        with open(os.path.join(self.dir, 'log'), errors='replace') as f:
            return f.read()

    def stop(self):
        self.p.stop()
