#include "../include/files.h"
void network_start(void){}
int cowfs_mount(const char *source, struct inode *device, struct inode *on, const char *target, bool read_only){return -ENODEV;}
#define S(n) int sys_##n(void){return -ENOSYS;}
S(socketcall)S(sendmmsg)S(socket)S(bind)S(connect)S(getsockopt)S(setsockopt)S(getsockname)S(sendto)S(recvfrom)S(recvmsg)S(sendmsg)
