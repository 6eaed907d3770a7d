/*
 * The system calls that are there: CALL(number, function, arguments). The words a to f are what the
 * program put into EBX, ECX, EDX, ESI, EDI and EBP; each function, called sys_ and its name, returns
 * a result or minus an error number. Older calls are newer ones with an argument filled in.
 *
 * syscall.c includes this list, with CALL as it needs it.
 */

/* Processes: kernel/sys_process.c */
CALL(1, exit, a)                            CALL(252, exit, a)
CALL(2, clone, 0, 0, 0, 0, 0)               CALL(190, clone, CLONE_VM | CLONE_VFORK, 0, 0, 0, 0)
CALL(120, clone, a, b, c, d, e)             CALL(435, clone3, a, b)
CALL(11, execve, a, b, c)
CALL(7, wait4, a, b, c, 0)                  CALL(114, wait4, a, b, c, d)
CALL(284, waitid, a, b, c, d, e)
CALL(20, getpid)                            CALL(224, getpid)
CALL(64, getppid)                           CALL(136, personality, a)
CALL(57, setpgid, a, b)                     CALL(132, getpgid, a)
CALL(65, getpgrp)                           CALL(147, getsid, a)
CALL(66, setsid)                            CALL(172, prctl, a, b)
CALL(243, set_thread_area, a)               CALL(258, set_tid_address, a)

/* Whose they are */
CALL(24, get_id, USER)                      CALL(199, get_id, USER)
CALL(47, get_id, GROUP)                     CALL(200, get_id, GROUP)
CALL(49, get_id, EFFECTIVE_USER)            CALL(201, get_id, EFFECTIVE_USER)
CALL(50, get_id, EFFECTIVE_GROUP)           CALL(202, get_id, EFFECTIVE_GROUP)
CALL(23, set_id, USER, a)                   CALL(213, set_id, USER, a)
CALL(46, set_id, GROUP, a)                  CALL(214, set_id, GROUP, a)
CALL(70, set_ids, USER, a, b)               CALL(203, set_ids, USER, a, b)
CALL(71, set_ids, GROUP, a, b)              CALL(204, set_ids, GROUP, a, b)
CALL(208, set_ids, USER, a, b)              CALL(209, get_ids, USER, a, b, c)
CALL(210, set_ids, GROUP, a, b)             CALL(211, get_ids, GROUP, a, b, c)

/* Scheduling: kernel/sys_schedule.c */
CALL(158, sched_yield)                      CALL(318, getcpu, a, b)
CALL(241, sched_setaffinity, a, b, c)       CALL(242, sched_getaffinity, a, b, c)
CALL(96, getpriority, a, b)                 CALL(97, setpriority, a, b, c)
CALL(34, nice, a)                           CALL(157, sched_getscheduler, a)
CALL(155, sched_getparam, a, b)             CALL(159, sched_priority, a, 99)
CALL(160, sched_priority, a, 1)

/* The machine: kernel/sys_machine.c */
CALL(75, setrlimit, a, b)                   CALL(340, prlimit64, a, b, c, d)
CALL(76, getrlimit, a, b)                   CALL(191, getrlimit, a, b)
CALL(122, uname, a)                         CALL(74, sethostname, a, b)
CALL(116, sysinfo, a)                       CALL(355, getrandom, a, b)
CALL(88, reboot, a, b, c)

/* Waiting on a word of memory: kernel/futex.c */
CALL(240, futex, a, b, c, d, TIME32)        CALL(422, futex, a, b, c, d, TIME64)

/* Memory: kernel/sys_memory.c */
CALL(45, brk, a)                            CALL(163, mremap, a, b, c, d, e)
CALL(90, old_mmap, a)                       CALL(192, mmap2, a, b, c, d, e, f)
CALL(91, munmap, a, b)                      CALL(125, mprotect, a, b, c)
CALL(219, madvise, a, b, c)

/* Signals: kernel/sys_signal.c */
CALL(37, kill, a, b)
CALL(238, tkill, a, b)                      CALL(270, tkill, b, c)
CALL(178, rt_sigqueueinfo, a, b, c)
CALL(177, rt_sigtimedwait, a, b, c, d, TIME32)
CALL(421, rt_sigtimedwait, a, b, c, d, TIME64)
CALL(67, sigaction, a, b, c)                CALL(174, rt_sigaction, a, b, c, d)
CALL(126, sigprocmask, a, b, c, 4)          CALL(175, sigprocmask, a, b, c, d)
CALL(73, sigpending, a, 4)                  CALL(176, sigpending, a, b)
CALL(72, sigsuspend, c, 0)                  CALL(179, rt_sigsuspend, a, b)
CALL(29, pause)                             CALL(186, sigaltstack, a, b)
CALL(119, sigreturn, false)                 CALL(173, sigreturn, true)

/* Time: kernel/sys_time.c */
CALL(13, time, a)                           CALL(25, stime, a)
CALL(78, gettimeofday, a, b)                CALL(79, settimeofday, a)
CALL(265, clock_gettime, a, b, TIME32)      CALL(403, clock_gettime, a, b, TIME64)
CALL(264, clock_settime, a, b, TIME32)      CALL(404, clock_settime, a, b, TIME64)
CALL(266, clock_getres, a, b, TIME32)       CALL(406, clock_getres, a, b, TIME64)
CALL(267, clock_nanosleep, a, b, c, d, TIME32)
CALL(407, clock_nanosleep, a, b, c, d, TIME64)
CALL(162, clock_nanosleep, CLOCK_MONOTONIC, 0, a, b, TIME32)
CALL(27, alarm, a)                          CALL(43, times, a)
CALL(104, setitimer, a, b, c)               CALL(105, getitimer, a, b)
CALL(77, getrusage, a, b)

/* Names of files: kernel/sys_path.c */
CALL(5, openat, AT_FDCWD, a, b, c)          CALL(295, openat, a, b, c, d)
CALL(8, openat, AT_FDCWD, a, O_WRONLY | O_CREAT | O_TRUNC, b)
CALL(14, mknodat, AT_FDCWD, a, b, c)        CALL(297, mknodat, a, b, c, d)
CALL(39, mkdirat, AT_FDCWD, a, b)           CALL(296, mkdirat, a, b, c)
CALL(83, symlinkat, a, AT_FDCWD, b)         CALL(304, symlinkat, a, b, c)
CALL(9, linkat, AT_FDCWD, a, AT_FDCWD, b, 0)
CALL(303, linkat, a, b, c, d, e)
CALL(10, unlinkat, AT_FDCWD, a, 0)          CALL(40, unlinkat, AT_FDCWD, a, AT_REMOVEDIR)
CALL(301, unlinkat, a, b, c)
CALL(38, renameat2, AT_FDCWD, a, AT_FDCWD, b, 0)
CALL(302, renameat2, a, b, c, d, 0)         CALL(353, renameat2, a, b, c, d, e)
CALL(60, umask, a)

/* What is known of them: kernel/sys_stat.c */
CALL(106, stat, STAT_OLD, AT_FDCWD, a, b, 0)
CALL(107, stat, STAT_OLD, AT_FDCWD, a, b, AT_SYMLINK_NOFOLLOW)
CALL(108, fstat, STAT_OLD, a, b)
CALL(195, stat, STAT_64, AT_FDCWD, a, b, 0)
CALL(196, stat, STAT_64, AT_FDCWD, a, b, AT_SYMLINK_NOFOLLOW)
CALL(197, fstat, STAT_64, a, b)
CALL(300, stat, STAT_64, a, b, c, d)
CALL(383, stat, STAT_X, a, b, e, c)
CALL(85, readlinkat, AT_FDCWD, a, b, c)     CALL(305, readlinkat, a, b, c, d)
CALL(33, faccessat, AT_FDCWD, a, b)         CALL(307, faccessat, a, b, c)
CALL(439, faccessat, a, b, c)
CALL(268, statfs64, a, b, c)                CALL(269, fstatfs64, a, b, c)
CALL(15, fchmodat, AT_FDCWD, a, b)          CALL(94, fchmodat, a, 0, b)
CALL(306, fchmodat, a, b, c)
CALL(16, fchownat, AT_FDCWD, a, b, c, AT_SYMLINK_NOFOLLOW)
CALL(198, fchownat, AT_FDCWD, a, b, c, AT_SYMLINK_NOFOLLOW)
CALL(182, fchownat, AT_FDCWD, a, b, c, 0)
CALL(95, fchownat, a, 0, b, c, 0)           CALL(207, fchownat, a, 0, b, c, 0)
CALL(212, fchownat, AT_FDCWD, a, b, c, 0)   CALL(298, fchownat, a, b, c, d, e)
CALL(30, utimes, a, b, 4)                   CALL(271, utimes, a, b, 8)
CALL(320, utimensat, a, b, c, d, TIME32)    CALL(412, utimensat, a, b, c, d, TIME64)

/* The tree of names: kernel/sys_mount.c */
CALL(12, chdir, a)                          CALL(133, fchdir, a)
CALL(183, getcwd, a, b)                     CALL(61, chroot, a)
CALL(21, mount, a, b, c, d)                 CALL(36, sync)
CALL(22, umount, a)                         CALL(52, umount, a)
CALL(118, fsync, a)                         CALL(148, fsync, a)
CALL(344, fsync, a)

/* Open files: kernel/sys_file.c */
CALL(3, read, a, b, c)                      CALL(4, write, a, b, c)
CALL(145, vector, a, b, c, false)           CALL(146, vector, a, b, c, true)
CALL(333, vector_at, a, b, c, d, e, false)  CALL(334, vector_at, a, b, c, d, e, true)
CALL(180, transfer_at, a, b, c, d, e, false)
CALL(181, transfer_at, a, b, c, d, e, true)
CALL(19, lseek, a, b, c)                    CALL(140, llseek, a, b, c, d, e)
CALL(54, ioctl, a, b, c)
CALL(92, truncate64, a, b, (i32)b >> 31)    CALL(193, truncate64, a, b, c)
CALL(93, ftruncate64, a, b, (i32)b >> 31)   CALL(194, ftruncate64, a, b, c)
CALL(324, fallocate, a)
CALL(187, sendfile, a, b, c, d)             CALL(239, sendfile64, a, b, c, d)
CALL(141, getdents, a, b, c, false)         CALL(220, getdents, a, b, c, true)

/* Descriptors: kernel/sys_descriptor.c */
CALL(6, close, a)                           CALL(436, close_range, a, b, c)
CALL(41, dup, a)                            CALL(63, dup2, a, b)
CALL(330, dup3, a, b, c)
CALL(42, pipe2, a, 0)                       CALL(331, pipe2, a, b)
CALL(55, fcntl, a, b, c)                    CALL(221, fcntl, a, b, c)
CALL(250, has_file, a)                      CALL(272, has_file, a)

/* Locks on files: kernel/file_lock.c */
CALL(143, flock, a, b)

/* Waiting for several: kernel/poll.c */
CALL(82, old_select, a)                     CALL(142, select, a, b, c, d, e)
CALL(308, pselect, a, b, c, d, e, f, TIME32)
CALL(413, pselect, a, b, c, d, e, f, TIME64)
CALL(168, poll, a, b, c)
CALL(309, ppoll, a, b, c, d, TIME32)        CALL(414, ppoll, a, b, c, d, TIME64)

/* Sockets: net/sys_socket.c; 102 is the older way to all of them */
CALL(359, socket, a, b, c)                  CALL(361, bind, a, b, c)
CALL(362, connect, a, b, c)                 CALL(367, getsockname, a, b, c)
CALL(368, getpeername, a, b, c)             CALL(360, socketpair, a, b, c, d)
CALL(363, listen, a, b)                     CALL(364, accept4, a, b, c, d)
CALL(373, shutdown, a, b)
CALL(369, sendto, a, b, c, d, e, f)         CALL(370, sendmsg, a, b, c)
CALL(371, recvfrom, a, b, c, d, e, f)       CALL(372, recvmsg, a, b, c)
CALL(365, getsockopt, a, b, c, d, e)        CALL(366, setsockopt, a, b, c, d, e)
CALL(102, socketcall, a, b)

/* What has no effect here, and may be asked for: msync, mlock ..., setgroups */
CALL(144, nothing)  CALL(150, nothing)  CALL(151, nothing)  CALL(152, nothing)
CALL(153, nothing)  CALL(205, nothing)  CALL(206, nothing)  CALL(311, nothing)
CALL(386, silently_absent) /* rseq */
