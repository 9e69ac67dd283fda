BODIES = {'dtmf': 'Signal=5\nDuration=160', 'dtmf7': 'Signal=7\nDuration=160'}
