/* numbers.dtrace is a recording of this script: what programs that read lines of JSON may read wrongly. */
BEGIN
{
	n = 0;
}

syscall::getppid:entry
/pid == $target/
{
	n++;
	printf("n=%d id=%u name=%s", n, 18446744073709551615ULL - n, probefunc);
	@sizes["read", (long)1 << 60] = quantize(n);
	@calls["read", (long)1 << 60] = count();
}

syscall::getppid:return
/pid == $target/
{
	printf("n=%d error=%d", n, -1);
}
