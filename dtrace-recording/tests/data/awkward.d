/* awkward.dtrace is a recording of this script: names and texts that Rust source must not take as they are. */
BEGIN
{
	printf("type=%d self=%d Self=%u n=%d n=%d 2nd=%d é=%d {x}=%s\n", 1, 2, 3, 4, 5, 6, 7, "a`b\n*/ \" ' \\ {y} \t");
	trace("\"); panic!(\"");
	@["quote\" ` \n {x} */", (char)1] = count();
	@loop[stack(1), (short)-1] = avg(3);
	@Type["é"] = quantize(1);
}

BEGIN
{
	printf("size=%d name=%s\n", (char)1, "one");
}

END
{
	printf("size=%d name=%s\n", (long)1 << 40, "two");
	tracemem(curthread, 4);
	stack(2);
}

END
{
	printf("size=%d name=%s\n", (long)1 << 40, "three");
}
BEGIN { exit(0); }