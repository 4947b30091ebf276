/*
 * For FreeBSD: the function that handles every received segment, whose header it has in the host's
 * byte order, except for the ports.
 *
 * ours[port]: the local ports of the traced command. They are learnt where the command acts itself,
 * since segments are received by the network's own threads.
 */

/* The command and what it starts. On Linux progenyof() alone overlooks all threads but the first. */
inline int mine = pid == $target || ppid == $target || progenyof($target);

tcp:::state-change
/(args[3]->tcps_state == TCPS_LISTEN || args[3]->tcps_state == TCPS_SYN_SENT) &&
    mine/
{
	ours[args[3]->tcps_lport] = 1;
}

fbt::tcp_do_segment:entry
/ours[ntohs(args[1]->th_dport)]/
{
	printf("%d %s %d %d %u %u %d %d %s", timestamp, "receive",
	    ntohs(args[1]->th_sport), ntohs(args[1]->th_dport),
	    (unsigned int)args[1]->th_seq, (unsigned int)args[1]->th_ack,
	    args[5], args[1]->th_flags, tcp_state_string[args[3]->t_state]);
}

syscall:::entry
/mine/
{
	@syscalls[probefunc] = count();
}
