"""Speak sentences with eSpeak NG, in a process of its own: its noise depends on everything it has said before.

  python tasks/datasets/espeak_worker.py     (started by espeak.py)

Reads JSON, {"library", "data", "utterances": [[text, voice, words per minute], …]}, from stdin; writes a line of JSON,
{"rate", "sizes"}, to stdout, then the 16-bit samples. Imports nothing but the standard library.
"""

import ctypes
import json
import sys

SYNCHRONOUS, NO_EXIT, UTF8, SPEED = 2, 0x8000, 1, 1  # of speak_lib.h
SEED = 1
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def main() -> int:
  request = json.load(sys.stdin)
  library = ctypes.CDLL(request['library'])
  data = request['data']
  rate = library.espeak_Initialize(SYNCHRONOUS, 0, data.encode() if data else None, NO_EXIT)
  if rate <= 0:
    print(f'espeak_Initialize gives {rate}: its data are not found', file=sys.stderr)
    return 1
  # It takes its noise from the clock otherwise: from the generator of C, or one of its own (versions from 1.52 on).
  ctypes.CDLL(None).srand(SEED)
  if hasattr(library, 'espeak_ng_SetRandSeed'):
    library.espeak_ng_SetRandSeed(ctypes.c_long(SEED))
  parts: list[bytes] = []

  @CALLBACK
  def keep(samples, count, events):
    if samples and count > 0:
      parts.append(ctypes.string_at(samples, 2 * count))
    return 0

  library.espeak_SetSynthCallback(keep)
  spoken = []
  for text, voice, speed in request['utterances']:
    if library.espeak_SetVoiceByName(voice.encode()):
      print(f'eSpeak NG has no voice {voice}', file=sys.stderr)
      return 1
    library.espeak_SetParameter(SPEED, speed, 0)
    content = text.encode() + b'\0'
    library.espeak_Synth(content, len(content), 0, 0, 0, UTF8, None, None)
    library.espeak_Synchronize()
    spoken.append(b''.join(parts))
    parts.clear()
  sys.stdout.buffer.write(json.dumps({'rate': rate, 'sizes': [len(part) for part in spoken]}).encode() + b'\n')
  sys.stdout.buffer.write(b''.join(spoken))
  return 0


if __name__ == '__main__':
  sys.exit(main())
