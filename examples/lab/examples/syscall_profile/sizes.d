/* Counts how many bytes each call of the command read or wrote. Calls that failed are left out. */

/* The command and what it starts. On Linux progenyof() alone misses all threads but the first. */
inline int mine = pid == $target || ppid == $target || progenyof($target);

syscall::read:return, syscall::readv:return, syscall::pread64:return,
syscall::write:return, syscall::writev:return, syscall::pwrite64:return,
syscall::sendto:return, syscall::recvfrom:return
/mine && (int64_t)arg1 >= 0/
{
	@sizes[probefunc] = quantize((int64_t)arg1);
}
