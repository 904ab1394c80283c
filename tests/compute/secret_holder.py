"""A process whose environment holds a secret, as a user: `python secret_holder.py UID hidden|open`.

It says `ready` and waits until its input ends.
"""

import os
import sys

from platform_pipelines.compute.confinement import hide_from_peers

if uid := int(sys.argv[1]):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if sys.argv[2] == "open":  # as a process is that was this user's from the start
        import ctypes

        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
if sys.argv[2] == "hidden":
    hide_from_peers()
print("ready", flush=True)
sys.stdin.read()
