/* Times each pread(2) of the command, by the size that it asks for. Reads that failed are left out. */
syscall::pread64:entry
/pid == $target/
{
	self->size = arg2;
	self->began = timestamp;
}

syscall::pread64:return
/self->began/
{
	self->took = timestamp - self->began;
	self->began = 0;
}

syscall::pread64:return
/self->took && (int64_t)arg1 > 0/
{
	@latency[self->size] = quantize(self->took);
}

syscall::pread64:return
{
	self->took = 0;
	self->size = 0;
}
