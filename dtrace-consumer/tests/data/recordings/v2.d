#pragma D option flowindent
#pragma D option nspec=1
#pragma D option aggpercpu

BEGIN
{
	printf("%d %u %x %s|%5c|%-8s|\n", -1, 4294967295, 255, "text", 'c', "left");
	printf("no arguments\n");
	trace(-5);
	trace((unsigned int)5);
	trace((char)-1);
	trace((short)-2);
	trace("a string");
	tracemem(curthread, 16);
	tracemem(curthread, 16, 6);
	sym((uintptr_t)curthread);
	setopt("switchrate", "20hz");
}

/* The address is invalid, so this clause faults. */
BEGIN
{
	trace(*(int *)0);
}

/* There is one speculation: the second request is counted as a drop. */
BEGIN
{
	spec = speculation();
	none = speculation();
}

BEGIN
/spec/
{
	speculate(spec);
	trace("speculated");
}

BEGIN
/spec/
{
	commit(spec);
}

BEGIN
{
	@counts[probename, -1] = count();
	@sums["a"] = sum(-6000000000);
	@sums["b"] = sum(2);
	@minimum = min(-7);
	@maximum = max(7);
	@average = avg(-3);
	@average = avg(-4);
	@deviation = stddev(2);
	@deviation = stddev(4);
	@powers = quantize(-5);
	@powers = quantize(1000);
	@linear = lquantize(17, 0, 100, 10);
	@orders = llquantize(1234, 10, 0, 6, 20);
	@normalized = sum(100);
	normalize(@normalized, 3);
	printa("%s is %@d\n", @sums);
}

syscall::write:entry
/pid == $target/
{
	stack(5);
	sym(caller);
	mod(caller);
	ustack(5);
	usym(arg1);
	umod(arg1);
	uaddr(arg1);
	@stacks[ustack(3)] = count();
	@writes[probefunc] = count();
}

syscall::exit_group:entry
/pid == $target/
{
	exit(3);
}
