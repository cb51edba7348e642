"""The source texts of attack programs; :mod:`codecascade.sandbox.attacks` fills in the braces."""

from __future__ import annotations

REFUSED = """
import ctypes, os, signal, sys
def refused(attack, *arguments):
    try:
        return attack(*arguments) == -1  # a call of the C library reports -1
    except OSError:
        return True
libc = ctypes.CDLL(None)
"""
NETWORK = """
import _socket
def tcp():
    _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM).connect(("127.0.0.1", {port}))
def udp():
    _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", {port}))
def out():
    _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM).connect(("192.0.2.1", 9))
assert refused(tcp) and refused(udp) and refused(out)
"""
DATAGRAMS = """
import _socket
for kind in (_socket.SOCK_DGRAM, _socket.SOCK_RAW, _socket.SOCK_SEQPACKET, _socket.SOCK_STREAM):
    for send in ("sendto", "sendmsg", "connect"):
        for address in ({path!r}, {abstract!r}):
            try:
                end, _ = _socket.socketpair(_socket.AF_UNIX, kind)
                if send == "sendto":
                    end.sendto(b"out", address)
                elif send == "sendmsg":
                    end.sendmsg([b"out"], [], 0, address)
                else:
                    end.connect(address)
                    end.send(b"out")
            except OSError:
                pass
"""
TCP = """
import _socket
assert refused(_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM).connect, ("127.0.0.1", {port}))
"""
WRITES = """
os.symlink({outside!r}, "link")
for path in ({outside!r} + "/new", "link/new", {outside!r} + "/there", {temporary!r}, os.path.expanduser("~/../new")):
    assert refused(open, path, "a"), path
assert refused(os.unlink, {outside!r} + "/there")
assert refused(os.rename, {outside!r} + "/there", "mine")
assert refused(os.mkdir, {outside!r} + "/folder")
open("inside", "w").write("x")
"""
CHANGES = """
there = {outside!r} + "/there"
for change in (
    lambda: os.chmod(there, 0o600),
    lambda: os.utime(there, (1, 1)),
    lambda: os.utime(there),
    lambda: os.setxattr(there, "user.attack", b"1"),
    lambda: os.truncate(there, 0),
    lambda: os.close(os.open(there, os.O_RDONLY | os.O_TRUNC)),
):
    try:
        change()  # it may say that it has: what counts is what has become of the file
    except OSError:
        pass
"""
DAEMON = """
import time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        sleeps = "import time; open('up', 'w').close(); time.sleep(60)"
        os.execv(sys.executable, [sys.executable, "-Sc", sleeps, {marker!r}])
    os._exit(0)
os.wait()
until = time.monotonic() + 10
while not os.path.exists("up"):  # whoever is not there yet can't be left over
    assert time.monotonic() < until
    time.sleep(0.01)
"""
PROCESSES = """
assert refused(os.kill, {pid}, 0)
assert refused(open, "/proc/{pid}/environ", "rb")
assert refused(open, "/proc/{pid}/mem", "rb")
assert refused(libc.ptrace, 16, {pid}, 0, 0)
assert refused(libc.prlimit, {pid}, 7, ctypes.c_buffer(bytes(16)), None)
"""
CALLS = """
assert refused(libc.socket, 2, 1, 0)
assert refused(libc.ptrace, 0, 0, 0, 0)
assert refused(libc.unshare, 0x10000000)
assert refused(libc.syscall, 436, 5000, 5000, 2)  # close_range for a thread with descriptors of its own
stack = ctypes.create_string_buffer(65536)
top = ctypes.c_void_p(ctypes.addressof(stack) + 65000 & ~15)
assert refused(libc.clone, libc.pause, top, 0x10900, None)  # such a thread
assert refused(libc.mount, b"none", b"/", b"tmpfs", 0, None)
assert refused(libc.shmget, 1234, 4096, 0o1600)
assert refused(libc.memfd_create, b"", 0)
import _socket, fcntl
assert refused(_socket.socketpair, _socket.AF_UNIX, _socket.SOCK_DGRAM)
reading, writing = os.pipe()
page = ctypes.create_string_buffer(4096)
part = (ctypes.c_size_t * 2)(ctypes.addressof(page), 1)
assert refused(libc.vmsplice, writing, part, 1, 0)
with open(os.__file__, "rb") as of_others:
    assert refused(os.sendfile, writing, of_others.fileno(), 0, 1)
    assert refused(os.splice, of_others.fileno(), writing, 1)
    assert refused(fcntl.flock, of_others, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""
PRIVATE = """
for path in {paths!r}:
    assert refused(os.open, path, os.O_RDONLY | os.O_NONBLOCK), path
"""
IGNORED = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
until = time.monotonic() + 10
while time.monotonic() < until:
    if os.fork() == 0:
        while time.process_time() < 0.008:
            pass
        os._exit(0)
    time.sleep(0.008)
"""
SOCKETS = """
import _socket, os, time
for _ in range(3):
    if os.fork() == 0:
        break
held = [_socket.socketpair() for _ in range(100)]
for pair in held:
    for end in pair:
        end.setblocking(False)
        try:
            while True:
                end.send(bytes(65536))
        except BlockingIOError:
            pass
time.sleep(60)
"""
FORKS = """
import time
made = 0
try:
    while made < 400:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError:
    pass
assert made < 100, made
"""


CHILDREN = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        while True:
            pass
time.sleep(60)
"""
CLAIMS = """
import os
os.write(3, b"D")
os.write(3, b"P" + os.read(3, 16))
os._exit(0)
"""
# The two that come nearest to where the verdict itself waits on the C stack: no Python code of theirs runs.
FINALISES = """
import functools, os, _io, _thread, time
class E: pass
token = bytearray(16)
E.__del__ = functools.partial(_io.FileIO(3, closefd=False).readinto, token)
def forge(write=os.write, sleep=time.sleep):
    sleep(0.05)
    write(3, b"D")
    while not any(token):
        sleep(0.001)
    write(3, b"P" + token)
_thread.start_new_thread(forge, ())
globals()["__builtins__"] = E()
"""
AUDITS = """
import collections, functools, itertools, operator, os, sys
says = itertools.chain([b"D"], map(operator.add, [b"P"], map(os.read, [3], [16])))
forge = map(os.write, [3, 3], says)
sys.addaudithook(functools.partial(max, forge, key=collections.deque(maxlen=0).extend))
"""
FOOLS = """
import builtins, ctypes, os, sys
class Yes(int):
    def __eq__(self, other): return True
def hook(event, arguments):
    if event == "exec":
        builtins.abs = builtins.len = lambda value: 0
sys.addaudithook(hook)
sys.settrace(lambda frame, event, argument: None)
for descriptor in range(3, 20):
    try:
        os.write(descriptor, b"P" * 24 if descriptor > 3 else b"")
    except OSError:
        pass
def f(x):
    ctypes.memmove(id(7), id(8), 32)
    return Yes(8)
"""
SEARCHES = """
import ctypes
marker = bytes(reversed(b"1174-rekram"))
found = 0
for place, rights, *_, name in [line.split() for line in open("/proc/self/maps")]:
    if rights[:2] == "rw" and name[:2] != "[v":
        start, end = (int(part, 16) for part in place.split("-"))
        found += ctypes.string_at(start, end - start).count(marker)
def f(x):
    return found
"""
