/*
 * The system calls that are there: number, function. Each takes up to six words, as the program put
 * them into EBX, ECX, EDX, ESI, EDI and EBP, and returns a result or minus an error number.
 */
#define SYSTEM_CALLS(X)                                                                                    \
    X(1, exit) X(2, fork) X(3, read) X(4, write) X(5, open) X(6, close) X(7, waitpid) X(8, creat)          \
    X(9, link) X(10, unlink) X(11, execve) X(12, chdir) X(13, time) X(14, mknod) X(15, chmod)              \
    X(16, lchown) X(19, lseek) X(20, getpid) X(21, mount) X(22, umount) X(23, setuid) X(24, getuid)        \
    X(25, stime) X(27, alarm) X(29, pause) X(30, utime) X(33, access) X(36, sync) X(37, kill)              \
    X(38, rename) X(39, mkdir) X(40, rmdir) X(41, dup) X(42, pipe) X(43, times) X(45, brk) X(46, setgid)   \
    X(47, getgid) X(49, geteuid) X(50, getegid) X(52, umount2) X(54, ioctl) X(55, fcntl) X(57, setpgid)    \
    X(60, umask) X(61, chroot) X(63, dup2) X(64, getppid) X(65, getpgrp) X(66, setsid) X(67, sigaction)    \
    X(70, setreuid) X(71, setregid) X(72, sigsuspend) X(73, sigpending) X(74, sethostname)                 \
    X(75, setrlimit) X(76, getrlimit) X(77, getrusage) X(78, gettimeofday) X(79, settimeofday)             \
    X(82, old_select) X(83, symlink) X(85, readlink) X(88, reboot) X(90, old_mmap) X(91, munmap)           \
    X(92, truncate) X(93, ftruncate) X(94, fchmod) X(95, fchown) X(96, getpriority) X(97, setpriority)     \
    X(102, socketcall) X(104, setitimer) X(105, getitimer) X(106, old_stat) X(107, old_lstat)              \
    X(108, old_fstat) X(114, wait4) X(116, sysinfo) X(118, fsync) X(119, sigreturn) X(120, clone)          \
    X(122, uname) X(125, mprotect) X(126, sigprocmask) X(132, getpgid) X(133, fchdir) X(136, personality)  \
    X(140, llseek) X(141, old_getdents) X(142, select) X(143, flock) X(144, msync) X(145, readv)           \
    X(146, writev) X(147, getsid) X(148, fdatasync) X(150, mlock) X(151, mlock) X(152, mlock)              \
    X(153, mlock) X(158, sched_yield) X(162, nanosleep) X(163, mremap) X(168, poll) X(172, prctl)          \
    X(173, rt_sigreturn) X(174, rt_sigaction) X(175, rt_sigprocmask) X(176, rt_sigpending)                 \
    X(179, rt_sigsuspend) X(180, pread64) X(181, pwrite64) X(183, getcwd) X(186, sigaltstack)              \
    X(187, sendfile) X(190, vfork) X(191, ugetrlimit) X(192, mmap2) X(193, truncate64) X(194, ftruncate64) \
    X(195, stat64) X(196, lstat64) X(197, fstat64) X(198, lchown) X(199, getuid) X(200, getgid)            \
    X(201, geteuid) X(202, getegid) X(203, setreuid) X(204, setregid) X(205, getgroups) X(206, setgroups)  \
    X(207, fchown) X(208, setresuid) X(209, getresuid) X(210, setresgid) X(211, getresgid) X(212, chown)   \
    X(213, setuid) X(214, setgid) X(219, madvise) X(220, getdents64) X(221, fcntl) X(224, gettid)          \
    X(238, tkill) X(239, sendfile64) X(242, sched_getaffinity) X(243, set_thread_area) X(250, fadvise)     \
    X(252, exit) X(258, set_tid_address) X(264, clock_settime) X(265, clock_gettime) X(266, clock_getres)  \
    X(267, clock_nanosleep) X(268, statfs64) X(269, fstatfs64) X(270, tgkill) X(271, utimes)               \
    X(272, fadvise) X(295, openat) X(296, mkdirat) X(297, mknodat) X(298, fchownat) X(300, fstatat64)      \
    X(301, unlinkat) X(302, renameat) X(303, linkat) X(304, symlinkat) X(305, readlinkat) X(306, fchmodat) \
    X(307, faccessat) X(308, pselect6) X(309, ppoll) X(311, set_robust_list) X(320, utimensat)             \
    X(330, dup3) X(331, pipe2) X(340, prlimit64) X(344, fsync) X(353, renameat2) X(355, getrandom)         \
    X(359, socket) X(361, bind) X(362, connect) X(364, getsockopt) X(366, setsockopt) X(367, getsockname)  \
    X(368, getpeername) X(369, sendto) X(370, sendmsg) X(371, recvfrom) X(372, recvmsg) X(383, statx)      \
    X(386, rseq) X(403, clock_gettime64) X(404, clock_settime64) X(406, clock_getres64)                    \
    X(407, clock_nanosleep64) X(412, utimensat64) X(413, pselect64) X(414, ppoll64) X(435, clone3) X(436, close_range)    \
    X(439, faccessat)
