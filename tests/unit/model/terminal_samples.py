"""What real programs wrote to a terminal, byte for byte."""

from __future__ import annotations

READLINE = (
    b"\x1b[?2004h\x1b[01;32muser@box\x1b[00m:\x1b[01;34m/usr\x1b[00m# stty cols 80\r\n"
    b"\x1b[?2004l\r\x1b[?2004h\x1b[01;32muser@box\x1b[00m:\x1b[01;34m/usr\x1b[00m# echo word00 word01 word02 "
    b"word03 word04 word05 word06 word07 word08 word09 word10 word11 word12 word13 word14 word15 \x1b[A\x08\x08"
    b"\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08"
    b"\x08\x08\x08\x08\x08\x08\x08\x08\x08\x1b[C\x1b[C\x08ho word00 word01 word02 word03 word04 word05 word06"
    b" word07 word08\x1b[1P\x1b[A\r\x1b[01;32muser@box\x1b[00m:\x1b[01;34m/usr\x1b[00m# \x1b[C\x08ho word00 w"
    b"ord01 word02 word03 word04 word05 word06 word07 word08 \x1b[1P\x1b[A\r\x1b[01;32muser@box\x1b[00m:\x1b["
    b"01;34m/usr\x1b[00m# priho word00 word01 word02 word03 word04 word05 word06 word07 word\x1b[3@08 \x1b[A\r"
    b"\x1b[01;32muser@box\x1b[00m:\x1b[01;34m/usr\x1b[00m# \x1b[C\x1b[C\x1b[C\r\n"
    b"\r\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b["
    b"C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C"
    b"\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b"
    b"[C\x1b[C\r\n\x1b[?2004l\rbash: priho: command not found\r\n"
    b"\x1b[?2004h\x1b[01;32muser@box\x1b[00m:\x1b[01;34m/usr\x1b[00m# ec\x08\x1b[K\x08\x1b[Kprintf 'a\\tb\\n'"
    b"\x08\x08Xn'\x08\x08\x08\x1b[1Pn'\x08\x08\r\n\x1b[?2004l\ra\tb\r\n"
    b"\x1b[?2004h\x1b[01;32muser@box\x1b[00m:\x1b[01;34m/usr\x1b[00m# \r(reverse-i-search)`': \x1b[K\x08\x08\x08"
    b"r': p\x1b[7mr\x1b[27mintf 'a\\tb\\n'\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08"
    b"\x08\x1b[1@i': p\x1b[7mri\x1b[27m\x08\x08\x08\x08\x08\x08\x1b[1@n': p\x1b[7mrin\x1b[27m\x08\x08\x08\x08"
    b"\x08\x08\x08\x1b[1@t': p\x1b[7mrint\x1b[27m\x08\x08\x08\x08\x08\x08\x08\x08\x1b[1@f': p\x1b[7mrintf\x1b"
    b"[27m\x08\x08\x08\x08\x08\r\x1b[12P\x1b[01;32muser@box\x1b[00m:\x1b[01;34m/usr\x1b[00m# printf\x08\x08\x08"
    b"\x08\x08\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[2Pa\\tb\\n\x08\x08\x08\x08\x08\x08\x08\x1b[C# 2 a\\tb\\"
    b"n\x08\x08\x08\x08\x08\x08\x08\r\n\x1b[?2004l\rprintf: usage: printf [-v var] format [arguments]\r\n"
    b"\x1b[?2004h\x1b[01;32muser@box\x1b[00m:\x1b[01;34m/usr\x1b[00m# exit\r\n"
    b"\x1b[?2004l\rexit\r\n"
)
"""A shell of 80 columns: a line longer than that, edited at its beginning; deletions; a search in the history."""

LIST = (
    b"\x1b[0m\x1b[01;34mbin\x1b[0m/    \x1b[01;34metc\x1b[0m/   \x1b[01;34mgames\x1b[0m/  \x1b[01;34minclude\x1b"
    b"[0m/  \x1b[01;34mlib\x1b[0m/  \x1b[01;34mlib64\x1b[0m/  \x1b[01;34mlibexec\x1b[0m/\r\n"
    b"\x1b[01;34mlocal\x1b[0m/  \x1b[01;34msbin\x1b[0m/  \x1b[01;34mshare\x1b[0m/  \x1b[01;34msrc\x1b[0m/\r\n"
)
"""`ls --color=always -Fx` in 60 columns."""

TOP = (
    b"\x1b[?1h\x1b=\x1b[?25l\x1b[H\x1b[2J\x1b(B\x1b[mtop - 21:10:34 up 10:48,  0 user,  load average: 2.60, 2"
    b".09, 1.28\x1b(B\x1b[m\x1b[39;49m\x1b(B\x1b[m\x1b[39;49m\x1b[K\r\n"
    b"Tasks:\x1b(B\x1b[m\x1b[39;49m\x1b[1m 114 \x1b(B\x1b[m\x1b[39;49mtotal,\x1b(B\x1b[m\x1b[39;49m\x1b[1m   "
    b"1 \x1b(B\x1b[m\x1b[39;49mrunning,\x1b(B\x1b[m\x1b[39;49m\x1b[1m 113 \x1b(B\x1b[m\x1b[39;49msleeping,\x1b"
    b"(B\x1b[m\x1b[39;49m\x1b[1m   0 \x1b(B\x1b[m\x1b[39;49mstopped,\x1b(B\x1b[m\x1b[39;49m\x1b[1m   0 \x1b(B"
    b"\x1b[m\x1b[39;49mzombie\x1b(B\x1b[m\x1b[39;49m\x1b(B\x1b[m\x1b[39;49m\x1b[K\r\n"
    b"%Cpu(s):\x1b(B\x1b[m\x1b[39;49m\x1b[1m  0.0 \x1b(B\x1b[m\x1b[39;49mus,\x1b(B\x1b[m\x1b[39;49m\x1b[1m  0"
    b".0 \x1b(B\x1b[m\x1b[39;49msy,\x1b(B\x1b[m\x1b[39;49m\x1b[1m  0.0 \x1b(B\x1b[m\x1b[39;49mni,\x1b(B\x1b[m"
    b"\x1b[39;49m\x1b[1m100.0 \x1b(B\x1b[m\x1b[39;49mid,\x1b(B\x1b[m\x1b[39;49m\x1b[1m  0.0 \x1b(B\x1b[m\x1b["
    b"39;49mwa,\x1b(B\x1b[m\x1b[39;49m\x1b[1m  0.0 \x1b(B\x1b[m\x1b[39;49mhi,\x1b(B\x1b[m\x1b[39;49m\x1b[1m  "
    b"0.0 \x1b(B\x1b[m\x1b[39;49msi\x1b(B\x1b[m\x1b[39;49m\x1b(B\x1b[m\x1b[39;49m\x1b[K\r\n"
    b"MiB Mem :\x1b(B\x1b[m\x1b[39;49m\x1b[1m  24105.6 \x1b(B\x1b[m\x1b[39;49mtotal,\x1b(B\x1b[m\x1b[39;49m\x1b"
    b"[1m  22141.9 \x1b(B\x1b[m\x1b[39;49mfree,\x1b(B\x1b[m\x1b[39;49m\x1b[1m   1180.3 \x1b(B\x1b[m\x1b[39;49"
    b"mused,\x1b(B\x1b[m\x1b[39;49m\x1b[1m   1559.5 \x1b(B\x1b[m\x1b[39;49mbuff/\x1b(B\x1b[m\x1b[39;49m\x1b(B"
    b"\x1b[m\x1b[39;49m\x1b[K\r\nMiB Swap:\x1b(B\x1b[m\x1b[39;49m\x1b[1m      0.0 \x1b(B\x1b[m\x1b[39;49mtota"
    b"l,\x1b(B\x1b[m\x1b[39;49m\x1b[1m      0.0 \x1b(B\x1b[m\x1b[39;49mfree,\x1b(B\x1b[m\x1b[39;49m\x1b[1m   "
    b"   0.0 \x1b(B\x1b[m\x1b[39;49mused.\x1b(B\x1b[m\x1b[39;49m\x1b[1m  22925.2 \x1b(B\x1b[m\x1b[39;49mavail"
    b"\x1b(B\x1b[m\x1b[39;49m\x1b(B\x1b[m\x1b[39;49m\x1b[K\r\n\x1b[K\r\n"
    b"\x1b[7m  PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ \x1b(B\x1b[m\x1b[39;49m\x1b"
    b"[K\r\n\x1b(B\x1b[m11611 1879113+  20   0 1509916 260384 176464 S 100.0   1.1   0:03.77 \x1b(B\x1b[m\x1b"
    b"[39;49m\x1b[K\r\n\x1b(B\x1b[m    1 root      20   0   49104  16964   6308 S   0.0   0.1   2:21.76 \x1b("
    b"B\x1b[m\x1b[39;49m\x1b[K\x1b[H\r\nTasks:\x1b(B\x1b[m\x1b[39;49m\x1b[1m 112 \x1b(B\x1b[m\x1b[39;49mtotal"
    b",\x1b(B\x1b[m\x1b[39;49m\x1b[1m   1 \x1b(B\x1b[m\x1b[39;49mrunning,\x1b(B\x1b[m\x1b[39;49m\x1b[1m 111 \x1b"
    b"(B\x1b[m\x1b[39;49msleeping,\x1b(B\x1b[m\x1b[39;49m\x1b[1m   0 \x1b(B\x1b[m\x1b[39;49mstopped,\x1b(B\x1b"
    b"[m\x1b[39;49m\x1b[1m   0 \x1b(B\x1b[m\x1b[39;49mzombie\x1b(B\x1b[m\x1b[39;49m\x1b(B\x1b[m\x1b[39;49m\x1b"
    b"[K\r\n%Cpu(s):\x1b(B\x1b[m\x1b[39;49m\x1b[1m 34.4 \x1b(B\x1b[m\x1b[39;49mus,\x1b(B\x1b[m\x1b[39;49m\x1b"
    b"[1m 17.8 \x1b(B\x1b[m\x1b[39;49msy,\x1b(B\x1b[m\x1b[39;49m\x1b[1m  0.0 \x1b(B\x1b[m\x1b[39;49mni,\x1b(B"
    b"\x1b[m\x1b[39;49m\x1b[1m 47.8 \x1b(B\x1b[m\x1b[39;49mid,\x1b(B\x1b[m\x1b[39;49m\x1b[1m  0.0 \x1b(B\x1b["
    b"m\x1b[39;49mwa,\x1b(B\x1b[m\x1b[39;49m\x1b[1m  0.0 \x1b(B\x1b[m\x1b[39;49mhi,\x1b(B\x1b[m\x1b[39;49m\x1b"
    b"[1m  0.0 \x1b(B\x1b[m\x1b[39;49msi\x1b(B\x1b[m\x1b[39;49m\x1b(B\x1b[m\x1b[39;49m\x1b[K\r\n"
    b"\r\n\r\n\x1b[K\r\n\r\n\x1b(B\x1b[m11589 root      20   0  191836  51232   7496 S  33.3   0.2   0:01.00 "
    b"\x1b(B\x1b[m\x1b[39;49m\x1b[K\r\n\x1b(B\x1b[m   14 root      20   0       0      0      0 S   3.3   0.0"
    b"   0:18.94 \x1b(B\x1b[m\x1b[39;49m\x1b[K\x1b[?1l\x1b>\x1b[10;1H\r\n"
    b"\x1b[?12l\x1b[?25h\x1b[K"
)
"""`top -n 2` on a screen of 9 lines and 70 columns."""

PAGER = (
    b"before\r\nyes: standard output: Broken pipe\r\n\x1b[?1049h\x1b[22;0;0t\x1b[?1h\x1b=\rline\r\n"
    b"line\r\nline\r\n\x1b[7m(END)\x1b[27m\x1b[K\r\x1b[K\x07\r\x1b[K\x1b[7m(END)\x1b[27m\x1b[K\r\x1b[K\x1b[?1"
    b"l\x1b>\x1b[?1049l\x1b[23;0;0tafter\r\n"
)
"""`less` on the alternate screen, between two lines."""

PROGRESS = (
    b"\rloading   0%\rloading  33%\rloading  66%\rloading 100%\r\n"
    b"\x1b[?25lA\r\nB\r\n\x1b[2A\x1b[KA 1\r\n\x1b[KB 1\r\n\x1b[2A\x1b[KA 2\r\n\x1b[KB 2\r\n\x1b[?25h"
)
"""A counter in one line, then two bars that are drawn anew."""

INSTALLER = (
    b"\x1b[?25l     \x1b[90m\xe2\x94\x81\xe2\x94\x81\xe2\x94\x81\x1b[0m \x1b[32m0.0/1.3 MB\x1b[0m"
    b" \x1b[31m?\x1b[0m eta \x1b[36m-:--:--\x1b[0m"
    b"\r\x1b[2K     \x1b[91m\xe2\x94\x81\xe2\x94\x81\x1b[0m\x1b[90m\xe2\x94\x81\x1b[0m \x1b[32m0.9/1.3 MB\x1b[0m"
    b"\r\x1b[2K     \x1b[90m\xe2\x94\x81\xe2\x94\x81\xe2\x94\x81\x1b[0m \x1b[32m1.3/1.3 MB\x1b[0m\r\n\x1b[?25hdone\r\n"
)
"""A bar of wide strokes that erases its line before it is drawn again."""

STATUS_LINE = (
    b"Reading lists\r\n"
    b"\r\n\x1b7\x1b[0;4r\x1b8\x1b[1A\x1b7\x1b[5;0f\x1b[42m\x1b[30mProgress: [  0%]\x1b[49m\x1b[39m [....] \x1b8"
    b"Unpacking a\r\nUnpacking b\r\nUnpacking c\r\n"
    b"\x1b7\x1b[5;0f\x1b[42m\x1b[30mProgress: [ 50%]\x1b[49m\x1b[39m [##..] \x1b8Setting up a\r\n"
    b"\r\n\x1b7\x1b[0;5r\x1b8\x1b[1A\x1b[J"
)
"""As a package manager does it on a screen of 5 lines: the last one keeps still, the others scroll above it."""
