"""Becomes a container's first process. Run as a script by `box.start`, with a plan (see `box.Plan`) on standard input.

The script enters the pod's network, and makes namespaces of processes, mounts, host name and IPC. Its child builds the
root file system, an overlay over this machine's, gives up what the pod does not ask for, and becomes the program. The
script itself waits, so that the child's end is its own end, and the other way round. On `report_fd` it writes the
child's number; the child writes why it could not become the program, if it could not.

It imports the standard library only: it is started with `-I -S`, which takes 15 ms.
"""

import ctypes
import json
import os
import signal
import socket
import sys

LIBC = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x20000000,
    0x40000000,
)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 23, 24, 38

CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
)
"""By number; those after them are never given."""

OLD = "/.machine"
"""Where this machine's root is while the new one is being furnished."""

CANNOT_START = 128
"""The exit code that a container runtime reports for a program that it could not start."""


def main() -> int:
    """Returns the exit code of the container's first process."""
    plan = json.load(sys.stdin)
    report = int(plan["report_fd"])
    quiet = os.open("/dev/null", os.O_RDONLY)
    os.dup2(quiet, 0)
    network = os.open(plan["netns"], os.O_RDONLY)
    _check(LIBC.setns(network, CLONE_NEWNET), plan["netns"])
    os.close(network)
    _check(LIBC.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID), "unshare")
    child = os.fork()
    if child == 0:
        _become(plan, report)
    os.write(report, f"{child}\n".encode())
    os.close(report)
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _become(plan: dict, report: int) -> None:
    try:
        os.set_inheritable(report, False)
        os.setsid()
        socket.sethostname(plan["hostname"])
        _furnish(plan)
        _give_up_privileges(plan)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # after the change of user, which would clear it
        os.chdir(plan["workdir"])
        os.umask(0o022)
        _run(plan["argv"], plan["env"])
    except BaseException as error:  # noqa: BLE001 - whatever it is, the child must end here and say so
        _say(report, str(error) or type(error).__name__)
    os._exit(CANNOT_START)


def _run(argv: list, env: dict) -> None:
    try:
        os.execvpe(argv[0], argv, env)
    except FileNotFoundError as error:
        raise RuntimeError(f'exec: "{argv[0]}": executable file not found in $PATH') from error


def _say(report: int, text: str) -> None:
    os.write(report, f"\n!{' '.join(text.split())}\n".encode())


def _furnish(plan: dict) -> None:
    """The root file system, as the container sees it."""
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    box = plan["box"]
    _mount("tmpfs", box, "tmpfs", 0, "mode=755")
    for name in ("upper", "work", "root"):
        os.mkdir(f"{box}/{name}")
    _mount("overlay", f"{box}/root", "overlay", 0, f"lowerdir=/,upperdir={box}/upper,workdir={box}/work")
    os.mkdir(f"{box}/root{OLD}")
    _check(LIBC.pivot_root(f"{box}/root".encode(), f"{box}/root{OLD}".encode()), "pivot_root")
    os.chdir("/")
    own = [_handle("/")]
    for path in plan["hidden"]:
        os.makedirs(path, exist_ok=True)
        _mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777" if path == "/tmp" else "mode=755")
        own.append(_handle(path))
    _system_folders()
    for path, text in plan["files"].items():
        if os.path.islink(path):  # /etc/resolv.conf, say, into a folder that is hidden
            os.unlink(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    for home, uid, gid in plan["homes"]:
        os.makedirs(home, exist_ok=True)
        os.chown(home, uid, gid)
    os.makedirs(plan["workdir"], exist_ok=True)
    for each in plan["mounts"]:
        _bind(f"{OLD}{each['source']}", each["target"], read_only=each["read_only"])
    _check(LIBC.umount2(OLD.encode(), MNT_DETACH), OLD)
    os.rmdir(OLD)
    if plan["read_only_root"]:
        for handle in own:  # by handle: a volume may lie over the path by now
            _mount(None, f"/proc/self/fd/{handle}", None, MS_REMOUNT | MS_BIND | MS_RDONLY)
            os.close(handle)


def _handle(folder: str) -> int:
    return os.open(folder, os.O_PATH | os.O_DIRECTORY)


def _system_folders() -> None:
    _mount("proc", "/proc", "proc")
    _mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=755")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
        _mount(f"{OLD}/dev/{name}", f"/dev/{name}", None, MS_BIND)
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"/dev/{name}")
    _mount("devpts", "/dev/pts", "devpts", MS_NOSUID, "newinstance,ptmxmode=0666,mode=0620")
    _mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m")  # as container runtimes have it
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    for name, target in links.items():
        os.symlink(target, f"/dev/{name}")
    _mount(f"{OLD}/sys", "/sys", None, MS_BIND)
    _mount(None, "/sys", None, MS_REMOUNT | MS_BIND | MS_RDONLY)


def _bind(source: str, target: str, *, read_only: bool) -> None:
    target = os.path.realpath(target)
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        _mount(None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY)


def _give_up_privileges(plan: dict) -> None:
    kept = set(plan["capabilities"])
    for number, name in enumerate(CAPABILITIES):
        if name not in kept:
            LIBC.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    number = len(CAPABILITIES)
    while LIBC.prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0:
        LIBC.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
        number += 1
    os.setgroups(plan["groups"])
    os.setresgid(plan["gid"], plan["gid"], plan["gid"])
    os.setresuid(plan["uid"], plan["uid"], plan["uid"])
    if plan["no_new_privileges"]:
        _check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _mount(source: str | None, target: str, kind: str | None, flags: int = 0, options: str = "") -> None:
    arguments = [None if text is None else text.encode() for text in (source, target, kind)]
    _check(LIBC.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None), f"mount on {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    sys.exit(main())
